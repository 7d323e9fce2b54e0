"""The trainer's ports in memory, with the same rules as the real ones."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from lifemask.bus.outcomes import Retryable
from lifemask.contracts import DatasetSealed, Digest, Failure, FailureCode
from lifemask.trainer.domain.attempt import (
    Abandon,
    Adopt,
    Advance,
    Answered,
    ArchiveAddress,
    Ask,
    Attempt,
    AttemptId,
    Bill,
    Book,
    Claim,
    CloseCount,
    CopyFailed,
    Doubt,
    End,
    Fetched,
    Forgotten,
    Intend,
    KnownTraining,
    ListedClean,
    Spot,
    State,
    StopRun,
    Withdraw,
    sources,
)
from lifemask.trainer.domain.policy import Pace, Policy
from lifemask.trainer.domain.training import Answer, Fate, Listing, Progress, Reply, Training
from lifemask.trainer.domain.weights import Copied
from lifemask.trainer.ports import Dataset, Order

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DIGEST = "a" * 64
TRAINER = "ostris/flux-dev-lora-trainer:" + "e" * 64
SECOND = timedelta(seconds=1)
POLICY = Policy(
    trainer=TRAINER,
    price=Decimal("0.001525"),
    seconds_per_step=Decimal("0.682"),
    url_life=timedelta(hours=24),
    skew=timedelta(minutes=10),
    looks=Pace(2 * SECOND, 1.5, 30 * SECOND),
    reconciles=Pace(5 * SECOND, 2, 300 * SECOND),
    watches=Pace(2 * SECOND, 2, 1800 * SECOND),
    apart=timedelta(minutes=10),
    patience=timedelta(minutes=30),
    creates=3,
    copies=3,
    records=4,
    failure_records=2,
)


class ClaimLost(Exception):
    """Another worker owns the attempt's paid call."""


@dataclass
class InMemoryAttempts:
    now: datetime = START
    rows: dict[AttemptId, Attempt] = field(default_factory=dict)
    bills: dict[str, Bill] = field(default_factory=dict)
    closed: set[AttemptId] = field(default_factory=set)
    forgotten: set[AttemptId] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)

    async def of_run(self, user_id: str, run_id: str) -> Sequence[Attempt]:
        return sorted((row for key, row in self.rows.items() if key[:2] == (user_id, run_id)), key=lambda row: row.id)

    def write(self, change: object) -> None:
        match change:
            case Intend(id=key, plan=plan):
                self.rows.setdefault(key, Attempt(key, State.INTENDED, plan, intended_at=self.now))
            case Claim(id=key, statement=statement):
                if not self._move(key, State.CREATING, statement=statement):
                    raise ClaimLost
            case StopRun(user_id=user_id, run_id=run_id):
                for key in [key for key in self.rows if key[:2] == (user_id, run_id)]:
                    self._change(key, stop=True)
            case Withdraw(id=key):
                self._move(key, State.INTENDED)
            case Doubt(id=key):
                self._move(key, State.UNKNOWN, doubted_at=self.now)
            case Abandon(id=key):
                if self.rows[key].state is not State.UNKNOWN:
                    raise Retryable(FailureCode.TRAINING_UNKNOWN)
                self._move(key, State.ABANDONED)
            case End(id=key, to=to, bill=bill, version=version):
                self._move(key, to, version=version)
                self._book(key, bill)
            case _:
                self._write_fact(change)

    def _write_fact(self, change: object) -> None:
        match change:
            case Adopt(id=key, training=training):
                self._know(key, training)
                self._move(key, State.RUNNING, training=training)
            case Spot(id=key, training=training):
                self._know(key, training)
            case Advance(id=key, percent=percent):
                self._change(key, percent=max(percent, self.rows[key].percent))
            case ListedClean(id=key):
                row = self.rows[key]
                self._change(key, clean_listings=row.clean_listings + 1, clean_since=row.clean_since or self.now)
            case Fetched(id=key) if key not in self.closed:
                self._change(key, fetches=self.rows[key].fetches + 1)
            case Fetched():
                pass
            case CloseCount(id=key):
                self.closed.add(key)
            case CopyFailed(id=key):
                self._change(key, copy_failures=self.rows[key].copy_failures + 1)
            case Book(id=key, bill=bill):
                self._book(key, bill)
            case Forgotten(user_id=user_id, run_id=run_id):
                self.forgotten.update(key for key in self.rows if key[:2] == (user_id, run_id))
            case _:
                self._tell(change)

    def _tell(self, change: object) -> None:
        match change:
            case Ask(id=key, why=why):
                self._change(key, asked=True)
                self.asked.append(why)
            case Answered(order=order, outcome=outcome):
                self.answers[order] = outcome
            case _:
                raise AssertionError(change)

    def _change(self, key: AttemptId, **fields: object) -> None:
        self.rows[key] = replace(self.rows[key], **fields)  # type: ignore[arg-type]  # names are checked by the tests

    def _move(self, key: AttemptId, to: State, **fields: object) -> bool:
        if self.rows[key].state not in sources(to):
            return False
        self._change(key, state=to, **fields)
        return True

    def _know(self, key: AttemptId, training: str) -> None:
        known = self.rows[key].trainings
        if training not in {each.id for each in known}:
            self._change(key, trainings=(*known, KnownTraining(training, booked=False)))

    def _book(self, key: AttemptId, bill: Bill | None) -> None:
        if bill is None:
            return
        self._know(key, bill.training)
        self.bills.setdefault(bill.training, bill)
        known = tuple(
            replace(each, booked=each.booked or each.id == bill.training) for each in self.rows[key].trainings
        )
        self._change(key, trainings=known)


