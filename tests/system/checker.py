"""The invariants of a finished history. Pure: a doctored history shows that each can fail.

The numbers are those of the reliability model; what does not exist yet (erasure) is not asked for.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Final

from tests.system.history import Fact, History, RunKey, kind_of, trace_of

MINIMUM: Final = 12
"""Usable photos below which nothing is paid for."""
CENT: Final = Decimal("0.00005")
"""Our books round to four places."""

TERMINAL: Final = frozenset({"model.ready", "run.rejected", "run.failed", "run.canceled"})
PATH: Final = ("run.accepted", "photos.validated", "dataset.sealed", "training.succeeded", "model.ready")
HELD: Final[Mapping[str, str]] = {"training.started": "dataset.sealed", "training.progressed": "dataset.sealed"}
"""Facts of a stage, with the fact that must have come before."""
STAGES: Final = ("ingest", "image_validator", "packager", "trainer", "publisher")
WORK: Final = ("/clean/", "/archive/", "/weights/")

Problems = Iterator[str]


def one_end(history: History) -> Problems:
    """1: every accepted run ends once, in time, and nothing of it follows."""
    for key, facts in _runs(history).items():
        ends = [fact for fact in facts if fact.kind in TERMINAL]
        was_accepted = key in history.submitted or any(fact.kind == "run.accepted" for fact in facts)
        if len(ends) > 1 or (was_accepted and not ends):
            yield f"{_name(key)} has the terminal facts {[fact.kind for fact in ends]}"
        for fact in facts:
            if ends and fact.kind in {*PATH, *HELD, *TERMINAL} and fact.at > ends[0].at:
                yield f"{_name(key)}: {fact.kind} came after {ends[0].kind}"
    for baton in history.batons:
        if baton.deadline_at and baton.passed_at and baton.passed_at > baton.deadline_at:
            yield f"{baton.service} held {_name((baton.user, baton.run))} beyond its deadline"


def a_path(history: History) -> Problems:
    """2: a run goes through the stages in order, and never is in two at a time."""
    for key, facts in _runs(history).items():
        kinds = [fact.kind for fact in facts if fact.kind in PATH]
        if kinds != list(PATH[: len(kinds)]):
            yield f"{_name(key)} took the way {kinds}"
        for fact in facts:
            if (before := HELD.get(fact.kind)) and before not in kinds:
                yield f"{_name(key)}: {fact.kind} without {before}"
    stays = defaultdict(list)
    for baton in history.batons:
        if baton.taken_at:
            stays[baton.user, baton.run].append(baton)
    for key, batons in stays.items():
        batons.sort(key=lambda baton: STAGES.index(baton.service))
        for earlier, later in pairwise(batons):
            if later.taken_at and (earlier.passed_at is None or later.taken_at < earlier.passed_at):
                yield f"{later.service} took {_name(key)} before {earlier.service} passed it"
        said = {fact.kind for fact in history.facts if fact.key == key}
        for baton in batons:
            if baton.passed_as and kind_of(baton.passed_as) not in said:
                yield f"{baton.service} passed {_name(key)} as {kind_of(baton.passed_as)}, and nobody heard of it"


def money(history: History) -> Problems:
    """3: one training per attempt, each training known to one attempt, both books equal."""
    by_path = {attempt.path: attempt for attempt in history.attempts}
    created = Counter(training.path for training in history.billed)
    yield from (f"{count} trainings were paid for one attempt" for count in created.values() if count > 1)
    ours = {name: cost for attempt in history.attempts for name, cost in attempt.booked.items()}
    for training in history.billed:
        if (attempt := by_path.get(training.path)) is None:
            yield f"training {training.id} belongs to no attempt"
        elif training.id not in attempt.booked:
            yield f"training {training.id} is not in the books of its attempt"
        elif (booked := ours[training.id]) is None:
            yield f"training {training.id} is not booked"
        elif abs(booked - training.cost) > CENT:
            yield f"training {training.id} is booked with {booked} and billed with {training.cost}"
    yield from (f"training {name} is booked and not billed" for name in ours.keys() - {t.id for t in history.billed})


def nothing_left(history: History) -> Problems:
    """4: a run without a model leaves no training running, no repository and no weights."""
    over = {key: _end(facts) for key, facts in _runs(history).items()}
    lost = {key for key, end in over.items() if end and end.kind != "model.ready"}
    paths = {attempt.path for attempt in history.attempts if (attempt.user, attempt.run) in lost}
    for training in history.billed:
        if training.path in paths and not training.is_over:
            yield f"training {training.id} still runs for a run that is over"
    for key in lost:
        found = history.published.get(history.publishing.get(key, ""))
        if not isinstance(found, str) and found and (found.store or found.hub):
            yield f"{_name(key)} is over without a model, and still published"


def all_said(history: History) -> Problems:
    """5: whatever a service decided to say is on Kafka; one identity never has two contents."""
    yield from (f"{service} has {count} events unsent" for service, count in history.unsent.items() if count)
    heard = {fact.id for fact in history.facts}
    if missing := history.outbox.keys() - heard:
        yield f"{len(missing)} events of the outboxes are not on Kafka"
    contents = defaultdict(set)
    for fact in history.facts:
        contents[fact.source, fact.id].add(fact.raw)
    yield from (f"{who} said two things as {name}" for (who, name), found in contents.items() if len(found) > 1)


def one_digest(history: History) -> Problems:
    """7: a model's weights are the same in the statement, in the store and on the hub, and the chain holds.

    Of a revoked model the statement alone is left.
    """
    revoked = {str(fact.body["model_id"]) for fact in history.facts if fact.kind == "model.revoked"}
    for fact in history.facts:
        if fact.kind != "model.ready":
            continue
        found = history.published.get(str(fact.body["model_id"]))
        if found is None or isinstance(found, str):
            yield f"model of {_name(fact.key)}: {found or 'is not there'}"
        elif fact.body["model_id"] in revoked:
            if (found.stated, found.store, found.hub) != (fact.body["weights"], None, None):
                yield f"model of {_name(fact.key)}: it was revoked, and is still there or its statement is not"
        elif {found.stated, found.store, found.hub} != {fact.body["weights"]}:
            yield f"model of {_name(fact.key)}: its digests differ"


def audits_hold(history: History) -> Problems:
    """7: `lifemask audit` finds nothing broken about any model that is published."""
    for model, why in history.audits.items():
        if why:
            yield f"the audit of model {model[-12:]} says: {why}"


def one_run_a_key(history: History) -> Problems:
    """6: the same idempotency key is the same run."""
    for (user, _), runs in history.asked.items():
        if len(runs) > 1:
            yield f"one key of {user} made {len(runs)} runs"


def in_order(history: History) -> Problems:
    """11: a lane is done with what one source said in the order in which it said so; a stream goes on where it was."""
    for (service, lane), events in history.handled.items():
        newest: dict[tuple[str, str, str], int] = {}
        for one in events:
            topic, offset = history.places_in_log.get((one.source, one.id), ("", -1))
            sequence = topic, one.source, one.run if history.is_refilled else ""
            if offset < newest.get(sequence, -1):
                yield f"{service} was done with {one.id} of {one.source} in {lane} after what came later"
            newest[sequence] = max(offset, newest.get(sequence, -1))
    for key, stream in history.streams.items():
        numbers = [number for number, _ in stream.whole]
        if stream.problem or not numbers or numbers != list(range(1, len(numbers) + 1)):
            yield f"the stream of {_name(key)} told {stream.problem or numbers}"
        elif stream.rest != stream.whole[stream.known :]:
            yield f"the stream of {_name(key)} told {len(stream.rest)} changes after {stream.known}, or other ones"


def not_there(history: History) -> Problems:
    """19: what is another's is not there."""
    for answer in history.strangers:
        if answer.status != 404:
            yield f"{answer.status} to {answer.asked}"


