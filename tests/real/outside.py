"""An app outside the system: a Kafka client, an S3 client, `lifemask-contracts`, and the two example programs."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import aioboto3
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from tests.real.system import PATIENCE, System, plain_environment

from lifemask.contracts import PhotosUploaded, RunEvent, new_id, pack, parse
from lifemask.contracts.signing import sign

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

EXAMPLES = Path(__file__).parents[2] / "examples"
_Fact = TypeVar("_Fact", bound=RunEvent)


@dataclass(frozen=True, slots=True)
class Outside:
    """One app of the system."""

    system: System

    async def put(self, user: str, upload: str, photos: Sequence[Path]) -> tuple[str, ...]:
        """Puts photos where the app may write; their names."""
        async with self._store() as s3:
            for photo in photos:
                key = f"{self._folder(user)}{upload}/{photo.name}"
                await s3.put_object(Bucket=self.system.bucket, Key=key, Body=photo.read_bytes())
        return tuple(photo.name for photo in photos)

    async def incoming(self, user: str) -> list[str]:
        """Keys of what lies there for a user."""
        async with self._store() as s3:
            answer = await s3.list_objects_v2(Bucket=self.system.bucket, Prefix=self._folder(user))
        return [each["Key"] for each in answer.get("Contents", [])]

    async def announce(self, event: PhotosUploaded, value: bytes | None = None) -> None:
        """Publishes the event; `value` in place of its body."""
        plain = pack(event, id=new_id(), source=f"app/{self.system.app}", time=datetime.now(UTC))
        packed = sign(plain._replace(value=value or plain.value), self.system.app_signer)
        async with AIOKafkaProducer(bootstrap_servers=self.system.brokers, enable_idempotence=True) as producer:
            await producer.send_and_wait(packed.topic, packed.value, key=packed.key, headers=list(packed.headers))

    async def hear(self, kind: type[_Fact], run_id: str) -> _Fact:
        """Waits for what is said of a run. Raises TimeoutError."""
        async with (
            asyncio.timeout(PATIENCE),
            AIOKafkaConsumer(
                kind.topic.named(), bootstrap_servers=self.system.brokers, auto_offset_reset="earliest"
            ) as consumer,
        ):
            async for record in consumer:
                fact = parse(record)
                if isinstance(fact, kind) and fact.run_id == run_id:
                    return fact
        raise AssertionError("a consumer does not end by itself")

    async def publish(self, user: str, photos: Sequence[Path]) -> str:
        """What examples/publisher.py prints: the run's id."""
        async with self._example("publisher.py", user, *map(str, photos)) as publisher:
            said, _ = await asyncio.wait_for(publisher.communicate(), PATIENCE)
            assert publisher.returncode == 0
        return said.decode().strip()

    async def subscribe(self, user_id: str) -> list[str]:
        """The first line of examples/subscriber.py about a user, as words."""
        async with self._example("subscriber.py") as subscriber, asyncio.timeout(PATIENCE):
            assert subscriber.stdout
            async for line in subscriber.stdout:
                if user_id in (words := line.decode().split()):
                    return words
        raise AssertionError("the subscriber ended by itself")

    @asynccontextmanager
    async def _example(self, name: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
        told = {
            "APP": self.system.app,
            "KAFKA": self.system.settings["LIFEMASK_KAFKA"],
            "STORE": self.system.settings["LIFEMASK_OBJECTS"],
            "GROUP": new_id(),
            "APP_KEY_FILE": str(self.system.data / "app.pem"),
            "KEYRING": str(self.system.data / "keys" / "keyring.json"),
            "ROOT": (self.system.data / "keys" / "root.fingerprint").read_text().strip(),
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(EXAMPLES / name), *arguments),
            stdout=asyncio.subprocess.PIPE,
            env=plain_environment() | self.system.aws | told,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    @asynccontextmanager
    async def _store(self) -> AsyncIterator["S3Client"]:
        aws = self.system.aws
        session = aioboto3.Session(aws["AWS_ACCESS_KEY_ID"], aws["AWS_SECRET_ACCESS_KEY"])
        region, endpoint = aws.get("AWS_DEFAULT_REGION"), aws.get("AWS_ENDPOINT_URL_S3")
        async with session.client("s3", region_name=region, endpoint_url=endpoint) as s3:
            yield s3

    def _folder(self, user: str) -> str:
        return f"incoming/{self.system.app}/{user}/"
