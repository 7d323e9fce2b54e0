"""`lifemask train`: a folder of photos becomes a model."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from lifemask.cli.out import Out
from lifemask.cli.perform import AsJson, Debug, perform
from lifemask.cli.stops import Code, WrongUsage
from lifemask.cli.whereabouts import DATA, DataOption, Whereabouts

Folder = Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder with the photos of one person.")]
User = Annotated[str, typer.Option("--user", "-u", envvar="LIFEMASK_USER", help="Your app's own id for its user.")]
Trigger = Annotated[str, typer.Option("--trigger-word", "-w", help="The word that calls the likeness in a prompt.")]
Name = Annotated[str, typer.Option("--name", help="The model's name; default: the folder's.")]
Steps = Annotated[int | None, typer.Option("--steps", help="Training steps; price and time grow with them.")]
Rate = Annotated[str | None, typer.Option("--learning-rate", help="For example 0.0001.")]
Rank = Annotated[int | None, typer.Option("--rank", help="LoRA rank; size of the weights grows with it.")]
Email = Annotated[str | None, typer.Option("--email", help="Where the person is told about the end.")]
Draft = Annotated[str | None, typer.Option("--run", help="Add the photos to this draft instead of a new run.")]


def train(
    *,
    folder: Folder,
    user: User,
    trigger_word: Trigger = "TOK",
    name: Name = "",
    steps: Steps = None,
    learning_rate: Rate = None,
    rank: Rank = None,
    email: Email = None,
    run: Draft = None,
    data: DataOption = DATA,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Upload a folder of photos, show each verdict, train, and follow the run to its end."""
    numbers = {"steps": steps, "learning_rate": learning_rate, "rank": rank}
    request = {key: value for key, value in numbers.items() if value is not None}
    request |= {"name": (name or folder.resolve().name)[:80] or "model", "trigger_word": trigger_word}

    async def work(out: Out) -> Code:
        return await _train(out, Whereabouts.find(data), folder, user, request, email=email, run_id=run)

    perform(work, as_json=as_json, debug=debug)


async def _train(
    out: Out,
    where: Whereabouts,
    folder: Path,
    user: str,
    request: dict[str, Any],
    *,
    email: str | None,
    run_id: str | None,
) -> Code:
    from lifemask.cli.client import Api
    from lifemask.cli.journey import photos_in
    from lifemask.cli.training import TooFew, exit_code, show_too_few, train_photos
    from lifemask.cli.views import Run

    if "." in user:
        raise WrongUsage(f"{user!r} has a dot.", "Give your app's own id for its user, without the app's name.")
    url, key = where.api()
    photos = photos_in(folder)
    seen: list[Run] = []
    async with Api(url, key) as api:
        if email:
            await api.set_contact(user, email)
        try:
            run = await train_photos(api, user, photos, request, out, run_id=run_id, note=seen.append)
        except asyncio.CancelledError:
            if seen:
                out.show(f"The run is kept as it is. Look at it: lifemask run {seen[-1].id} --user {user}")
            raise
        except TooFew as problem:
            problem.next_step += f" The draft stays open: add --run {problem.run.id} to complete it."
            show_too_few(out, problem)
            return problem.code
        await _tell(out, api, user, run.id)
        return exit_code(run)


async def _tell(out: Out, api: Any, user: str, run_id: str) -> None:
    """The end: where the model is, what it cost, what to do next."""
    from lifemask.cli.tables import facts_table
    from lifemask.cli.training import trace_id

    run = await api.run(user, run_id)
    model = await api.model(user, run.model.id) if run.model else None
    rows = {"run": run.id, "trace": trace_id(run.id)}
    if run.model:
        rows |= {
            "model": f"{run.model.id}  version {run.model.version}",
            "hub": run.model.hub_repo or "(not published)",
        }
        rows |= {"weights": str(link)} if (link := (model or {}).get("weights_url")) else {}
    if run.cost:
        rows["cost"] = f"${run.cost.billed or run.cost.estimated} (estimated ${run.cost.estimated})"
    out.show(facts_table(rows))
    out.fact(
        "finished",
        status=run.status,
        run_id=run.id,
        model_id=run.model.id if run.model else None,
        seconds=run.timings.get("seconds"),
        cost=run.cost.model_dump() if run.cost else None,
        summary=run.summary,
        next_step=run.next_step,
        model=model,
    )
