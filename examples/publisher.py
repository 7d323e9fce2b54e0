"""An app hands over one person's photos: it puts them into its own folder of the store, then says so on Kafka.

    python publisher.py USER PHOTO...

The environment says who and where: APP, APP_KEY_FILE (the PEM file of the key it signs with), KAFKA (host:port) and
STORE (s3://bucket, or file:///folder on one machine).
"""

import asyncio
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import aioboto3
from aiokafka import AIOKafkaProducer

from lifemask.contracts import PhotosUploaded, RunRequest, new_id, pack, user_id
from lifemask.contracts.signing import Signer, sign

APP, KAFKA, STORE = os.environ["APP"], os.environ["KAFKA"], os.environ["STORE"]


async def put(key: str, data: bytes) -> None:
    scheme, _, place = STORE.partition("://")
    if scheme == "s3":  # credentials and endpoint: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL
        async with aioboto3.Session().client("s3") as s3:
            await s3.put_object(Bucket=place, Key=key, Body=data)
    else:  # a folder writes capital letters as + and the small letter, because some systems take both for one
        file = Path(place, re.sub("[A-Z]", lambda letter: f"+{letter[0].lower()}", key))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


async def upload(user: str, photos: list[Path]) -> None:
    run = new_id()  # keep it: the same record sent again starts nothing twice
    names = tuple(f"{n:03}{photo.suffix.lower()}" for n, photo in enumerate(photos, 1))  # not the person's file names
    for name, photo in zip(names, photos, strict=True):
        await put(f"incoming/{APP}/{user}/{run}/{name}", photo.read_bytes())
    event = PhotosUploaded(
        user_id=user_id(APP, user), run_id=run, upload=run, objects=names, request=RunRequest(name="My portrait")
    )
    trace = os.environ.get("TRACEPARENT")  # the run's trace is linked to yours
    packed = pack(event, id=run, source=f"app/{APP}", time=datetime.now(UTC), traceparent=trace)
    record = sign(packed, Signer.load(Path(os.environ["APP_KEY_FILE"]), APP))
    async with AIOKafkaProducer(bootstrap_servers=KAFKA, enable_idempotence=True) as producer:
        await producer.send_and_wait(record.topic, record.value, key=record.key, headers=list(record.headers))
    print(run)


if __name__ == "__main__":
    asyncio.run(upload(sys.argv[1], [Path(name) for name in sys.argv[2:]]))
