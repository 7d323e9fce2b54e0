"""The end of the demonstration: where the model is, the mail, the cost, the trace, and the whole event log."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import httpx

from lifemask.cli.eventlog import EventLog, Logged
from lifemask.cli.machine import Machine
from lifemask.cli.out import Out
from lifemask.cli.tables import events_table, facts_table
from lifemask.cli.training import trace_id
from lifemask.cli.views import Run
from lifemask.contracts import ModelReady, NotificationDelivered, Topic
from lifemask.contracts.ids import user_id

_PATIENCE: Final = 10.0
"""Seconds for the mail and its event, which follow the terminal fact."""
_POLL: Final = 0.1
_MOST_ALIKE: Final = 3


async def tell_the_end(out: Out, machine: Machine, run: Run, *, user: str, contact: str) -> None:
    """Prints everything that can be seen from outside after the terminal fact."""
    events = await _event_log(machine, user_id(machine.app or "", user), run.id)
    mail = await _mail(machine, contact)
    rows = _rows(machine, run, events)
    for event in events:
        out.fact("event", **event.as_fields())
    out.fact("mail", **({"subject": mail["subject"], "text": mail["text"]} if mail else {"subject": None}))
    out.fact("result", **rows)
    out.show("\n[bold]Event log[/]")
    out.show(events_table(folded(events)))
    out.show("\n[bold]Mail[/]")
    out.show(facts_table({"to": contact, "subject": mail["subject"], "text": shown_text(mail)} if mail else {}))
    out.show("\n[bold]Model[/]" if run.model else "\n[bold]Run[/]")
    out.show(facts_table(rows))


def folded(events: Sequence[Logged]) -> list[Logged]:
    """The log with many photo events of one type as one line, at the first one's place; `lifemask events` has all."""
    by_type = dict[str, list[Logged]]()
    for event in events:
        by_type.setdefault(event.type, []).append(event)
    lines = list[Logged]()
    for event in events:
        same = by_type[event.type]
        if event.topic.endswith(Topic.PHOTOS) and len(same) > _MOST_ALIKE:
            if event is same[0]:
                usable = sum(bool(each.facts.get("usable")) for each in same)
                facts = {"photos": len(same)} | ({"usable": usable} if "usable" in event.facts else {})
                lines.append(replace(event, facts=facts))
        else:
            lines.append(event)
    return lines


def _rows(machine: Machine, run: Run, events: list[Logged]) -> dict[str, str]:
    rows = {"status": run.status, "run": run.id, "trace": trace_id(run.id)}
    ready = next((event.facts for event in events if event.type == ModelReady.ce_type), None)
    if ready and run.model:
        hub = f"{machine.sandbox.get('hub', '')}/{ready['hub_repo']}" if ready.get("hub_repo") else "(not published)"
        rows |= {
            "model": f"{run.model.id}  version {ready['version']}",
            "store": f"{machine.objects}/{ready['store_key']}",
            "hub": hub,
            "weights": f"{ready['bytes']} bytes, sha256 {ready['weights']}",
        }
    if run.cost:
        rows["cost"] = f"${run.cost.billed} billed by the sandbox, ${run.cost.estimated} estimated before"
    return rows


async def _event_log(machine: Machine, key: str, run_id: str) -> list[Logged]:
    """The user's records, once the notification of the run is among them or nobody waits for it any longer."""
    log = EventLog(machine.kafka, machine.topic_prefix)
    deadline = time.monotonic() + _PATIENCE
    while True:
        found = await log.read(lambda event: event.user_id == key)
        told = any(event.type == NotificationDelivered.ce_type and event.run_id == run_id for event in found)
        if told or time.monotonic() > deadline:
            return found
        await asyncio.sleep(_POLL)


async def _mail(machine: Machine, contact: str) -> dict[str, Any] | None:
    """The newest mail to the contact, as the sandbox's mail server got it."""
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
        mails = (await http.get(machine.sandbox["mails"])).raise_for_status().json()
    return next((mail for mail in reversed(mails) if contact in mail["to"]), None)


def shown_text(mail: dict[str, Any]) -> str:
    """A mail's text without empty lines and footer."""
    text = str(mail.get("text") or "").replace("\r\n", "\n").partition("\n-- \n")[0]
    return "\n".join(line for line in text.splitlines() if line.strip())
