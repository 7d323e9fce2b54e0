"""A bounded number of people who keep training models while everything around them falls over.

They behave as good clients do: what got no answer is asked again, with the same key.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any, Final
from uuid import UUID

import httpx
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from tests.chaos.house import APP, House
from tests.system.app import OVER, Person
from tests.system.history import Answer, History, trace_of
from tests.system.photos import File, good

from lifemask.contracts import PhotosUploaded, Record, RunRequest, new_id, pack
from lifemask.contracts.signing import sign
from lifemask.objects import keys, open_objects
from lifemask.testkit.keys import app_signer

PHOTOS: Final = 12
PATIENCE: Final = 180.0
"""Seconds for one question, however often it is asked."""
TRIGGER: Final = "CNRYWRD"
"""Stands in every request; a trigger word is the person's own."""
_AGAIN: Final = frozenset({429, 500, 502, 503, 504})


class Sturdy(httpx.AsyncClient):
    """Asks again when nobody answers, and keeps every refusal."""

    def __init__(self, house: House, answers: list[Answer]) -> None:
        super().__init__(
            base_url=house.stack.url, headers={"Authorization": f"Bearer {house.key}"}, trust_env=False, timeout=20
        )
        self._house = house
        self._answers = answers

    async def request(self, method: str, url: Any, **kwargs: Any) -> httpx.Response:
        """Raises TimeoutError when there is no answer for a long time."""
        async with asyncio.timeout(PATIENCE):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    answer = await super().request(method, f"{self._house.stack.url}{url}", **kwargs)
                    if answer.status_code >= 400:
                        asked = f"{method} {str(url).rsplit('/', 1)[1]}"
                        self._answers.append(Answer(asked=asked, status=answer.status_code, body=answer.text))
                    if answer.status_code not in _AGAIN:
                        return answer
                await asyncio.sleep(0.2)


@dataclass
class Crowd:
    """So many people at once, each with one run after the other, with so many faces. `seed` decides what they do."""

    house: House
    seed: int
    people: int = 6
    faces: int = 3
    problems: list[str] = field(default_factory=list)
    """What went wrong for somebody in a way that no good client can explain."""
    accepted: set[tuple[str, str]] = field(default_factory=set)
    """Users and runs for which the API said yes."""
    asked: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    runs: int = 0
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, wave: int) -> None:
        """Lets everybody go on until `rest`; returns when the last has done what they were at."""
        async with Sturdy(self.house, self.answers) as http:
            await asyncio.gather(*(self._person(http, f"{wave}/{number}") for number in range(self.people)))

    def wake(self) -> None:
        """The contrary of `rest`; before the next `run`."""
        self._stopping.clear()

    def rest(self) -> None:
        """Nobody begins anything new."""
        self._stopping.set()

    async def _person(self, http: Sturdy, name: str) -> None:
        dice = Random(f"{self.seed}/{name}")
        while not self._stopping.is_set():
            self.runs += 1
            door: Callable[[Person, Random], Any] = self._announces if dice.random() < 0.25 else self._uploads
            person = Person(http, APP, f"u{UUID(int=dice.getrandbits(128)).hex[:12]}")
            self.names.add(person.name)
            try:
                await door(person, dice)
            except (AssertionError, TimeoutError, httpx.HTTPError) as problem:
                self.problems.append(f"{type(problem).__name__} to {person.bus_id}: {str(problem)[:300]}")

    async def _uploads(self, person: Person, dice: Random) -> None:
        """The door of the API."""
        await person.introduce()
        key = UUID(int=dice.getrandbits(128)).hex
        run = await person.draft(key, trigger_word=TRIGGER)
        self.asked.setdefault((person.bus_id, key), set()).add(run)
        if dice.random() < 0.2:
            self.asked[person.bus_id, key].add(await person.draft(key, trigger_word=TRIGGER))
            assert (await person.begin(key, trigger_word="OTHER")).status_code in {409, 422}
        photos = good(PHOTOS, seed=dice.randrange(1, self.faces + 1))
        for at in range(0, PHOTOS, 6):
            await person.send(run, photos[at : at + 6])
        answer = await person.submit(run)
        assert answer.status_code == 202, answer.text
        self.accepted.add((person.bus_id, run))
        await self._waits(person, run, dice)

    async def _announces(self, person: Person, dice: Random) -> None:
        """The door of Kafka: objects in the app's prefix, then a signed event."""
        await person.introduce()
        run, upload = new_id(), "up-1"
        photos = good(PHOTOS, seed=dice.randrange(1, self.faces + 1))
        await self._puts(person, upload, photos)
        names = tuple(photo.name for photo in photos)
        request = RunRequest(name="Portrait", trigger_word="TOK")  # which the app itself puts on Kafka
        event = PhotosUploaded(user_id=person.bus_id, run_id=run, upload=upload, objects=names, request=request)
        traceparent = f"00-{trace_of(run)}-00f067aa0ba902b7-01"
        packed = pack(event, id=f"upload {run}", source=f"app/{APP}", time=datetime.now(UTC), traceparent=traceparent)
        record = sign(packed, app_signer(APP))
        while not await self._says(record) or not await self._is_known(person, run):
            """An embedded broker that ends forgets what nobody has read: whoever heard of no run says it again."""
        await self._waits(person, run, dice)

    async def _puts(self, person: Person, upload: str, photos: list[File]) -> None:
        async with open_objects(self.house.objects_url) as objects:
            for photo in photos:
                await objects.put(keys.incoming(APP, person.name, upload, photo.name), photo.data)

    async def _says(self, record: Record) -> bool:
        """Whether the broker has it: the same bytes, so that it is one event however often it is sent."""
        try:
            async with (
                asyncio.timeout(5),
                AIOKafkaProducer(bootstrap_servers=self.house.brokers, acks="all", linger_ms=0) as producer,
            ):
                headers = list(record.headers)
                await producer.send_and_wait(
                    f"{self.house.prefix}{record.topic}", record.value, key=record.key, headers=headers
                )
        except (KafkaError, OSError, TimeoutError):
            await asyncio.sleep(0.3)
            return False
        return True

    async def _is_known(self, person: Person, run: str, seconds: float = 10.0) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while run not in [each["id"] for each in await _runs(person)]:  # noqa: ASYNC110  it belongs to another process
                    await asyncio.sleep(0.3)
                return True
        return False

    async def _waits(self, person: Person, run: str, dice: Random) -> None:
        """For the end, for the moment at which they change their mind, or until all shall rest."""
        cancels = dice.random() < 0.25
        patience = dice.uniform(0, 6) if cancels else 20.0
        deadline = asyncio.get_running_loop().time() + patience
        while asyncio.get_running_loop().time() < deadline and not self._stopping.is_set():
            if (await person.view(run))["status"] in OVER:
                return
            await asyncio.sleep(min(0.5, patience))
        if cancels:
            answer = await person.cancel(run)
            assert answer.status_code in {200, 202, 409}, answer.text

    def tell(self, history: History) -> None:
        """Puts what the people know beside what was found."""
        history.submitted |= self.accepted
        history.asked, history.answers = self.asked, self.answers
        history.canaries |= {"trigger word": TRIGGER}
        history.canaries |= {f"address of {name}": f"{name}@example.com" for name in self.names}


async def _runs(person: Person) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await person.http.get(person.path("runs"))).raise_for_status().json()["runs"]
    return found
