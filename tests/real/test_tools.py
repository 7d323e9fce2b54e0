"""`make kafka` and `make s3` as programs: what they print, how they end, what they say when something is missing."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]  # brings no types
import pytest
from tests.one_machine.waiting import is_running, wait_until

pytestmark = pytest.mark.slow

SERVERS = ("kafka", "s3")
real = [pytest.mark.real, pytest.mark.timeout(90)]


@pytest.fixture(params=[pytest.param(name, marks=real) for name in SERVERS])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator["Program"]:
    with started(str(request.param), tmp_path) as program:
        yield program


class Program:
    """A running server and all its processes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout
        self.said = [process.stdout.readline()]
        while not self.said[-1].startswith(("LIFEMASK_KAFKA=", "AWS_DEFAULT_REGION=")):
            assert self.said[-1], "it ended before it was ready"
            self.said.append(process.stdout.readline())
        self.everybody = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]

    def is_gone(self) -> bool:
        return not any(is_running(pid) for pid in self.everybody)


@contextmanager
def started(name: str, folder: Path, *options: str, shell: bool = False) -> Iterator[Program]:
    command = [sys.executable, "-m", f"tools.{name}", "--data", str(folder / name), *options]
    between = ["/bin/sh", "-c", '"$@"; exit $?', "sh"] if shell else []
    process = subprocess.Popen([*between, *command], stdout=subprocess.PIPE, text=True)
    try:
        yield Program(process)
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=30)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(server: Program, number: signal.Signals) -> None:
    server.process.send_signal(number)
    assert server.process.wait(timeout=30) == 0
    assert server.is_gone()


def test_nothing_is_left_when_it_is_killed(server: Program) -> None:
    server.process.kill()
    wait_until(server.is_gone, seconds=30)


@pytest.mark.real
def test_it_ends_with_its_parent_when_it_is_told_to(tmp_path: Path) -> None:
    with started("s3", tmp_path, "--with-parent", shell=True) as program:
        program.process.kill()  # the shell between us and the server, as make is
        wait_until(program.is_gone, seconds=30)


@pytest.mark.real
def test_what_is_there_stays_there(tmp_path: Path) -> None:
    first, second = (_settings(tmp_path) for _ in range(2))
    assert first == second
    assert (tmp_path / "s3" / "credentials.json").stat().st_mode & 0o077 == 0


def _settings(folder: Path) -> list[str]:
    with started("s3", folder) as program:
        endpoint = next(line for line in program.said if line.startswith("AWS_ENDPOINT_URL_S3=")).split("=")[1].strip()
        assert httpx.get(f"{endpoint}/lifemask", trust_env=False).status_code == 403  # nobody in particular
        return program.said


@pytest.mark.parametrize(("name", "missing"), [("kafka", "java"), ("kafka", "mvn"), ("s3", "go")])
def test_what_is_missing_is_named(name: str, missing: str, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    if missing == "mvn":  # a Java that will do, and nothing else
        java = tools / "java"
        java.write_text("#!/bin/sh\necho 'openjdk version \"17.0.1\"' >&2\n")
        java.chmod(0o755)
    code, words = _call(name, tools, tmp_path)
    assert code == 3
    assert f"no '{missing}' on this machine" in words
    assert "Debian's" in words or "https://" in words


def test_an_old_java_will_not_do(tmp_path: Path) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    java.chmod(0o755)
    code, words = _call("kafka", tmp_path, tmp_path)
    assert code == 3
    assert "Java 17" in words


def _call(name: str, path: Path, cache: Path) -> tuple[int, str]:
    env = {**os.environ, "PATH": str(path), "LIFEMASK_CACHE": str(cache / "cache")}
    result = subprocess.run(
        [sys.executable, "-m", f"tools.{name}", "--data", str(cache / "data")],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode, result.stderr
