"""An app hears of new and withdrawn models.

    python subscriber.py

The environment says where and as whom: KAFKA (host:port) and GROUP. Each group gets the whole history first.
"""

import asyncio
import os
import sys

from aiokafka import AIOKafkaConsumer

from lifemask.contracts import ModelReady, ModelRevoked, Topic, parse


async def listen() -> None:
    async with AIOKafkaConsumer(
        Topic.MODELS.named(),
        bootstrap_servers=os.environ["KAFKA"],
        group_id=os.environ["GROUP"],
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    ) as consumer:
        async for record in consumer:
            try:
                match parse(record):
                    case ModelReady() as ready:
                        print("ready", ready.user_id, ready.model_id, ready.store_key, flush=True)
                    case ModelRevoked() as revoked:
                        print("revoked", revoked.user_id, revoked.model_id, flush=True)
            except ValueError as problem:  # newer than this package, or no event of Lifemask
                print(f"skipped offset {record.offset}: {type(problem).__name__}", file=sys.stderr, flush=True)
            await consumer.commit()  # only now: who stops in between gets the record again


if __name__ == "__main__":
    asyncio.run(listen())