def nothing_told(history: History) -> Problems:
    """12: no canary stands in Kafka, in a log or in a span, as it is or in hexadecimal."""
    for place, text in history.places.items():
        for what, canary in history.canaries.items():
            if canary.encode() in text or canary.encode().hex().encode() in text:
                yield f"{what} stands in {place}"


def well_refused(history: History) -> Problems:
    """18: whoever is refused is told a code and the next step, and never how our code looks inside."""
    for answer in (*history.answers, *history.strangers):
        try:
            body = json.loads(answer.body)
        except ValueError:
            body = {}
        if not (isinstance(body, dict) and body.get("code") and body.get("next_step")):
            yield f"{answer.status} to {answer.asked} has no code or no next step"
        if "Traceback" in answer.body:
            yield f"{answer.status} to {answer.asked} shows a stack trace"


def own_photos(history: History) -> Problems:
    """8: what was trained on came from the run's own uploads, and was enough."""
    runs = {attempt.path: (attempt.user, attempt.run) for attempt in history.attempts}
    for key, dataset in history.datasets.items():
        if isinstance(dataset, str):
            yield f"the dataset of {_name(key)}: {dataset}"
        elif dataset.originals - history.photos.get(key, set()):
            yield f"the dataset of {_name(key)} holds photos that were not uploaded to it"
    for training in history.billed:
        key = runs.get(training.path, ("", ""))
        dataset = history.datasets.get(key, "was never sealed")
        if isinstance(dataset, str):
            yield f"training {training.id}: its dataset {dataset}"
        elif training.photos is not None and set(training.photos) != dataset.clean:
            yield f"training {training.id} was given other photos than those that were sealed"
        elif len(dataset.clean) < MINIMUM:
            yield f"training {training.id} was paid for {len(dataset.clean)} photos"


