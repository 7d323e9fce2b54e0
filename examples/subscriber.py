"""An app hears of new and withdrawn models, and believes them only when Lifemask has signed them.

    python subscriber.py

The environment says where and as whom: KAFKA (host:port) and GROUP; and whom to believe: KEYRING (the operator's
keyring.json) and ROOT (the root's fingerprint). Each group gets the whole history first.
"""

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from aiokafka import AIOKafkaConsumer

from lifemask.contracts import ModelReady, ModelRevoked, Topic
from lifemask.contracts.keyring import Keyring
from lifemask.contracts.signing import NotAuthentic, verify


async def listen() -> None:
    keyring = Keyring.load(Path(os.environ["KEYRING"]).read_bytes(), os.environ["ROOT"])
    async with AIOKafkaConsumer(
        Topic.MODELS.named(),
        bootstrap_servers=os.environ["KAFKA"],
        group_id=os.environ["GROUP"],
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    ) as consumer:
        async for record in consumer:
            at = datetime.fromtimestamp(
                record.timestamp / 1000, UTC
            )  # old records were signed by the keys of their time
            try:
                match verify(record, keyring, at):
                    case ModelReady() as ready:
                        print("ready", ready.user_id, ready.model_id, ready.store_key, flush=True)
                    case ModelRevoked() as revoked:
                        print("revoked", revoked.user_id, revoked.model_id, flush=True)
            except NotAuthentic as forged:  # nothing that Lifemask has said
                print(f"refused offset {record.offset}: {forged.reason}", file=sys.stderr, flush=True)
            except ValueError as problem:  # newer than this package, or no event of Lifemask
                print(f"skipped offset {record.offset}: {type(problem).__name__}", file=sys.stderr, flush=True)
            await consumer.commit()  # only now: who stops in between gets the record again


if __name__ == "__main__":
    asyncio.run(listen())
