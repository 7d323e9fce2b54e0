import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.one_machine.household import Journal
from tests.one_machine.waiting import is_running, until

from lifemask.cli.supervisor import Child, Console, StartError, Supervisor, supervised
from lifemask.cli.supervisor.child import Backoff
from lifemask.cli.supervisor.supervisor import in_order

pytestmark = pytest.mark.slow


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path)


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return Console(tmp_path / "logs", None)


@asynccontextmanager
async def household(console: Console, *children: Child) -> AsyncIterator[Supervisor]:
    try:
        async with supervised(children, console, patience=15.0) as supervisor:
            yield supervisor
    finally:
        console.close()


async def test_children_start_when_those_before_them_are_ready_and_stop_by_groups(
    journal: Journal, console: Console
) -> None:
    children = (
        journal.child("service", after=("migration",), group=2),
        journal.child("migration", "once", after=("database",)),
        journal.child("database"),
        journal.child("sandbox", group=1),
    )
    async with household(console, *children) as supervisor:
        assert set(supervisor.pids) == {"service", "database", "sandbox"}
    order = [line for line in journal.lines() if "sandbox" not in line and "given" not in line]
    assert order == [
        "database started",
        "database ready",
        "migration started",
        "migration done",
        "service started",
        "service ready",
        "service stopped",
        "database stopped",
    ]
    assert journal.said("stopped") == ["service", "sandbox", "database"]


async def test_a_child_that_ends_is_started_again(journal: Journal, console: Console, tmp_path: Path) -> None:
    async with household(console, journal.child("service", "fail:1:2"), journal.child("other")) as supervisor:
        assert journal.said("started").count("service") == 3
        os.kill(supervisor.pids["service"], signal.SIGKILL)
        await journal.until_said("service ready", times=2)
    assert journal.said("started").count("other") == 1
    log = (tmp_path / "logs" / "service.log").read_text()
    assert "service says hello" in log
    waits = ["code 1, starts again in 0.2 s", "code 1, starts again in 0.4 s", "code -9, starts again in 0.8 s"]
    assert [wait for wait in waits if wait in log] == waits


def test_the_wait_before_a_start_doubles_up_to_5_s_and_is_short_again_after_10_s_of_health() -> None:
    backoff = Backoff()
    assert [backoff.after(0.0) for _ in range(7)] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert [backoff.after(seconds) for seconds in (9.9, 10.0, 0.0)] == [5.0, 0.2, 0.4]


async def test_when_a_giver_dies_all_who_live_on_its_gifts_stop_before_it_starts_anew(
    journal: Journal, console: Console
) -> None:
    children = (
        journal.child("broker", "gift"),
        journal.child("first", after=("broker",), group=1),
        journal.child("second", after=("first",), group=1),
        journal.child("apart", group=1),
    )
    async with household(console, *children) as supervisor:
        before = len(journal.lines())
        os.kill(supervisor.pids["broker"], signal.SIGKILL)
        await journal.until_said("second ready", times=2)
        after = journal.lines()[before:]
    stopped, rest = sorted(after[:2]), [line for line in after[2:] if "stopped" not in line]
    assert stopped == ["first stopped", "second stopped"]
    assert rest == [
        "broker started",
        "broker was given nothing",
        "broker ready",
        "first started",
        "first was given 2",
        "first ready",
        "second started",
        "second was given 2",
        "second ready",
    ]
    assert journal.said("started").count("apart") == 1


async def test_a_giver_that_is_asked_to_restart_takes_its_dependents_along(journal: Journal, console: Console) -> None:
    children = (
        journal.child("broker", "gift"),
        journal.child("migration", "once", after=("broker",)),
        journal.child("service", after=("migration",), group=1),
    )
    async with household(console, *children) as supervisor:
        await supervisor.restart("broker")
        assert journal.said("was given 2") == ["migration", "service"]
        assert journal.said("stopped") == ["service", "broker"]
        await supervisor.restart("service")
    whole = ["broker", "migration", "service"]
    assert journal.said("started") == [*whole, *whole, "service"]


