"""Fakes of the publisher's ports and the values that its tests share."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lifemask.bus.outcomes import Keep, Outcome, Retryable
from lifemask.contracts import Failure, FailureCode, RunRequest, TrainingSucceeded
from lifemask.publisher.domain import (
    Checked,
    HubNames,
    Intended,
    Known,
    Publication,
    Published,
    Revocation,
    Revoked,
    Revoking,
    Sealed,
    SignedFile,
    State,
    Statements,
    Trained,
    Withdrawing,
    Withdrawn,
    plan,
)
from lifemask.publisher.ports import Check
from lifemask.testkit.events import an_event
from lifemask.testkit.stepping import SteppingTurn

USER = "acme.user-42"
RUN = "0192f7a0-1b2c-7d3e-8f40-5a6b7c8d9e0f"
NAMES = HubNames("lifemask", "lora")
FILES = (
    "1-upload-1.dsse.json",
    "2-validation-1.dsse.json",
    "3-dataset-1.dsse.json",
    "4-training-1.dsse.json",
    "5-weights-1.dsse.json",
)
LAST = SignedFile("6-publication-1.dsse.json", b'{"signed":"publication"}')
WEIGHTS = b"not really safetensors, but as good for a digest" * 100
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()
REQUEST = RunRequest(
    name="My portrait",
    description="Studio portraits, spring",
    trigger_word="ANNA",
    metadata={"order": "1234"},
    steps=1200,
    rank=32,
)


def trained(weights: bytes = WEIGHTS) -> Trained:
    return Trained(
        request=REQUEST,
        trainer="ostris/flux-dev-lora-trainer:26dce37a",
        steps=1200,
        rank=32,
        learning_rate="0.0004",
        photos=16,
        attempt=1,
        weights=hashlib.sha256(weights).hexdigest(),
        bytes=len(weights),
        statements=Statements("a" * 64, "b" * 64, "c" * 64, "d" * 64, "e" * 64),
        files=tuple(SignedFile(name, b'{"signed":"%b"}' % name.encode()) for name in FILES),
    )


def succeeded() -> TrainingSucceeded:
    return an_event(TrainingSucceeded, user_id=USER, run_id=RUN, cost_usd="1.04")


def publication(epoch: int = 3) -> Publication:
    return plan(USER, RUN, epoch, NAMES)


@dataclass
class InMemoryChain:
    """A chain that holds, unless `problem` is set. `sealed` are the publications that were sealed, create-only."""

    problem: Failure | None = None
    sealed: dict[tuple[str, int], tuple[Publication, datetime]] = field(default_factory=dict)
    revoked: dict[tuple[str, datetime], Revocation] = field(default_factory=dict)

    async def trained(self, event: TrainingSucceeded, seen: datetime) -> Trained | Failure:
        return self.problem or trained()

    async def seal(self, publication: Publication, trained: Trained, at: datetime) -> Sealed | Failure:
        kept = self.sealed.setdefault((publication.run_id, trained.attempt), (publication, at))
        if kept != (publication, at):
            return Failure.of(FailureCode.CUSTODY_BROKEN, link="publication")
        return Sealed(hashlib.sha256(repr(kept).encode()).hexdigest(), LAST)

    async def seal_revocation(self, publication: Publication, revocation: Revocation, at: datetime) -> None:
        self.revoked.setdefault((publication.model_id, at), revocation)


@dataclass
class InMemoryPublications:
    """The rows, with the same rules of going forward as the real ones."""

    row: Known | None = None

    async def find(self, user_id: str, run_id: str) -> Known | None:
        return self.row

    def apply(self, *outcomes: Outcome) -> None:
        for outcome in outcomes:
            if isinstance(outcome, Keep):
                self._write(outcome.row)

    def _write(self, row: object) -> None:
        state = self.row.state if self.row else None
        match row:
            case Intended(publication=new):
                if state is None:
                    self.row = Known(Publication(new.user_id, new.run_id, new.model_id, "", new.repo), State.INTENDED)
            case Checked(publication=new):
                if state is State.INTENDED:
                    self.row = Known(new, State.INTENDED)
            case Withdrawing(user_id=user_id, run_id=run_id, model_id=model_id):
                old = self.row.publication if self.row else Publication(user_id, run_id, model_id, "")
                if state in {None, State.INTENDED}:
                    self.row = Known(old, State.WITHDRAWING)
            case _:
                self._move(row)

    def _move(self, row: object) -> None:
        to, sources = _MOVES[type(row)]
        if self.row and self.row.state in sources:
            revocation = row.revocation if isinstance(row, Revoking) else self.row.revocation
            self.row = Known(self.row.publication, to, revocation)


_MOVES: dict[type, tuple[State, set[State]]] = {
    Published: (State.PUBLISHED, {State.INTENDED}),
    Withdrawn: (State.WITHDRAWN, {State.WITHDRAWING}),
    Revoking: (State.REVOKING, {State.INTENDED, State.PUBLISHED}),
    Revoked: (State.REVOKED, {State.REVOKING}),
}


@dataclass
class InMemoryModels:
    """The model store: places of the one model. `weights` is what the run has, None when it is gone."""

    weights: bytes | None = WEIGHTS
    places: dict[str, dict[str, bytes]] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)

    def key_of(self, publication: Publication) -> str:
        return f"users/{publication.user_id}/models/{publication.model_id}/{publication.place}/lora.safetensors"

    async def copy_weights(self, publication: Publication, trained: Trained) -> Failure | None:
        if self.weights is None:
            return Failure.of(FailureCode.OBJECT_MISSING)
        self._write("weights", publication, self.weights)
        return None

    async def put_metadata(self, publication: Publication, document: bytes) -> None:
        self._write("metadata", publication, document)

    async def read_back(self, publication: Publication) -> str | None:
        found = self.places.get(publication.place, {}).get("weights")
        return hashlib.sha256(found).hexdigest() if found is not None else None

    async def remove(self, user_id: str, model_id: str, *, but: str | None = None) -> None:
        self.places = {place: files for place, files in self.places.items() if place == but}

    def _write(self, name: str, publication: Publication, data: bytes) -> None:
        self.writes.append(name)
        self.places.setdefault(publication.place, {})[name] = data


@dataclass
class InMemoryHub:
    """The hub: per repository its commits, each the digest of its weights. `refuses` makes it call all invalid."""

    repos: dict[str, list[str]] = field(default_factory=dict)
    refuses: bool = False
    away: bool = False
    attached: dict[str, set[SignedFile]] = field(default_factory=dict)
    answers: str | None = None
    """What it says instead of the digest that was committed."""

    async def create(self, repo: str) -> Failure | None:
        if self.refuses:
            return Failure.of(FailureCode.PUBLICATION_REFUSED)
        self.repos.setdefault(repo, [])
        return None

    async def commit(self, publication: Publication, trained: Trained, check: Check) -> str | Failure:
        await check()
        commits = self.repos[publication.repo or ""]
        if trained.weights not in commits:
            commits.append(trained.weights)
        return f"{len(commits):040x}"

    async def attach(self, publication: Publication, file: SignedFile, check: Check) -> Failure | None:
        await check()
        self.attached.setdefault(publication.repo or "", set()).add(file)
        return None

    async def read_back(self, publication: Publication, size: int) -> str | None:
        if self.answers:
            return self.answers
        return self.repos[publication.repo or ""][int(publication.hub_commit or "0", 16) - 1]

    async def remove(self, repo: str) -> None:
        if self.away:
            raise Retryable(FailureCode.HUB_UNAVAILABLE)
        self.repos.pop(repo, None)


class KeepingTurn(SteppingTurn):
    """A turn whose commits reach the rows at once, as the real one's do."""

    rows: InMemoryPublications

    async def commit(self, *outcomes: Outcome) -> None:
        await self.check()
        self.rows.apply(*outcomes)


@dataclass
class World:
    """Everything outside of the handlers."""

    chain: InMemoryChain = field(default_factory=InMemoryChain)
    publications: InMemoryPublications = field(default_factory=InMemoryPublications)
    store: InMemoryModels = field(default_factory=InMemoryModels)
    hub: InMemoryHub = field(default_factory=InMemoryHub)
    names: HubNames = NAMES

    @property
    def ports(self) -> dict[str, Any]:
        return {
            "chain": self.chain,
            "publications": self.publications,
            "store": self.store,
            "hub": self.hub,
            "names": self.names,
        }

    def turn(self, epoch: int = 3, lost_after: int | None = None) -> KeepingTurn:
        turn = KeepingTurn(epoch=epoch, lost_after=lost_after)
        turn.rows = self.publications
        return turn

    def state(self) -> State | None:
        return self.publications.row.state if self.publications.row else None

    @property
    def is_empty_outside(self) -> bool:
        return not self.store.places and not self.hub.repos
