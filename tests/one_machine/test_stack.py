"""The supervisor as a process of its own, over the real embedded parts."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # brings no types
import pytest
from tests.one_machine.waiting import is_running, wait_until

pytestmark = pytest.mark.slow


class Stack:
    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "tests.one_machine.stack", str(folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.pids: dict[str, int] = json.loads(self.process.stdout.readline())
        self.everybody = [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]
        self.sockets = Path((folder / "run" / "postgres.ready").read_text().partition("host=")[2])

    def is_gone(self) -> bool:
        return not any(is_running(pid) for pid in self.everybody) and not self.sockets.exists()


@pytest.fixture
def stack(folder: Path) -> Iterator[Stack]:
    stack = Stack(folder)
    yield stack
    if stack.process.poll() is None:
        stack.process.terminate()
    stack.process.communicate(timeout=15)


def test_nothing_is_left_when_the_supervisor_is_killed(stack: Stack) -> None:
    assert set(stack.pids) == {"postgres", "kafka", "service"}
    assert len(stack.everybody) > 3
    os.kill(stack.process.pid, signal.SIGKILL)
    wait_until(stack.is_gone)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_after_a_clean_stop(stack: Stack, number: signal.Signals) -> None:
    os.kill(stack.process.pid, number)
    assert stack.process.wait(timeout=10) == 0
    assert stack.is_gone()


def test_a_new_broker_comes_with_a_new_id(stack: Stack, folder: Path) -> None:
    ready = folder / "run" / "kafka.ready"
    before = ready.read_text()
    os.kill(stack.pids["kafka"], signal.SIGKILL)
    journal = folder / "journal"
    wait_until(lambda: journal.read_text().count("service ready") == 2)
    assert ready.read_text() != before
