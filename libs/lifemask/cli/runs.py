"""`lifemask runs` and `lifemask run ID`."""

from typing import Annotated

import typer

from lifemask.cli.out import Out
from lifemask.cli.perform import AsJson, Debug, perform
from lifemask.cli.stops import Code, Failed, WrongUsage
from lifemask.cli.whereabouts import DATA, DataOption, UserOption, Whereabouts

RunId = Annotated[str, typer.Argument(metavar="ID", help="The run's id.")]


def runs(user: UserOption = None, data: DataOption = DATA, as_json: AsJson = False, debug: Debug = False) -> None:
    """List runs: of one user, or of every user of the app that the event log names."""
    perform(lambda out: _runs(out, Whereabouts.find(data), user), as_json=as_json, debug=debug)


def run(
    run_id: RunId, user: UserOption = None, data: DataOption = DATA, as_json: AsJson = False, debug: Debug = False
) -> None:
    """Show one run: what happens, whose move it is, photos with their verdicts, attempts, cost."""
    perform(lambda out: _run(out, Whereabouts.find(data), run_id, user), as_json=as_json, debug=debug)


async def _runs(out: Out, where: Whereabouts, user: str | None) -> Code:
    from lifemask.cli.client import Api
    from lifemask.cli.tables import runs_table

    url, key = where.api()
    users = [user] if user else await _users(where)
    async with Api(url, key) as api:
        found = [(each, run) for each in users for run in await api.runs(each)]
    for owner, run in found:
        out.fact("run", user=owner, **run.model_dump())
    out.show(runs_table(found) if found else "No runs yet. Start one: lifemask train DIR --user U --trigger-word W")
    return Code.DONE


async def _run(out: Out, where: Whereabouts, run_id: str, user: str | None) -> Code:
    from lifemask.cli.client import Api
    from lifemask.cli.runs_shown import show_run

    url, key = where.api()
    owner = user or await _owner(where, run_id)
    async with Api(url, key) as api:
        body = await api.run_body(owner, run_id)
        photos = await api.photos(owner, run_id)
    out.fact("run", user=owner, **body, photo_verdicts=[photo.model_dump() for photo in photos])
    show_run(out, owner, body, photos)
    return Code.DONE


async def _users(where: Whereabouts) -> list[str]:
    """The app's users that the event log names."""
    from lifemask.cli.eventlog import EventLog

    if where.app is None:
        raise WrongUsage("Whose runs?", "Name the user with --user.")
    events = await EventLog(where.brokers(), where.topic_prefix).read()
    mine = {event.user_id for event in events if event.user_id.startswith(f"{where.app}.")}
    return sorted(user.partition(".")[2] for user in mine)


async def _owner(where: Whereabouts, run_id: str) -> str:
    from lifemask.cli.eventlog import EventLog

    events = await EventLog(where.brokers(), where.topic_prefix).read(lambda event: event.run_id == run_id)
    if not events:
        raise Failed(f"The event log knows no run {run_id}.", "Name its user with --user, or check the id.")
    return events[0].user_id.partition(".")[2]
