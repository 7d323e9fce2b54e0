"""What of an archive may go, and when."""

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifemask.contracts import new_id
from lifemask.ingest.domain.archives import HELD_BACK, MARK, Reading, Sealed, Sluice

RUN = new_id()
SOME = random.Random(3).randbytes(3 * MARK)


def sealed(content: bytes) -> Sealed:
    return Sealed("users/x/archive/1.zip", "acme.u1", RUN, 1, len(content), hashlib.sha256(content).hexdigest())


def read(content: bytes, step: int = MARK) -> Reading:
    found = Reading()
    for at in range(0, len(content), step):
        found.add(content[at : at + step])
    return found


def sluice_for(content: bytes) -> Sluice:
    return Sluice(sealed(content), read(content))


def through(sluice: Sluice, content: bytes, step: int) -> bytes:
    """What comes out before the end is let go."""
    return b"".join(sluice.let_pass(content[at : at + step]) for at in range(0, len(content), step))


@given(size=st.integers(0, 3 * MARK), step=st.integers(1, 2 * MARK))
def test_the_sealed_bytes_pass_whole(size: int, step: int) -> None:
    content = SOME[:size]
    sluice = sluice_for(content)
    before = through(sluice, content, max(step, size // 50 + 1))
    assert len(before) == min(size // MARK * MARK, max(0, size - HELD_BACK))
    end = sluice.end()
    assert end is not None
    assert before + end == content


@given(
    size=st.integers(1, 3 * MARK),
    change=st.sampled_from(["first", "last", "middle", "truncated", "longer", "much longer", "empty"]),
    step=st.integers(10_000, 2 * MARK),
)
def test_exchanged_between_the_readings_only_sealed_bytes_go(size: int, change: str, step: int) -> None:
    content = SOME[:size]
    at = {"first": 0, "last": size - 1, "middle": size // 2}.get(change)
    other = {
        "truncated": content[:-1],
        "longer": content + b"\1",
        "much longer": content * 3,
        "empty": b"",
    }.get(change) or (b"" if at is None else content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    sluice = sluice_for(content)
    before = through(sluice, other, step)
    assert sluice.end() is None
    assert content.startswith(before)
    assert len(before) <= max(0, size - HELD_BACK)
    assert sluice.again.sha256 == hashlib.sha256(other).hexdigest()


@given(size=st.integers(0, 3 * MARK), step=st.integers(10_000, 2 * MARK))
def test_a_reading_says_what_it_read_however_it_is_cut(size: int, step: int) -> None:
    content = SOME[:size]
    found = read(content, step)
    ends = range(MARK, size + 1, MARK)
    assert found.marks == [hashlib.sha256(content[:end]).digest() for end in ends]
    assert sealed(content).is_in(found)
    assert not sealed(content + b"\1").is_in(found)


@pytest.mark.parametrize("size", [0, 1, HELD_BACK - 1, HELD_BACK])
def test_a_small_archive_waits_as_a_whole(size: int) -> None:
    content = b"\1" * size
    sluice = sluice_for(content)
    assert through(sluice, content, 100) == b""
    assert sluice.end() == content


@pytest.mark.parametrize("size", [100, 50 * MARK])
def test_what_is_held_stays_small(size: int) -> None:
    content = b"\1" * size
    sluice = sluice_for(content)
    for _ in range(60):
        sluice.let_pass(b"\1" * MARK)
        assert len(sluice._held) <= MARK + HELD_BACK
    assert sluice.end() is None