def models_and_runs(history: History) -> Problems:
    """9: no model without a succeeded run, no succeeded run without a model."""
    ready = {str(fact.body["model_id"]): fact.key for fact in history.facts if fact.kind == "model.ready"}
    if ready != history.models:
        yield f"{len(ready)} models were announced and {len(history.models)} are shown, or of other runs"
    trained = {fact.key for fact in history.facts if fact.kind == "training.succeeded"}
    yield from (f"{_name(key)} has a model and no training" for key in set(ready.values()) - trained)
    paths = {training.path for training in history.billed if training.succeeded}
    known = {(attempt.user, attempt.run) for attempt in history.attempts if attempt.path in paths}
    yield from (f"{_name(key)} has a model that no training made" for key in set(ready.values()) - known)


def told_once(history: History) -> Problems:
    """10: one notification per run, outcome and channel, and each is told of once."""
    names = Counter((notice.user, notice.run, notice.outcome, notice.channel) for notice in history.notices)
    yield from (f"{_name(name[:2])} has {n} notifications of one kind" for name, n in names.items() if n > 1)
    said = Counter(
        {
            fact.id: str(fact.body["notification"]) for fact in history.facts if fact.kind == "notification.delivered"
        }.values()
    )
    for notice in history.notices:
        if notice.state == "pending" or said[notice.id] != 1:
            yield f"notification of {_name((notice.user, notice.run))} is {notice.state}, told {said[notice.id]} times"
        if notice.channel == "email" and notice.state == "delivered" and notice.id not in history.mails:
            yield f"the mail to {notice.user} did not arrive"
    for key, facts in _runs(history).items():
        end = _end(facts)
        told = {n.channel for n in history.notices if end and (n.user, n.run) == key and kind_of(n.outcome) == end.kind}
        if end and key in history.submitted and told != {"email", "webhook"}:
            yield f"{_name(key)} ended, and only {sorted(told)} know"


def one_trace(history: History) -> Problems:
    """16: every record of a run is in the run's own trace."""
    for fact in history.facts:
        parts = (fact.traceparent or "").split("-")
        if fact.run and (len(parts) != 4 or parts[1] != trace_of(fact.run)):
            yield f"{fact.kind} of {_name(fact.key)} is in another trace"


def at_rest(history: History) -> Problems:
    """17: nothing to do, nothing stuck, nothing temporary left. And 13: no dead letter that nobody poisoned."""
    yield from (f"{service} has {count} messages to do" for service, count in history.undone.items() if count)
    for service in history.dead.keys() | history.poisoned.keys():
        dead, poisoned = history.dead.get(service, 0), history.poisoned.get(service, 0)
        if dead != poisoned:
            yield f"{service} has {dead} dead letters, and {poisoned} messages were poisoned"
    over = {f"users/{user}/runs/{run}" for (user, run), facts in _runs(history).items() if _end(facts)}
    for key in history.objects:
        if any(work in key and key.partition(work)[0] in over for work in WORK):
            yield f"a temporary object is left: …{key[-60:]}"


INVARIANTS: Final[Mapping[str, Callable[[History], Problems]]] = {
    "1": one_end,
    "2": a_path,
    "3": money,
    "4": nothing_left,
    "5": all_said,
    "6": one_run_a_key,
    "7": one_digest,
    "7, audit": audits_hold,
    "8": own_photos,
    "9": models_and_runs,
    "10": told_once,
    "11": in_order,
    "12": nothing_told,
    "16": one_trace,
    "13, 17": at_rest,
    "18": well_refused,
    "19": not_there,
}


def broken(history: History) -> list[str]:
    """Every invariant that does not hold, with the reason."""
    return [f"invariant {number}: {problem}" for number, check in INVARIANTS.items() for problem in check(history)]


def _runs(history: History) -> dict[RunKey, list[Fact]]:
    """The facts of each run, once each, in order of time."""
    runs: dict[RunKey, dict[tuple[str, str], Fact]] = defaultdict(dict)
    for fact in history.facts:
        if fact.run:
            runs[fact.key].setdefault((fact.source, fact.id), fact)
    for key in history.submitted:
        runs.setdefault(key, {})
    return {key: sorted(facts.values(), key=_order) for key, facts in runs.items()}


def _order(fact: Fact) -> tuple[float, int]:
    """Kafka has no order across topics; facts of one millisecond are taken in the order of the path."""
    return fact.at.timestamp(), PATH.index(fact.kind) if fact.kind in PATH else len(PATH)


def _end(facts: list[Fact]) -> Fact | None:
    return next((fact for fact in facts if fact.kind in TERMINAL), None)


def _name(key: tuple[str, ...]) -> str:
    return f"run {key[1][-12:]} of {key[0]}"
