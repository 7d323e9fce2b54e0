"""`lifemask keys`: the keys that sign statements and events."""

import base64
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from lifemask.cli.out import Out
from lifemask.cli.perform import AsJson, Debug, perform
from lifemask.cli.stops import Code, Failed, Missing, WrongUsage
from lifemask.cli.whereabouts import DATA

if TYPE_CHECKING:
    from lifemask.contracts.keyring import Key, Keyring

keys = typer.Typer(help="The keys that sign statements and events.", no_args_is_help=True)

_HOURS: Final = 24.0
Folder = Annotated[
    Path,
    typer.Option("--keys", envvar="LIFEMASK_KEYS", help="The directory of keys."),
]
RootPath = Annotated[
    Path | None,
    typer.Option(
        "--root", envvar="LIFEMASK_ROOT_KEY", help="The root's private key; default: offline/root.pem in the directory."
    ),
]
_HERE: Final = DATA / "keys"


@keys.command()
def init(folder: Folder = _HERE, root: RootPath = None, as_json: AsJson = False, debug: Debug = False) -> None:
    """Make a root, a key per service and their keyring. What is there stays. Keep the root's key somewhere else."""

    async def work(out: Out) -> Code:
        from lifemask.keys.making import OFFLINE

        made = make_missing(folder, root)
        if made is None:
            out.show(f"The keys in {folder} are complete: nothing was made.")
        else:
            where = root or folder / OFFLINE
            out.show(f"Made a key for each service in {folder}; the root is [bold]{made.root}[/].")
            out.show(f"The root's private key is {where}: take it off this machine, it is needed to rotate keys only.")
        out.fact("keys", made=made is not None, root=made.root if made else None)
        return Code.DONE

    perform(work, as_json=as_json, debug=debug)


@keys.command()
def rotate(
    service: Annotated[str, typer.Argument(help="For example trainer.")],
    *,
    folder: Folder = _HERE,
    root: RootPath = None,
    compromised: Annotated[bool, typer.Option("--compromised", help="The old key may be in other hands.")] = False,
    since: Annotated[datetime | None, typer.Option(help="Since when, with --compromised (UTC); default: now.")] = None,
    overlap: Annotated[
        float, typer.Option(min=0, help="Hours for which what the old key signed is believed.")
    ] = _HOURS,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Give a service a new key and issue the next keyring. The service starts again by itself and uses it."""

    async def work(out: Out) -> Code:
        from lifemask.contracts.signing import BadKey, Signer
        from lifemask.keys.making import OFFLINE, NoKeys, Rotation
        from lifemask.keys.making import rotate as rotated

        if since is not None and not compromised:
            raise WrongUsage("--since says since when a key is compromised.", "Add --compromised, or leave it out.")
        now = datetime.now(UTC)
        where = root or folder / OFFLINE
        at = (since.replace(tzinfo=UTC) if since and since.tzinfo is None else since) or now
        how = Rotation(timedelta(hours=overlap), at if compromised else None)
        try:
            ring = rotated(folder, service, Signer.load(where, "root"), now, how)
        except (NoKeys, BadKey) as problem:
            raise Failed(str(problem)) from None
        except OSError as error:
            raise Missing(f"{error.filename} cannot be used: {error.strerror}.", "Name the root with --root.") from None
        out.fact("rotated", service=service, version=ring.version, key=ring.contents.keys[-1].id)
        out.show(f"{service} has the key {ring.contents.keys[-1].id}; the keyring is version {ring.version}.")
        return Code.DONE

    perform(work, as_json=as_json, debug=debug)


@keys.command("list")
def list_keys(folder: Folder = _HERE, as_json: AsJson = False, debug: Debug = False) -> None:
    """Show every key of the keyring, what it is good for and until when."""

    async def work(out: Out) -> Code:
        from lifemask.keys.making import NoKeys, load

        try:
            ring = load(folder)
        except NoKeys as problem:
            raise Missing(str(problem)) from None
        _show(out, ring)
        return Code.DONE

    perform(work, as_json=as_json, debug=debug)


@keys.command()
def app(
    path: Annotated[Path, typer.Argument(help="File to make for the private key.")],
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Make a key with which an app signs its events; prints the public key for the apps file."""

    async def work(out: Out) -> Code:
        from lifemask.contracts.signing import Signer

        signer = Signer.generate("app")
        try:
            signer.save(path)
        except OSError as error:
            raise Failed(f"{path} cannot be made: {error.strerror}.", "A key is never overwritten.") from None
        public = base64.b64encode(signer.public).decode()
        out.fact("app_key", public=public, key=signer.keyid, path=str(path))
        out.show(f'Put this into the app\'s entry of the apps file: "signing_keys": ["{public}"]')
        return Code.DONE

    perform(work, as_json=as_json, debug=debug)


def make_missing(folder: Path, root: Path | None = None) -> "Keyring | None":
    """Makes keys where there are none. Raises Failed or Missing when that cannot be."""
    from lifemask.contracts.signing import BadKey
    from lifemask.keys.making import NoKeys, make

    try:
        return make(folder, datetime.now(UTC), root)
    except (NoKeys, BadKey) as problem:
        raise Failed(str(problem)) from None
    except OSError as error:
        raise Missing(
            f"{error.filename} cannot be written: {os.strerror(error.errno or 0)}.", "Give this account the right."
        ) from None


def _show(out: Out, ring: "Keyring") -> None:
    from rich.table import Table

    table = Table(title=f"Keyring version {ring.version}, root {ring.root}", box=None, title_justify="left")
    for column in ("service", "key", "signs", "since", "until"):
        table.add_column(column)
    for key in ring.contents.keys:
        out.fact("key", version=ring.version, root=ring.root, **key.model_dump(mode="json"))
        table.add_row(key.holder, key.id, ", ".join(key.steps), _day(key.since), _end(key))
    out.show(table)


def _end(key: "Key") -> str:
    if key.compromised_at is not None:
        return f"[red]compromised {_day(key.compromised_at)}[/]"
    return _day(key.until) if key.until else ""


def _day(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
