"""`lifemask audit`: the chain of a model, link by link; a bundle of it, also offline; and the sweep over everything."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lifemask.cli.installation import Installation
from lifemask.cli.out import Out
from lifemask.cli.perform import AsJson, Debug, perform
from lifemask.cli.stops import Code, Failed, Missing, WrongUsage
from lifemask.cli.whereabouts import DATA, DataOption

if TYPE_CHECKING:
    from lifemask.audit.case import Case
    from lifemask.audit.findings import Report
    from lifemask.audit.uploads import Apps
    from lifemask.contracts.keyring import Keyring

Model = Annotated[str | None, typer.Argument(help="The model's id.", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="Sweep: what is there and no chain explains, what is missing.")]
Bundle = Annotated[Path | None, typer.Option("--bundle", help="Write all that is signed about the model into FILE.")]
Offline = Annotated[Path | None, typer.Option("--offline", help="Audit a bundle; needs nothing but --root.")]
Root = Annotated[str | None, typer.Option("--root", help="Fingerprint of the root that you trust (SHA256:…).")]
Ring = Annotated[Path | None, typer.Option("--keyring", help="With --offline: the newest keyring.json you know of.")]
RingVersion = Annotated[
    int | None, typer.Option("--keyring-version", min=1, help="With --offline: refuse an older keyring than this one.")
]
Export = Annotated[
    Path | None, typer.Option("--export", help="Write each statement for cosign and openssl into this directory.")
]
NoHub = Annotated[bool, typer.Option("--no-hub", help="Leave the hub out; the audit says so.")]
WholeLog = Annotated[bool, typer.Option("--log", help="Read Kafka even when the databases have all events.")]
Every = Annotated[
    float | None,
    typer.Option("--every", min=0, help="With --all: sweep again and again, in hours."),
]


def audit(
    model: Model = None,
    *,
    sweep: All = False,
    bundle: Bundle = None,
    offline: Offline = None,
    root: Root = None,
    keyring: Ring = None,
    keyring_version: RingVersion = None,
    export: Export = None,
    every: Every = None,
    no_hub: NoHub = False,
    whole_log: WholeLog = False,
    data: DataOption = DATA,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show the chain of a model: re-hashed, signed and disposed of, or broken. Exit code 1 when anything is broken."""

    async def work(out: Out) -> Code:
        if [model is not None, sweep, offline is not None].count(True) != 1:
            raise WrongUsage(
                "What shall be audited?", "Name one model, or --all, or --offline FILE --root FINGERPRINT."
            )
        if offline is not None:
            return _audit_offline(out, offline, root, export, _Newest(keyring, keyring_version))
        if keyring is not None or keyring_version is not None:
            raise WrongUsage("--keyring and --keyring-version go with --offline.", "Here the installation's is read.")
        installation = Installation.find(data)
        if model is not None:
            return await audit_model(
                out, installation, model, root=root, bundle=bundle, export=export, no_hub=no_hub, whole_log=whole_log
            )
        from lifemask.cli.sweep import sweep_all, sweep_regularly

        if every is not None:
            return await sweep_regularly(out, installation, root=root, no_hub=no_hub, hours=every)
        return await sweep_all(out, installation, root=root, no_hub=no_hub)

    perform(work, as_json=as_json, debug=debug)


async def audit_model(
    out: Out,
    installation: Installation,
    model: str,
    *,
    root: str | None = None,
    bundle: Path | None = None,
    export: Path | None = None,
    no_hub: bool = False,
    whole_log: bool = False,
) -> Code:
    """Audits one model of an installation and shows its chain."""
    from lifemask.audit.judging import judge

    keyring = load_keyring(installation, root)
    case = await _collect(installation, keyring, model, no_hub=no_hub, whole_log=whole_log)
    if bundle is not None:
        from lifemask.audit.bundle import write_bundle

        _write(bundle, write_bundle(case, keyring.data))
    if export is not None:
        _export(case, keyring, export)
    report = judge(case, keyring)
    _show(out, report, keyring)
    if bundle is not None:
        out.show(
            f"\nEverything that is signed is in {bundle}. Audit it anywhere:"
            f"\n  lifemask audit --offline {bundle} --root {keyring.root}"
        )
        out.show("[dim]It names the owner and the digests of the photos: give it only to whom that may be told.[/]")
    return Code.DONE if report.holds else Code.FAILED


