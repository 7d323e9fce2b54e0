"""`lifemask training`: paid trainings whose start nobody can tell, settled by an operator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.text import Text

from lifemask.cli.installation import Installation
from lifemask.cli.operating import WAIT, Wait, Yes, answered, operator_name, operators_database
from lifemask.cli.out import Out
from lifemask.cli.perform import AsJson, Debug, perform
from lifemask.cli.stops import Code, Failed
from lifemask.cli.tables import facts_table
from lifemask.cli.whereabouts import DATA, DataOption

if TYPE_CHECKING:
    from lifemask.bus.rows import Connection

training = typer.Typer(help="Paid trainings whose start nobody can tell.", no_args_is_help=True)

Run = Annotated[str, typer.Argument(help="The run's id.")]
Training = Annotated[str, typer.Argument(help="The training's id at the provider.")]
_TRAINER: Final = "trainer"
_ADOPT: Final = "lifemask.trainer.adopt-ordered.v1"
_ABANDON: Final = "lifemask.trainer.abandon-ordered.v1"
_ADOPTS: Final = "it becomes the run's training, if the provider says that it trains on this run's archive"
_ABANDONS: Final = (
    "the attempt is given up: the run is paid for again as a new attempt, and a training of the old one that still "
    "shows up is cancelled and booked"
)


@dataclass(frozen=True, slots=True)
class Undecided:
    """A run's newest attempt, and what is asked of an operator, if anything."""

    user_id: str
    run_id: str
    attempt: int
    state: str
    needs: str | None


@dataclass(frozen=True, slots=True)
class Order:
    """What is told to the trainer, and what it does with it."""

    type: str
    effect: str
    body: Mapping[str, Any] = field(default_factory=dict)


@training.command("list")
def list_waiting(*, data: DataOption = DATA, as_json: AsJson = False, debug: Debug = False) -> None:
    """List the runs that wait for an operator, and the command that settles each."""

    async def work(out: Out) -> Code:
        from lifemask.bus.asking import waiting

        async with operators_database(Installation.find(data)) as connection:
            found = await waiting(connection, _TRAINER)
        for one in found:
            out.fact("needs_operator", user=one.user_id, run=one.run_id, needs=one.needs, deadline=one.deadline_at)
            out.show(Text.assemble((one.run_id, "bold"), f"  {one.needs}"))
        if not found:
            out.show("No run waits for an operator.")
        return Code.DONE

    perform(work, as_json=as_json, debug=debug)


@training.command()
def adopt(
    run: Run,
    training: Training,
    *,
    yes: Yes = False,
    wait: Wait = WAIT,
    data: DataOption = DATA,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Say which training at the provider is the run's. What trains on another archive is refused."""

    async def work(out: Out) -> Code:
        async with operators_database(Installation.find(data)) as connection:
            what = Order(_ADOPT, _ADOPTS, {"training": training})
            return await _order(out, connection, run, what, wait if yes else None)

    perform(work, as_json=as_json, debug=debug)


@training.command()
def abandon(
    run: Run,
    *,
    yes: Yes = False,
    wait: Wait = WAIT,
    data: DataOption = DATA,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Say that the provider has no training for the run: look there first, because it will be paid for again."""

    async def work(out: Out) -> Code:
        async with operators_database(Installation.find(data)) as connection:
            return await _order(out, connection, run, Order(_ABANDON, _ABANDONS), wait if yes else None)

    perform(work, as_json=as_json, debug=debug)


async def _order(out: Out, connection: "Connection", run: str, what: Order, wait: float | None) -> Code:
    """Says what would be done; with `wait` (seconds) orders it and says what was."""
    from lifemask.bus.ordering import Told, tell
    from lifemask.contracts import new_id

    found = await _undecided(connection, run)
    if found.state not in {"unknown", "creating"}:
        raise Failed(f"Attempt {found.attempt} of this run is {found.state}: there is nothing to settle.")
    order = f"{what.type.split('.')[2]}/{new_id()}"
    out.fact(
        "training", run=run, attempt=found.attempt, state=found.state, effect=what.effect, ordered=wait is not None
    )
    told = {"run": run, "attempt": f"{found.attempt}, {found.state}", "asked": found.needs or "", "effect": what.effect}
    out.show(facts_table(told))
    if wait is None:
        out.show("\nNothing was done yet. Do it: the same command with --yes.")
        return Code.DONE
    told_body = {**what.body, "attempt": found.attempt, "order": order}
    await tell(connection, Told(_TRAINER, what.type, found.user_id, run, told_body), order, operator_name())
    outcome = await answered(connection, _TRAINER, order, wait)
    out.fact("done", run=run, outcome=outcome)
    out.show(f"\n  {outcome}")
    return Code.FAILED if outcome.startswith("refused") else Code.DONE


async def _undecided(connection: "Connection", run: str) -> Undecided:
    from lifemask.bus.roles import schema_of

    await connection.execute(f"set search_path to {schema_of(_TRAINER)}")
    batons = await connection.fetch("select user_id, passed_at, needs from baton where run_id = $1", run)
    rows: Sequence[Any] = ()
    if batons:
        await connection.execute("select set_config('lifemask.user', $1, false)", batons[0]["user_id"])
        rows = await connection.fetch(
            "select number, state from attempt where user_id = $1 and run_id = $2 order by number",
            batons[0]["user_id"],
            run,
        )
    if not rows:
        raise Failed(f"The trainer knows no attempt of a run {run}.", "`lifemask training list` names those that wait.")
    if batons[0]["passed_at"] is not None:
        raise Failed("The run is over at the trainer: there is nothing to settle.")
    last = rows[-1]
    return Undecided(batons[0]["user_id"], run, last["number"], last["state"], batons[0]["needs"])