@dataclass
class InMemoryTrainings:
    """A provider under the test's control. `makes` says whether a call with that answer leaves a training behind."""

    answers: list[tuple[Answer, bool]] = field(default_factory=list)
    held: dict[str, Training] = field(default_factory=dict)
    posts: Counter[str] = field(default_factory=Counter)
    orders: list[Order] = field(default_factory=list)
    lagging: set[str] = field(default_factory=set)
    away: bool = False
    clean: bool = True
    deleted: list[str] = field(default_factory=list)
    prepared: int = 0
    now: datetime = START
    before_create: Callable[[], Awaitable[None]] | None = None
    after_create: Callable[[], Awaitable[None]] | None = None

    async def prepare(self) -> None:
        self.prepared += 1

    async def create(self, order: Order) -> Reply:
        if self.before_create:
            await self.before_create()
        answer, makes = self.answers.pop(0) if self.answers else (Answer.STARTED, True)
        self.orders.append(order)
        if answer not in {Answer.BUSY, Answer.UNSENT, Answer.DENIED, Answer.UNPAID, Answer.MISSING, Answer.INVALID}:
            self.posts[order.archive_url] += 1
        training = self.make(order.archive_url) if makes else None
        if self.after_create:
            await self.after_create()
        return Reply(
            answer, training if answer is Answer.STARTED else None, 7 * SECOND if answer is Answer.BUSY else None
        )

    def make(self, archive_url: str, **fields: object) -> Training:
        path = archive_url.removeprefix("https://lifemask.test")
        training = Training(f"t{len(self.held)}", "starting", created_at=self.now, archive_path=path)
        self.held[training.id] = replace(training, **fields)  # type: ignore[arg-type]  # names are checked by the tests
        return self.held[training.id]

    def set(self, training: str, status: str, **fields: object) -> None:
        changed = replace(self.held[training], status=status, **fields)  # type: ignore[arg-type]  # as above
        self.held[training] = changed

    def succeed(self, training: str, seconds: str = "682.5") -> None:
        self.set(
            training,
            "succeeded",
            predict_seconds=Decimal(seconds),
            weights_url="https://files.test/trained.tar",
            version="acme/loras:v1",
            completed_at=START + timedelta(minutes=12),
        )

    async def get(self, training: str) -> Training | None:
        self._check()
        return self.held.get(training)

    async def find(self, archive_path: str, since: datetime) -> Listing:
        self._check()
        found = tuple(
            each
            for each in reversed(self.held.values())
            if each.archive_path == archive_path
            and each.id not in self.lagging
            and each.created_at is not None
            and each.created_at >= since
        )
        return Listing(found, self.clean)

    async def cancel(self, training: str) -> Training | None:
        self._check()
        if training in self.held and self.held[training].fate is Fate.OPEN:
            self.set(training, "canceled", predict_seconds=Decimal(100))
        return self.held.get(training)

    async def delete_version(self, version: str) -> None:
        self._check()
        self.deleted.append(version)

    def _check(self) -> None:
        if self.away:
            raise Retryable(FailureCode.PROVIDER_UNAVAILABLE)


@dataclass
class InMemoryWeights:
    results: list[Copied | Failure | Retryable] = field(default_factory=list)
    copies: list[tuple[str | None, AttemptId]] = field(default_factory=list)

    async def copy_out(self, url: str | None, attempt: AttemptId) -> Copied | Failure:
        self.copies.append((url, attempt))
        result = self.results.pop(0) if self.results else Copied("b" * 64, 172_000_000, frozenset())
        if isinstance(result, Retryable):
            raise result
        return result


@dataclass
class InMemoryChain:
    problem: Failure | None = None
    unsealed: Failure | None = None
    sealed: list[tuple[str, datetime]] = field(default_factory=list)
    trainings: set[AttemptId] = field(default_factory=set)

    async def prove(self, event: DatasetSealed, seen: datetime) -> Dataset | Failure:
        key = f"users/{event.user_id}/runs/{event.run_id}/archive/1.zip"
        return self.problem or Dataset(event.statement, key, "d" * 64, 61_000_000, "TOK")

    async def has_training(self, attempt: AttemptId) -> bool:
        return attempt in self.trainings

    async def seal_training(self, attempt: Attempt, dataset: Dataset, at: datetime) -> Digest | Failure:
        self.sealed.append(("training", at))
        self.trainings.add(attempt.id)
        return self.unsealed or DIGEST

    async def seal_weights(
        self, attempt: Attempt, training: Training, copied: Copied, at: datetime, *, seen: datetime
    ) -> Digest | Failure:
        self.sealed.append(("weights", at))
        return self.unsealed or "c" * 64


@dataclass
class InMemoryAddresses:
    gateway: bool = True

    async def archive(self, attempt: AttemptId, dataset: Dataset, expires_at: datetime) -> ArchiveAddress:
        name = f"{dataset.archive_key.replace('/', '_')}_{attempt.number}_{int(expires_at.timestamp())}"
        return ArchiveAddress(f"https://lifemask.test/v1/objects/{name}", self.gateway)

    def leads_to(self, path: str, attempt: AttemptId, *, gateway: bool) -> bool:
        own = f"users_{attempt.user_id}_runs_{attempt.run_id}_archive_1.zip_{attempt.number}_"
        return path.rpartition("/")[2].startswith(own)

    def callback(self, attempt: AttemptId, expires_at: datetime) -> str | None:
        return f"https://lifemask.test/v1/callbacks/replicate/{attempt.number}"


def progress(percent: int) -> Progress:
    return Progress(percent, percent * 10, 1000)
