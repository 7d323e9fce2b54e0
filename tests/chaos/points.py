"""Which scenario reaches each outside call: one row per call and service, kept complete by test_points.py.

A row stands for four plays: the process ends before the call and after it, at the first hit and at the second. What no
scenario reaches says why, and where else its crash is played.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from tests.chaos.calls import SERVICES, calls_of, points_of

RUN: Final = "run"
"""Photos become a model through the API, with a look at everything on the way. Also every start of a process."""
ANNOUNCED: Final = "announced"
"""The same through Kafka."""
CANCEL: Final = "cancel"
"""A run is cancelled while its training runs."""
LOST: Final = "lost"
"""The answer to the paid call is lost."""
BUSY: Final = "busy"
"""The provider is busy for a moment, then answers with an error for a moment."""
REVOKE: Final = "revoke"
"""An operator revokes a model."""
RESTART: Final = "restart"
"""A cancelled run is started again from its photos."""
TARGETS: Final = "targets"
"""Photos are put at targets; one is taken out of the draft."""
SCENARIOS: Final = frozenset({RUN, ANNOUNCED, CANCEL, LOST, BUSY, REVOKE, RESTART, TARGETS})


class Unplayed(str):
    """Why no scenario of a whole system plays the crash."""

    __slots__ = ()


_LOOP: Final = Unplayed("a loop without an end, which never comes back: its moments are the points inside of it")
_STATEMENTS: Final = Unplayed(
    "needs poison, a changed row or a pause: tests/bus/test_crashes.py ends the process there"
)
_CUT: Final = Unplayed("runs only while a process is being asked to stop, or for a lane whose message died")
_DAYS: Final = Unplayed("comes a day after the run's end, or an hour; each deletion may be done twice")
_READS: Final = Unplayed("a read for a page; it changes nothing, and whoever asked asks again")

BUS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("bus.Intake.store", "bus.Finisher._store", "bus.Rows.reading", "bus.Timer.step"), RUN),
    **dict.fromkeys(("bus.Orders.step", "bus.Reporter.step", "bus.Cleaner.step"), RUN),
    **dict.fromkeys(("bus.Worker._claim", "bus.Worker._work", "bus.Worker._finish", "bus.Service.readiness"), RUN),
    **dict.fromkeys(("bus.transaction", "bus.produce", "bus.mark", "bus.poll", "bus.ack"), RUN),
    "bus.open_bus": Unplayed("a block as long as its process; what it asks at the start, it asks again"),
    **dict.fromkeys(("bus.Ender.run", "bus.Relay.run", "bus.Reporter.run", "bus.Worker.keep_leases"), _LOOP),
    **dict.fromkeys(("bus.DeadLetters.bury", "bus.Worker._refuse", "bus.Orders._try"), _STATEMENTS),
    "bus.Orders._carry_out": _STATEMENTS,
    **dict.fromkeys(("bus.Stalling.tell", "bus.Stalling.nothing_waits", "bus.Stalling.none_waits"), _STATEMENTS),
    **dict.fromkeys(("bus.Worker._retry", "bus.Worker._wait", "bus.Working.brought", "bus.Ender.end"), _STATEMENTS),
    **dict.fromkeys(("bus.Worker._take", "bus.Worker._give_back"), _CUT),
    **dict.fromkeys(("bus.Working.check", "bus.Working._commit", "bus.Bus.commit"), _STATEMENTS),
}
"""Of every service, unless its own table says otherwise."""

STORE: Final[Mapping[str, str]] = dict.fromkeys(
    (f"store.{name}" for name in ("put", "writing", "get", "read", "head", "delete", "list")), RUN
)
"""By its work, or by the probe with which each service tries its rights after a start."""
_NO_EVENTS_ONLY: Final = Unplayed(
    "its outcomes are never events only, each takes a transaction of its own; a message without any may come again"
)

OWN: Final[Mapping[str, Mapping[str, str]]] = {
    "ingest": {
        **dict.fromkeys(("keep_consequences", "judge", "commitment", "seal_upload", "commit", "clear_work"), RUN),
        **dict.fromkeys(
            ("known_key", "keep_key", "open_runs", "run", "counted", "photos", "keyed", "keep_only", "add"), RUN
        ),
        **dict.fromkeys(("PostgresRuns.open_slots", "StoredNames.read", "keep_request", "keep_contact"), RUN),
        **dict.fromkeys(("TokenArchives.size", "TokenArchives.read", "RowWriter", "current"), RUN),
        **dict.fromkeys(("is_active", "page", "models", "model", "changes", "find", "TokenLinks.read"), RUN),
        **dict.fromkeys(("taker", "StoredIncoming.size", "StoredIncoming.read", "clear_incoming"), ANNOUNCED),
        **dict.fromkeys(("insert_restarted", "StoredOriginals.read"), RESTART),
        **dict.fromkeys(("address", "take", "slots.open_slots", "close_slot", "forget"), TARGETS),
        **dict.fromkeys(("StoredOriginals.remove", "StoredIncoming.remove"), TARGETS),
        **dict.fromkeys(("is_copied", "clear_originals", "sweep"), _DAYS),
        **dict.fromkeys(("uploaded",), _READS),
        "newer": Unplayed("after the provider's key for callbacks was changed; it reads"),
        "GuardedWeb.read": Unplayed("fetches from a public https address, which no test may have"),
        "aclose": Unplayed("at the end of a process that was asked to stop"),
        "bus.Bus.commit": RUN,
        "bus.Ender.end": _STATEMENTS,
    },
    "image_validator": {
        **dict.fromkeys(("holds", "uploaded", "sealed_before", "seal", "examine", "of_run", "write"), RUN),
        **dict.fromkeys(("original", "keep_clean", "keep_verdict"), RUN),
        "forget": Unplayed("for a photo that was judged otherwise before; deleting again does nothing"),
        **dict.fromkeys(("bus.Working.check", "bus.Working._commit"), RUN),
    },
    "packager": {
        **dict.fromkeys(("write", "inspect", "checked", "ahead", "drain", "validated", "seal"), RUN),
        "bus.Working.check": RUN,
        "bus.Rows.reading": Unplayed("it has no rows of its own"),
    },
    "trainer": {
        **dict.fromkeys(("TokenAddresses.archive", "write_and_ask", "prove", "has_training", "seal_training"), RUN),
        **dict.fromkeys(("seal_weights", "of_run", "write_row", "prepare", "create", "get", "copy_out"), RUN),
        "cancel": CANCEL,
        "find": LOST,
        "delete_version": REVOKE,
        "PresignedAddresses.archive": Unplayed(
            "chosen by a setting, for stores that sign addresses; it writes nothing"
        ),
        **dict.fromkeys(("bus.Working.check", "bus.Working._commit"), RUN),
        "bus.Ender.end": CANCEL,
        "bus.Worker._wait": BUSY,
    },
    "publisher": {
        **dict.fromkeys(("trained", "seal", "create", "commit", "attach", "HuggingFaceHub.read_back", "find"), RUN),
        **dict.fromkeys(("write_row", "copy_weights", "put_metadata", "StoredModels.read_back"), RUN),
        **dict.fromkeys(("seal_revocation", "HuggingFaceHub.remove", "StoredModels.remove"), REVOKE),
        **dict.fromkeys(("bus.Working.check", "bus.Working._commit"), RUN),
        "bus.Finisher._store": _NO_EVENTS_ONLY,
    },
    "notifier": {
        **dict.fromkeys(("address", "called", "find", "write_row", "send", "call"), RUN),
        "is_over": Unplayed("a read before a delay is told; it changes nothing, and the reminder asks again"),
        **dict.fromkeys(
            ("waiting", "stopped", "mailed_at"), Unplayed("of the report to the operator, which needs a broken custody")
        ),
        "bus.Finisher._store": _NO_EVENTS_ONLY,
        "store.put": Unplayed("it writes nothing"),
    },
}


def table() -> dict[str, dict[str, str]]:
    """The scenario, or the reason, of each call by service."""
    return {service: {**BUS, **STORE, **OWN[service]} for service in SERVICES}


def played(service: str) -> Iterator[tuple[str, int, str]]:
    """Every crash point that a scenario reaches, with its hit and the scenario."""
    rows = table()[service]
    for call in calls_of(service):
        scenario = rows[call.label]
        for point in points_of(service, call.label):
            if scenario in SCENARIOS:
                yield from ((point, hit, scenario) for hit in (1, 2))
