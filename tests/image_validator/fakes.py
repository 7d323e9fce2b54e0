"""The validator's ports in memory."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from tests.image_validator.policies import POLICY, QUOTA
from tests.image_validator.test_verdicts import GOOD

from lifemask.bus.outcomes import Keep, Outcome, Retryable
from lifemask.contracts import (
    Event,
    Failure,
    FailureCode,
    PhotoReceived,
    PhotoRemoved,
    RunAccepted,
    Verdict,
    new_id,
)
from lifemask.image_validator.adapters.store import document_of
from lifemask.image_validator.domain.album import Album, Damaged, Decided, Photo, Sealed, SealedPhoto, Terms
from lifemask.image_validator.domain.photo import Examined, Kind, Policy, judge
from lifemask.image_validator.handlers import HANDLERS
from lifemask.testkit.events import a_run, an_event
from lifemask.testkit.stepping import SteppingTurn, step

SEALED = "5" * 64


def digest_of(content: str) -> str:
    return content.encode().hex().ljust(64, "0")


@dataclass
class World:
    """One run and everything around it. A file's content says what it shows: "sea", "sea again", "blurry" …"""

    run: dict[str, str] = field(default_factory=a_run)
    files: dict[str, str] = field(default_factory=dict)
    clean: dict[str, bytes] = field(default_factory=dict)
    verdicts: dict[str, bytes] = field(default_factory=dict)
    rows: dict[str, Photo] = field(default_factory=dict)
    decided: bool = False
    foreign: set[str] = field(default_factory=set)
    """Photos whose bytes are not the announced ones."""
    breaks: str | None = None
    away: bool = False
    manifest: tuple[SealedPhoto, ...] = ()
    sealed: list[tuple[SealedPhoto, ...]] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    examined: list[str] = field(default_factory=list)
    turn: SteppingTurn = field(default_factory=SteppingTurn)
    policy: Policy = POLICY
    encoder: str = "test encoder"
    statement: Sealed | None = None
    """What lies in the statement's place."""

    def upload(self, content: str) -> str:
        """A file of the person; returns the photo's id."""
        photo = new_id()
        self.files[photo] = content
        return photo

    async def receive(self, photo: str) -> list[Event]:
        return await self.take(an_event(PhotoReceived, **self.run, photo_id=photo))

    async def remove(self, photo: str) -> list[Event]:
        return await self.take(an_event(PhotoRemoved, **self.run, photo_id=photo))

    async def accept(self, *photos: str) -> list[Event]:
        self.seals(*photos)
        return await self.decide(len(photos))

    def seals(self, *photos: str) -> None:
        """The upload statement names these photos as they lie there now."""
        self.manifest = tuple(SealedPhoto(one, digest_of(self.files[one]), len(self.files[one])) for one in photos)

    async def decide(self, photos: int) -> list[Event]:
        return await self.take(an_event(RunAccepted, **self.run, photos=photos))

    async def take(self, event: Event) -> list[Event]:
        """One event in; rows are stored as the bus would, events come back."""
        outcomes = await self.step(event)
        self.store(self.turn.commits)
        self.store(outcomes)
        return [one for one in outcomes if isinstance(one, Event)]

    async def step(self, event: Event) -> list[Outcome]:
        ports = {"chain": self, "gallery": self, "imaging": self, "photos": self}
        return await step(HANDLERS, event, turn=self.turn, policy=self.policy, quota=QUOTA, **ports)

    def store(self, outcomes: Sequence[object]) -> None:
        for one in outcomes:
            if isinstance(one, Keep) and isinstance(one.row, Photo):
                self.rows[one.row.photo_id] = one.row
            elif isinstance(one, Keep) and isinstance(one.row, Damaged):
                self.damaged.append(one.row.photo_id)
            elif isinstance(one, Keep):
                assert one.row == Decided(**self.run)
                self.decided = True

    async def of_run(self, user_id: str, run_id: str) -> Album:
        assert self.run == {"user_id": user_id, "run_id": run_id}
        return Album(dict(self.rows), self.decided)

    async def original(self, user_id: str, run_id: str, photo_id: str) -> bytes | None:
        if self.away:
            raise Retryable(FailureCode.STORE_UNAVAILABLE)
        content = self.files.get(photo_id)
        return None if content is None else content.encode()

    async def keep_clean(self, photo: Photo, jpeg: bytes) -> None:
        self.clean[photo.photo_id] = jpeg

    async def forget(self, photo: Photo) -> None:
        self.clean.pop(photo.photo_id, None)

    async def keep_verdict(self, photo: Photo) -> None:
        self.verdicts[photo.photo_id] = document_of(photo, self.policy)

    async def examine(self, data: bytes) -> Examined:
        content = data.decode()
        self.examined.append(content)
        measured = GOOD
        if content.startswith("blurry"):
            measured = replace(GOOD, sharpness=1.0)
        elif content.startswith("text"):
            measured = replace(GOOD, kind=Kind.OTHER, decoded=False)
        if verdicts := judge(measured, self.policy):
            return Examined(measured, verdicts, digest_of(content))
        likeness = int(hashlib.sha256(content.split()[0].encode()).hexdigest(), 16)
        return Examined(measured, (), digest_of(content), likeness, b"jpeg of " + data)

    async def holds(self, event: PhotoReceived, sha256: str) -> bool:
        return event.photo_id not in self.foreign

    async def uploaded(self, event: RunAccepted, seen: datetime) -> tuple[SealedPhoto, ...] | Failure:
        return broken("upload") if self.breaks == "upload" else self.manifest

    async def seal(
        self,
        event: RunAccepted,
        sealed: Sequence[SealedPhoto],
        photos: Sequence[Photo],
        *,
        terms: Terms,
        at: datetime,
    ) -> str | Failure:
        if self.breaks == "validation":
            return broken("validation")
        assert (terms, at) == (Terms(self.policy.digest, self.encoder), self.turn.got_at)
        assert [one.photo_id for one in photos] == [one.photo_id for one in sealed]
        self.sealed.append(tuple(sealed))
        usable = sum(one.usable for one in photos)
        self.statement = Sealed(SEALED, len(photos), usable)
        return SEALED

    async def sealed_before(self, event: RunAccepted, at: datetime) -> Sealed | None:
        return self.statement


def broken(link: str) -> Failure:
    return Failure.of(FailureCode.CUSTODY_BROKEN, link=link)


def scenes(count: int) -> list[str]:
    """Contents of photos of which none resembles another."""
    return [f"{chr(97 + number % 26) * (3 + number // 26)}-scene" for number in range(count)]


DUPLICATE = (Verdict.DUPLICATE,)
