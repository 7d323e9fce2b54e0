"""`lifemask audit --all`: one sweep, or one every so often for as long as the process lives."""

import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from lifemask.cli.audit import load_keyring
from lifemask.cli.installation import Installation
from lifemask.cli.out import Out
from lifemask.cli.stops import Code, Missing, Stop
from lifemask.runtime.watch import WATCH_FD_VARIABLE, die_with_parent

if TYPE_CHECKING:
    from lifemask.audit.explaining import Unexplained

_PRICE: Final = "0.001525"
"""US dollars a second, as the trainer's setting has it by default."""
_FIRST_AFTER: Final = 900.0
"""Seconds until the first of the regular sweeps: after a start everything settles first."""


async def sweep_all(out: Out, installation: Installation, *, root: str | None, no_hub: bool) -> Code:
    """One sweep: lists what no chain explains, with its cost."""
    from lifemask.audit.explaining import explain
    from lifemask.audit.hub import open_hub
    from lifemask.audit.problems import Unreachable
    from lifemask.audit.provider import open_provider
    from lifemask.audit.sweeping import Everywhere, take_inventory
    from lifemask.bus.outcomes import Misconfigured, Retryable

    began = time.monotonic()
    keyring = load_keyring(installation, root)
    hub, provider = None if no_hub else installation.hub, installation.provider
    async with AsyncExitStack() as stack:
        where = Everywhere(
            database=installation.database(),
            objects=await stack.enter_async_context(installation.open_store()),
            hub=await stack.enter_async_context(open_hub(hub.url, hub.token)) if hub else None,
            namespace=hub.name if hub else "",
            provider=await stack.enter_async_context(open_provider(provider.url, provider.token)) if provider else None,
            destination=provider.name if provider else "",
        )
        try:
            inventory = await take_inventory(where, keyring)
        except Unreachable as problem:
            raise Missing(f"{problem.what} cannot be read: {problem.why}.", "A sweep reads everything.") from None
        except (Misconfigured, Retryable) as problem:
            raise Missing(f"The store cannot be read: {problem}.", "Check LIFEMASK_OBJECTS.") from None
    found = explain(inventory, _number("LIFEMASK_PRICE_PER_SECOND", _PRICE), _evidence())
    for one in found:
        out.fact("unexplained", **one.as_fields())
    out.fact(
        "sweep",
        unexplained=len(found),
        models=len(inventory.rows.models),
        runs=len(inventory.rows.runs),
        trainings=None if inventory.trainings is None else len(inventory.trainings),
        repositories=None if inventory.repos is None else len(inventory.repos),
        unseen=list(inventory.unseen),
        seconds=round(time.monotonic() - began, 2),
    )
    out.show(_table(found))
    for each in inventory.unseen:
        out.show(f"[yellow]? {each} was not looked at: nobody has said how to reach it[/]")
    out.show(_end(found, len(inventory.rows.models)))
    return Code.FAILED if found else Code.DONE


async def sweep_regularly(
    out: Out, installation: Installation, *, root: str | None, no_hub: bool, hours: float
) -> Code:
    """Sweeps again and again until SIGTERM; never for 0 hours. What is away now is looked at the next time."""
    fd = os.environ.get(WATCH_FD_VARIABLE)
    die_with_parent(int(fd) if fd else None)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    wait = min(_FIRST_AFTER, hours * 3600) or None
    out.fact("sweeping", every_hours=hours, first_in_seconds=wait)
    while True:
        try:
            async with asyncio.timeout(wait):
                await stop.wait()
        except TimeoutError:
            pass
        else:
            return Code.DONE
        wait = hours * 3600
        try:
            await sweep_all(out, installation, root=root, no_hub=no_hub)
        except Stop as problem:
            out.problem(problem.what, problem.next_step)


def _evidence() -> timedelta:
    """How long ingest holds the objects of runs that custody has refused."""
    return timedelta(hours=float(_number("LIFEMASK_EVIDENCE_HOURS", "0")))


def _number(variable: str, default: str) -> Decimal:
    try:
        return Decimal(os.environ.get(variable) or default)
    except InvalidOperation:
        raise Missing(
            f"{variable} is no number.", f"Set it as the services have it; by default it is {default}."
        ) from None


def _table(found: "list[Unexplained]") -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0), show_header=bool(found))
    for column in ("kind", "name", "why", "bytes", "cost"):
        table.add_column(column, overflow="fold", justify="right" if column in {"bytes", "cost"} else "left")
    for one in found:
        size = "" if one.bytes is None else f"{one.bytes:,}"
        table.add_row(
            Text(one.kind, "red"), Text(one.name), Text(one.why), size, f"${one.cost_usd}" if one.cost_usd else ""
        )
    return table


def _end(found: "list[Unexplained]", models: int) -> Text:
    if not found:
        return Text(f"✓ all of it is explained; {models} models, each with a chain that holds", style="green")
    cost = sum((one.cost_usd or Decimal(0) for one in found), Decimal(0))
    size = sum(one.bytes or 0 for one in found)
    return Text(f"✗ {len(found)} things are not explained: ${cost}, {size:,} bytes", style="bold red")