async def test_stopped_children_stay_stopped_until_they_are_started(journal: Journal, console: Console) -> None:
    async with household(console, journal.child("one"), journal.child("two")) as supervisor:
        await supervisor.stop_children(["one"])
        assert set(supervisor.pids) == {"two"}
        await supervisor.restart("two")
        assert set(supervisor.pids) == {"two"}
        await supervisor.start_children(["one"])
        assert set(supervisor.pids) == {"one", "two"}
    assert journal.said("started")[2:] == ["two", "one"]


async def test_a_child_that_ignores_the_request_is_killed_with_all_it_started(
    journal: Journal, console: Console
) -> None:
    child = journal.child("service", "stubborn", "offspring", stop_grace=0.2)
    async with household(console, child) as supervisor:
        left = [supervisor.pids["service"], journal.number("service", "offspring")]
        assert all(is_running(pid) for pid in left)
    await until(lambda: not any(is_running(pid) for pid in left))
    assert journal.said("stopped") == []


async def test_the_offspring_of_a_crashed_child_does_not_outlive_it(journal: Journal, console: Console) -> None:
    async with household(console, journal.child("service", "offspring")) as supervisor:
        offspring = journal.number("service", "offspring")
        os.kill(supervisor.pids["service"], signal.SIGKILL)
        await until(lambda: not is_running(offspring))


async def test_a_start_that_never_becomes_ready_is_ended_and_repeated(journal: Journal, console: Console) -> None:
    async with household(console, journal.child("service", "silent", start_patience=0.5)):
        assert journal.said("started") == ["service", "service"]


async def test_a_stop_is_bounded_however_many_groups_are_stubborn(journal: Journal, console: Console) -> None:
    children = [journal.child(f"s{group}", "stubborn", group=group) for group in range(3)]
    supervisor = Supervisor(console)
    await supervisor.start(children, 15.0)
    left = list(supervisor.pids.values())
    async with asyncio.timeout(3.0):
        await supervisor.stop(within=0.5)
    console.close()
    assert not any(is_running(pid) for pid in left)


async def test_a_missing_setting_ends_the_start_with_the_childs_last_words(journal: Journal, console: Console) -> None:
    with pytest.raises(StartError, match="service ended with code 3: service says hello"):
        async with household(console, journal.child("service", "fail:3:9"), journal.child("other")):
            pass
    assert journal.said("started").count("service") == 1
    assert journal.said("stopped") in ([], ["other"])


async def test_a_child_that_may_not_restart_fails_the_whole(journal: Journal, console: Console) -> None:
    async with household(console, journal.child("service", restart=False)) as supervisor:
        os.kill(supervisor.pids["service"], signal.SIGKILL)
        failure = await supervisor.wait_failed()
    assert (failure.name, failure.code) == ("service", -9)


async def test_a_program_that_is_not_there_fails_the_start(console: Console) -> None:
    with pytest.raises(StartError, match="FileNotFoundError"):
        async with household(console, Child(name="service", argv=("/not/there",))):
            pass


async def test_a_start_that_takes_too_long_names_who_is_late(journal: Journal, console: Console) -> None:
    supervisor = Supervisor(console)
    with pytest.raises(StartError, match=r"not ready after 0 s: late;"):
        await supervisor.start([journal.child("late", "fail:1:99")], patience=0.4)
    await supervisor.stop()
    console.close()


@pytest.mark.parametrize(
    ("needs", "text"),
    [({"a": ("b",)}, "not there"), ({"a": ("b",), "b": ("a",)}, "wait for each other")],
)
def test_needs_that_cannot_be_met_are_refused(needs: dict[str, tuple[str, ...]], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        in_order([Child(name=name, argv=("true",), after=after) for name, after in needs.items()])


def test_a_name_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        in_order([Child(name="a", argv=("true",))] * 2)
