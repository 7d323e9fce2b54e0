"""`lifemask revoke MODEL --reason …`: takes a published model back, everywhere and for good."""

import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from lifemask.cli.installation import Installation
from lifemask.cli.out import Out
from lifemask.cli.perform import AsJson, Debug, perform
from lifemask.cli.stops import Code, Failed, Missing, WrongUsage
from lifemask.cli.whereabouts import DATA, DataOption

if TYPE_CHECKING:
    from lifemask.cli.revoking import Standing
    from lifemask.contracts import ModelRevocationRequested

Model = Annotated[str, typer.Argument(help="The model's id.", show_default=False)]
Reason = Annotated[
    str,
    typer.Option(
        "--reason", help="Why, in one line. Owner, apps and auditors read it: no personal data.", show_default=False
    ),
]
Actor = Annotated[
    str, typer.Option("--actor", envvar="LIFEMASK_ACTOR", help="Who decides: a role or an operator's id.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask back.")]
Wait = Annotated[float, typer.Option("--wait", min=0, help="Seconds to watch until all is done.")]

_WAIT: Final = 120.0
_RULES: Final = {
    "model_id": "MODEL is no model's id, a UUID of version 7",
    "reason": "--reason must be one line of 3 to 500 characters without @",
    "actor": "--actor must be 1 to 64 letters, digits, _ and -",
}


def revoke(
    model: Model,
    *,
    reason: Reason,
    actor: Actor = "operator",
    yes: Yes = False,
    wait: Wait = _WAIT,
    data: DataOption = DATA,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Withdraw a model from store, hub and provider for good, and tell owner and apps. Safe to repeat."""

    async def work(out: Out) -> Code:
        asked = _asked(model, reason, actor)
        installation = Installation.find(data)
        standing = await _standing(out, installation, asked)
        if not standing.is_asked:
            _confirm(out, standing, yes=yes)
        ids = {"user_id": standing.user_id, "run_id": standing.run_id}
        await _see_to_it(out, installation, asked.model_copy(update=ids), wait)
        return Code.DONE

    perform(work, as_json=as_json, debug=debug)


def _asked(model: str, reason: str, actor: str) -> "ModelRevocationRequested":
    """What is asked for, as the contract allows it; whose model it is comes later. Raises WrongUsage."""
    from lifemask.contracts import ModelRevocationRequested
    from lifemask.contracts.event import ValidationError

    somebody = ModelRevocationRequested.example().run
    try:
        return ModelRevocationRequested.model_validate(
            {**somebody, "model_id": model, "reason": reason, "actor": actor}
        )
    except ValidationError as wrong:
        rule = _RULES[str(wrong.errors()[0]["loc"][0])]
        raise WrongUsage(f"{rule}.", "Correct it; `lifemask revoke --help` shows an overview.") from None


async def _standing(out: Out, installation: Installation, asked: "ModelRevocationRequested") -> "Standing":
    from lifemask.cli.revoking import look

    standing = await look(installation, asked.model_id)
    if standing is None:
        raise Failed(f"No model {asked.model_id} is known here.", "The app's API shows the ids of a user's models.")
    if standing.is_withdrawn:
        raise Failed(f"Run {standing.run_id} ended without a model: nothing of it is published.")
    if standing.is_asked:
        out.show(f"{standing.actor} has asked for this before, and these words stay: {standing.reason}")
    return standing


def _confirm(out: Out, standing: "Standing", *, yes: bool) -> None:
    if yes:
        return
    if out.as_json or not sys.stdin.isatty():
        raise WrongUsage("It cannot be undone, and nobody can be asked here.", "Add --yes if it is meant.")
    app = standing.user_id.partition(".")[0]
    out.show(f"The model of run {standing.run_id} (app {app}) goes from store, hub and provider; owner and app are")
    out.show("told. Its custody statements stay. This cannot be undone.")
    if not typer.confirm("Revoke it?"):
        raise Failed("Nothing was done.")


async def _see_to_it(out: Out, installation: Installation, event: "ModelRevocationRequested", wait: float) -> None:
    from lifemask.cli.revoking import carry_out

    last: Standing | None = None
    async for last in carry_out(installation, event, wait):
        about = {"model": event.model_id, "user_id": last.user_id, "run_id": last.run_id}
        out.fact("revoking", **about, waits_for=list(last.missing))
        out.show(f"[dim]▸ {last.missing[0]}[/]" if last.missing else "")
    if last is None or last.missing:
        waits = "; ".join(last.missing) if last else "the publisher"
        raise Missing(
            f"It was asked for, but is not done after {wait:g} s. It waits for: {waits}.",
            "It goes on by itself as soon as that works. The same command again shows how far it is.",
        )
    out.fact("revoked", model=event.model_id, run_id=last.run_id, reason=last.reason, actor=last.actor)
    out.show(f"[bold]Revoked[/] by {last.actor}: {last.reason}")
    out.show(f"[dim]`lifemask audit {event.model_id}` shows it with its evidence.[/]")
