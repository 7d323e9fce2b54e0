"""`lifemask dead-letters`: messages that a service gave up on; handled again, or closed for good."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from lifemask.cli.installation import Installation
from lifemask.cli.letters_shown import effect_line, letter_fields, letters_table, show_letter
from lifemask.cli.operating import WAIT, Wait, Yes, carried_out, operator_name, operators_database
from lifemask.cli.out import Out
from lifemask.cli.perform import AsJson, Debug, perform
from lifemask.cli.stops import Code, Failed, WrongUsage
from lifemask.cli.whereabouts import DATA, DataOption

if TYPE_CHECKING:
    from lifemask.bus.letters import Letter
    from lifemask.bus.ordering import Act
    from lifemask.bus.rows import Connection

dead_letters = typer.Typer(help="Messages that a service gave up on.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="A letter's id, SERVICE/NUMBER.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Ids of letters, SERVICE/NUMBER.", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="All of them; with --service or --run those only.")]
ServiceName = Annotated[str | None, typer.Option("--service", help="Of this service only.")]
RunId = Annotated[str | None, typer.Option("--run", help="Of this run only.")]
_GOOD: Final = frozenset({"replayed", "discarded", "run_failed"})


@dead_letters.command("list")
def list_letters(
    *,
    service: ServiceName = None,
    run: RunId = None,
    data: DataOption = DATA,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """List the dead letters of all services, oldest first."""

    async def work(out: Out) -> Code:
        async with operators_database(Installation.find(data)) as connection:
            found = await _find(connection, service, run)
        for letter in found:
            out.fact("dead_letter", **letter_fields(letter))
        out.show(letters_table(found) if found else "No dead letters.")
        if found:
            out.show(f"\nLook at one: lifemask dead-letters show {found[0].id}")
        return Code.DONE

    perform(work, as_json=as_json, debug=debug)


@dead_letters.command()
def show(id: Id, data: DataOption = DATA, as_json: AsJson = False, debug: Debug = False) -> None:
    """Show one as it came: its bytes, its headers, the error of each attempt, and what can be done."""

    async def work(out: Out) -> Code:
        async with operators_database(Installation.find(data)) as connection:
            (letter,) = await _named(connection, [id])
        out.fact("dead_letter", **letter_fields(letter, whole=True))
        show_letter(out, letter)
        return Code.DONE

    perform(work, as_json=as_json, debug=debug)


@dead_letters.command()
def replay(
    ids: Ids = None,
    *,
    every: All = False,
    service: ServiceName = None,
    run: RunId = None,
    yes: Yes = False,
    wait: Wait = WAIT,
    data: DataOption = DATA,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Have letters handled again, once for each request; their runs' deadlines start anew."""

    async def work(out: Out) -> Code:
        async with operators_database(Installation.find(data)) as connection:
            found = await _chosen(connection, ids, service, run, every=every)
            return await _act(out, connection, found, "replay", wait if yes else None)

    perform(work, as_json=as_json, debug=debug)


@dead_letters.command()
def discard(
    ids: Ids = None,
    *,
    every: All = False,
    service: ServiceName = None,
    run: RunId = None,
    yes: Yes = False,
    wait: Wait = WAIT,
    data: DataOption = DATA,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Close letters for good. A run that waits for one ends as failed, and its user is told."""

    async def work(out: Out) -> Code:
        async with operators_database(Installation.find(data)) as connection:
            found = await _chosen(connection, ids, service, run, every=every)
            return await _act(out, connection, found, "discard", wait if yes else None)

    perform(work, as_json=as_json, debug=debug)


async def _act(out: Out, connection: "Connection", found: Sequence["Letter"], name: str, wait: float | None) -> Code:
    """Says what would be done; with `wait` (seconds) orders it and says what was."""
    from lifemask.bus.letters import on_discard, on_replay
    from lifemask.bus.ordering import Act

    act = Act(name)
    effects = [(letter, (on_replay if act is Act.REPLAY else on_discard)(letter)) for letter in found]
    if not found:
        out.show("No dead letters.")
        return Code.DONE
    possible = [letter for letter, effect in effects if not effect.refused]
    for letter, effect in effects:
        done = wait is not None and not effect.refused
        out.fact(name, id=letter.id, run=letter.run_id, effect=effect.says, refused=effect.refused, ordered=done)
        out.show(effect_line(letter, effect))
    if wait is None:
        out.show(f"\nNothing was done yet. Do it: the same command with --yes ({len(possible)} of {len(found)}).")
        return Code.DONE
    gone_wrong = len(found) - len(possible)
    for service in sorted({letter.service for letter in possible}):
        mine = [letter for letter in possible if letter.service == service]
        gone_wrong += await _order(out, connection, act, mine, wait)
    return Code.FAILED if gone_wrong else Code.DONE


async def _order(out: Out, connection: "Connection", act: "Act", mine: Sequence["Letter"], wait: float) -> int:
    """Orders it of one service; returns how many letters it could not be done to."""
    from lifemask.bus.ordering import order

    names = {letter.id: await order(connection, letter, act, operator_name()) for letter in mine}
    done = await carried_out(connection, mine[0].service, list(names.values()), wait)
    for letter in mine:
        outcome = done[names[letter.id]]
        out.fact("done", id=letter.id, run=letter.run_id, outcome=outcome)
        out.show(f"  {letter.id}: {outcome.replace('_', ' ')}")
    return sum(done[name] not in _GOOD for name in names.values())


async def _find(connection: "Connection", service: str | None, run: str | None) -> list["Letter"]:
    from lifemask.bus.letters import dead_letters as read
    from lifemask.bus.roles import SERVICES

    if service is not None and service not in SERVICES:
        raise WrongUsage(f"There is no service {service!r}.", f"It is one of {', '.join(SERVICES)}.")
    wanted = [service] if service else SERVICES
    found = [letter for each in wanted for letter in await read(connection, each)]
    return sorted((each for each in found if run in {None, each.run_id}), key=lambda each: each.dead_at)


async def _named(connection: "Connection", ids: Sequence[str]) -> list["Letter"]:
    from lifemask.bus.letters import dead_letters as read
    from lifemask.bus.roles import SERVICES

    found: dict[str, Letter] = {}
    for each in ids:
        service, _, number = each.partition("/")
        if service not in SERVICES or not number.isdecimal() or len(number) > 18:
            raise WrongUsage(f"{each!r} is no letter's id.", "Ids look like trainer/17: `lifemask dead-letters list`.")
        letters = await read(connection, service, int(number))
        if not letters:
            raise Failed(f"There is no dead letter {each}.", "It may have been replayed or discarded meanwhile.")
        found[each] = letters[0]
    return list(found.values())


async def _chosen(
    connection: "Connection", ids: Sequence[str] | None, service: str | None, run: str | None, *, every: bool
) -> list["Letter"]:
    if bool(ids) == every or (ids and (service or run)):
        raise WrongUsage("Which letters?", "Name their ids, or --all, if wanted with --service or --run.")
    return await _named(connection, ids) if ids else await _find(connection, service, run)
