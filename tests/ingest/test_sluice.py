"""What of an archive may go before all of it is known."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifemask.contracts import new_id
from lifemask.ingest.domain.archives import HELD_BACK, Sealed, Sluice

RUN = new_id()


def sealed(content: bytes) -> Sealed:
    return Sealed("users/x/archive/1.zip", "acme.u1", RUN, 1, len(content), hashlib.sha256(content).hexdigest())


def through(sluice: Sluice, content: bytes, step: int) -> bytes:
    """What comes out before the end is let go."""
    return b"".join(sluice.let_pass(content[at : at + step]) for at in range(0, len(content), step))


@given(size=st.integers(0, 3 * HELD_BACK), step=st.integers(1, 2 * HELD_BACK))
def test_the_sealed_bytes_pass_whole(size: int, step: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"\1" * (size % 256)
    sluice = Sluice(sealed(content))
    before = through(sluice, content, max(step, size // 50 + 1))
    assert len(before) == max(0, size - HELD_BACK)
    end = sluice.end()
    assert end is not None
    assert before + end == content


@given(
    size=st.integers(1, 3 * HELD_BACK),
    change=st.sampled_from(["first", "last", "middle", "truncated", "longer", "much longer", "empty"]),
    step=st.integers(1000, 2 * HELD_BACK),
)
def test_of_any_other_bytes_the_end_is_held_back(size: int, change: str, step: int) -> None:
    content = b"\1" * size
    at = {"first": 0, "last": size - 1, "middle": size // 2}.get(change)
    other = {
        "truncated": content[:-1],
        "longer": content + b"\1",
        "much longer": content * 3,
        "empty": b"",
    }.get(change) or (b"" if at is None else content[:at] + b"\2" + content[at + 1 :])
    sluice = Sluice(sealed(content))
    before = through(sluice, other, step)
    assert sluice.end() is None
    assert len(before) <= max(0, size - HELD_BACK)
    assert sluice.sha256 == hashlib.sha256(other).hexdigest()


@pytest.mark.parametrize("size", [0, 1, HELD_BACK - 1, HELD_BACK])
def test_a_small_archive_waits_as_a_whole(size: int) -> None:
    content = b"\1" * size
    sluice = Sluice(sealed(content))
    assert through(sluice, content, 100) == b""
    assert sluice.end() == content


def test_what_is_held_stays_small() -> None:
    sluice = Sluice(sealed(b"\1" * 100))
    for _ in range(100):
        sluice.let_pass(b"\1" * 1_000_000)
    assert len(sluice._held) == HELD_BACK
    assert sluice.end() is None