def load_keyring(installation: Installation, root: str | None) -> "Keyring":
    """The installation's keyring, signed by the pinned root. Raises Missing."""
    from lifemask.bus.outcomes import Misconfigured
    from lifemask.keys.files import Trust

    try:
        return Trust(installation.key_folder(), root or installation.keyring_root).keyring
    except Misconfigured as problem:
        raise Missing(f"The keyring cannot be used: {problem.detail}.", "Check LIFEMASK_KEYS and --root.") from None


async def _collect(
    installation: Installation, keyring: "Keyring", model: str, *, no_hub: bool, whole_log: bool
) -> "Case":
    from contextlib import AsyncExitStack

    from lifemask.audit.collecting import NO_HUB, Outside, collect
    from lifemask.audit.hub import open_hub
    from lifemask.audit.problems import NoSuchModel, Unreachable
    from lifemask.bus.outcomes import Misconfigured, Retryable

    async with AsyncExitStack() as stack:
        objects = await stack.enter_async_context(installation.open_store())
        hub = None
        if installation.hub and not no_hub:
            hub = await stack.enter_async_context(open_hub(installation.hub.url, installation.hub.token))
        outside = Outside(
            apps=_apps(installation),
            database=installation.database(),
            hub=hub,
            hub_why="asked not to look at the hub" if no_hub else NO_HUB,
            kafka=installation.kafka,
            topic_prefix=installation.topic_prefix,
            whole_log=whole_log,
        )
        try:
            return await collect(model, objects, outside, keyring)
        except NoSuchModel:
            raise Failed(
                f"No model {model} is known here.", "Ids of models: `lifemask runs`, or the app's API."
            ) from None
        except Unreachable as problem:
            raise Missing(
                f"{problem.what} cannot be read: {problem.why}.", "An audit reads everything, or says so."
            ) from None
        except (Misconfigured, Retryable) as problem:
            raise Missing(
                f"The store cannot be read: {problem}.", "Check LIFEMASK_OBJECTS and its permissions."
            ) from None


def _apps(installation: Installation) -> "Apps | None":
    from lifemask.audit.problems import Unreachable
    from lifemask.audit.uploads import read_apps

    try:
        return read_apps(installation.apps) if installation.apps else None
    except Unreachable as problem:
        raise Missing(f"{problem.what} cannot be read: {problem.why}.", "Check LIFEMASK_APPS.") from None


@dataclass(frozen=True)
class _Newest:
    """What the auditor knows of the newest keyring."""

    file: Path | None
    version: int | None

    @property
    def is_known(self) -> bool:
        return self.file is not None or self.version is not None


def _audit_offline(out: Out, file: Path, root: str | None, export: Path | None, newest: _Newest) -> Code:
    from lifemask.audit.bundle import CANNOT_SEE, LIMIT, NEWER_KEYRING, BadBundle, open_bundle
    from lifemask.audit.judging import judge

    if root is None:
        raise WrongUsage("Whom do you trust?", "Give --root, the fingerprint of the installation's root (SHA256:…).")
    try:
        if file.stat().st_size > LIMIT:
            raise Failed(f"{file} is too large for a bundle.")
        ring = newest.file.read_bytes() if newest.file else None
        opened = open_bundle(file.read_bytes(), root, keyring=ring, version=newest.version or 1)
    except OSError as problem:
        raise WrongUsage(f"{problem.filename} cannot be read: {problem.strerror}.") from None
    except BadBundle as problem:
        raise Failed(f"{file} proves nothing: {problem}.") from None
    if export is not None:
        _export(opened.case, opened.keyring, export)
    report = judge(opened.case, opened.keyring)
    _show(out, report, opened.keyring, cannot_see=CANNOT_SEE if newest.is_known else (*CANNOT_SEE, NEWER_KEYRING))
    return Code.DONE if report.holds else Code.FAILED


def _show(out: Out, report: "Report", keyring: "Keyring", *, cannot_see: tuple[str, ...] = ()) -> None:
    from lifemask.cli.chain_shown import report_tree, verdict

    out.fact("audit", **report.as_fields(), keyring=keyring.version, root=keyring.root, cannot_see=list(cannot_see))
    out.show(report_tree(report))
    out.show(verdict(report, keyring))
    for each in cannot_see:
        out.show(f"[dim]not seen: {each}[/]")


def _export(case: "Case", keyring: "Keyring", folder: Path) -> None:
    from lifemask.audit.sigstore import exported

    for name, content in exported(case, keyring):
        _write(folder / name, content)


def _write(path: Path, content: bytes) -> None:
    """Private: manifests name photos by their digests."""
    from lifemask.cli.house import write_private

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, content)
    except OSError as problem:
        raise WrongUsage(f"{path} cannot be written: {problem.strerror}.") from None
