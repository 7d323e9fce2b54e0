"""What is a person's own, or opens something, is in the store alone: not on Kafka, in logs, in spans or in rows."""

import asyncpg
import pytest
from tests.system.conftest import SECRET_NAME, Apps, Ready
from tests.system.listener import Listener
from tests.system.outside import Outside
from tests.system.photos import SECRET_DEVICE, SECRET_PLACE, good
from tests.system.reading import Sound
from tests.system.stack import Stack
from tests.system.waiting import eventually

from lifemask.cli.plan import SERVICES

pytestmark = pytest.mark.slow

Places = dict[str, bytes]


async def rows_of(dsn: str) -> Places:
    """Every row of every table of ours, as text; bytes in it are hexadecimal."""
    connection = await asyncpg.connect(dsn, server_settings={"default_transaction_read_only": "on"})
    try:
        tables = await connection.fetch(
            "select schemaname, tablename from pg_tables where schemaname = any($1::text[])", list(SERVICES)
        )
        found = {}
        for schema, table in tables:
            rows = await connection.fetch(f'select t::text as row from "{schema}"."{table}" t')
            found[f"rows of {schema}.{table}"] = "\n".join(row["row"] for row in rows).encode()
        return found
    finally:
        await connection.close()


@pytest.fixture
async def places(ready: Ready, stack: Stack, listener: Listener, sound: Sound) -> Places:
    history = await sound()

    async def spans() -> bool:
        return any(ready.run.encode() in raw for raw in listener.raw_spans)

    assert await eventually(spans)
    logs = {f"log of {path.stem}": path.read_bytes() for path in (stack.data / "logs").glob("*.log")}
    del logs["log of sandbox"]  # the outside world, which knows its own tokens
    return {
        "Kafka": b"\n".join(fact.raw for fact in history.facts),
        "spans": b"\n".join(listener.raw_spans),
        **logs,
        **await rows_of(stack.dsn),
    }


def found_in(places: Places, secret: bytes) -> set[str]:
    """Where a secret stands, as it is or in hexadecimal."""
    return {name for name, text in places.items() if secret in text or secret.hex().encode() in text}


def test_the_search_finds_what_is_there(places: Places, ready: Ready) -> None:
    found = found_in(places, ready.run.encode())
    assert {"Kafka", "spans", "rows of trainer.attempt", "rows of ingest.inbox"} <= found
    assert {f"log of {service.replace('_', '-')}" for service in SERVICES} <= found_in(places, b'"starting"')
    assert found_in(places, b'"photo_id":') >= {"Kafka", "rows of ingest.inbox"}


async def test_no_secret_is_outside_of_the_store(places: Places, ready: Ready, apps: Apps, outside: Outside) -> None:
    run = await ready.person.view(ready.run)
    model = (await ready.person.http.get(ready.person.path("models", run["model"]["id"]))).json()
    training = await outside.training(run["training"]["id"])
    secrets = {
        "mail address": ready.person.email,
        "file name": SECRET_NAME,
        "EXIF": SECRET_DEVICE,
        "GPS": SECRET_PLACE,
        "app key": apps.keys["acme"],
        "webhook secret": apps.webhook_secret.removeprefix("whsec_"),
        "provider's token": "r8_sandbox_lifemask",
        "hub's token": "hf_sandbox_lifemask",
        "weights link": model["weights_url"].rsplit("/", 1)[1],
        "callback link": training["webhook"].rsplit("/", 1)[1],
    }
    leaks = {what: found for what, secret in secrets.items() if (found := found_in(places, secret.encode()))}
    assert leaks == {}


async def test_the_archives_address_is_known_to_the_trainer_alone(
    places: Places, ready: Ready, outside: Outside
) -> None:
    training = await outside.training((await ready.person.view(ready.run))["training"]["id"])
    token = training["input_path"].rsplit("/", 1)[1]
    # By this address the trainer recognises its training at the provider after a crash.
    assert found_in(places, token.encode()) == {"rows of trainer.attempt"}


def test_no_picture_is_outside_of_the_store(places: Places) -> None:
    for photo in good(13):
        assert found_in(places, photo.data[4000:4032]) == set()
        assert found_in(places, photo.data[-64:-32]) == set()


def test_logs_and_spans_do_not_name_people(places: Places, ready: Ready) -> None:
    everybody = ready.person.bus_id.rstrip("0123456789abcdef").encode()
    found = found_in(places, everybody)
    assert "Kafka" in found
    assert not [place for place in found if place.startswith("log of") or place == "spans"]
