"""The same faults before a real Kafka and a real S3."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.chaos.faults.house import House, house
from tests.chaos.faults.people import street, when
from tests.chaos.faults.test_deploy import another
from tests.chaos.faults.test_matrix import FAULTS, HELD, lose, outlive
from tests.one_machine.waiting import is_running
from tests.system.conftest import a_person
from tests.system.photos import good
from tools.kafka import running_kafka
from tools.proxy import Fault, Match, before_brokers, holds
from tools.s3 import running_s3

pytestmark = [pytest.mark.real, pytest.mark.timeout(150)]

PARTS = ("kafka", "store")
ANSWERS: dict[str, tuple[Match, int]] = {"kafka": (holds(b"ce_specversion"), 3), "store": (holds(b"PUT /"), 3)}
"""An event that a broker acknowledges, an object that is put."""
PATIENT = {
    "LIFEMASK_KAFKA_SESSION_TIMEOUT_MS": "6000",
    "LIFEMASK_KAFKA_REQUEST_TIMEOUT_MS": "9000",
    "LIFEMASK_WATCHDOG": "15",
    "LIFEMASK_STORE_TIMEOUT": "3",
    "LIFEMASK_STORE_REQUEST_TIMEOUT": "3",
}
"""The shortest session that a real Kafka grants; a watchdog that lets a group of it come together."""
NOTICED = ("message_retried", "broken", "poll_failed")


@pytest.fixture(scope="module")
def home(folder: Path) -> Iterator[House]:
    """A system on one Kafka node and one S3, each behind a proxy."""
    stack = AsyncExitStack()
    with asyncio.Runner() as runner, pytest.MonkeyPatch.context() as patch:
        try:
            brokers = runner.run(stack.enter_async_context(running_kafka(folder / "kafka")))
            place = runner.run(stack.enter_async_context(running_s3(folder / "s3")))
            for name, value in place.environment().items():
                patch.setenv(name, value)  # whoever looks on opens the store in this process
            one = PATIENT | {
                "LIFEMASK_KAFKA": brokers,
                "LIFEMASK_KAFKA_REPLICATION": "1",
            }
            through = {
                "kafka": (brokers, lambda proxy: {"LIFEMASK_KAFKA": before_brokers({"kafka": proxy})}),
                "store": (
                    place.endpoint.removeprefix("http://"),
                    lambda proxy: {"AWS_ENDPOINT_URL_S3": f"http://{proxy.address}"},
                ),
            }
            with house(folder, one | place.environment(), through) as system:
                yield system
        finally:
            runner.run(stack.aclose())


@pytest.mark.parametrize("fault", list(FAULTS))
@pytest.mark.parametrize("part", PARTS)
async def test_every_run_is_ready_after(home: House, part: str, fault: str) -> None:
    async with street(home) as there:
        await outlive(there, home.proxies[part], FAULTS[fault])


@pytest.mark.parametrize("part", PARTS)
async def test_every_run_is_ready_after_resets_of_answers(home: House, part: str) -> None:
    async with street(home) as there:
        runs = await there.busy()
        proxy = home.proxies[part]
        before = proxy.hits["reset"]
        proxy.replies = Fault(reset=True)
        await when(lambda: proxy.hits["reset"] > before + 2)
        proxy.mend()
        await there.all_ready(runs)


@pytest.mark.parametrize("part", PARTS)
async def test_every_run_is_ready_after_its_port_was_closed(home: House, part: str) -> None:
    async with street(home) as there:
        runs = await there.busy()
        before, cut = home.said(*NOTICED), home.proxies[part].hits["down"]
        home.proxies[part].close()
        await when(lambda: home.said(*NOTICED) > before or home.proxies[part].hits["down"] > cut)
        await asyncio.sleep(HELD)
        home.proxies[part].mend()
        await there.all_ready(runs)


@pytest.mark.parametrize("part", PARTS)
async def test_an_answer_that_is_lost_is_asked_for_and_never_assumed(home: House, part: str) -> None:
    match, times = ANSWERS[part]
    async with street(home) as there:
        runs = await there.busy()
        await lose(home.proxies[part], match, times)
        await there.all_ready(runs)


async def test_an_old_process_and_a_new_one_share_the_work(home: House) -> None:
    """The older one is asked to end in the middle of it."""
    async with street(home) as there:
        runs = await there.busy(3, seconds=3)
        async with another(home, "trainer") as url:
            more = [a_person(there.http) for _ in range(3)]
            accepted = await asyncio.gather(*(person.accepted(good(12)) for person in more))
            runs |= dict(zip(accepted, more, strict=True))
            old = home.stop_service("trainer")
            await when(lambda: not is_running(old))
            await when(lambda: home.pid_of("trainer"))
            assert (await there.outside.http.get(f"{url}/healthz")).status_code == 200
        await there.all_ready(runs)
