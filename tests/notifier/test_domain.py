"""Ids and delays."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.notifier.world import FAILED, READY, STALLED

from lifemask.contracts import Stage
from lifemask.notifier.domain import Channel, Schedule, delay, notification_id, of, wait_before_next

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


def test_ids_differ_by_run_outcome_and_channel_and_by_nothing_else() -> None:
    ids = {
        notification_id(READY, Channel.EMAIL),
        notification_id(READY, Channel.WEBHOOK),
        notification_id(FAILED, Channel.EMAIL),
        notification_id(READY.model_copy(update={"run_id": "0192f7a0-1b2c-7d3e-8f40-5a6b7c8d9e00"}), Channel.EMAIL),
        notification_id(READY.model_copy(update={"user_id": "other.user-42"}), Channel.EMAIL),
    }
    assert len(ids) == 5
    same = READY.model_copy(update={"bytes": 7})
    assert notification_id(same, Channel.EMAIL) == notification_id(READY, Channel.EMAIL)
    assert len(notification_id(READY, Channel.EMAIL)) == 64


def test_a_delay_in_another_stage_is_another_notification() -> None:
    elsewhere = STALLED.model_copy(update={"stage": Stage.TRAIN})
    assert notification_id(STALLED, Channel.WEBHOOK) != notification_id(elsewhere, Channel.WEBHOOK)


@pytest.mark.parametrize(
    ("tries", "longest"),
    [(1, 5), (2, 15), (3, 45), (4, 135), (5, 405), (6, 1215), (7, 3645), (8, 10935), (9, 28800), (1000, 28800)],
)
def test_delays_grow_and_differ_by_up_to_a_quarter(tries: int, longest: float) -> None:
    delays = {delay(f"{number:064x}", tries, Schedule()) for number in range(50)}
    assert all(timedelta(seconds=longest * 0.75) <= each <= timedelta(seconds=longest) for each in delays)
    assert len(delays) > 45
    assert delay("a" * 64, tries, Schedule()) == delay("a" * 64, tries, Schedule())


def test_no_try_comes_later_than_the_patience() -> None:
    note = of(READY, Channel.EMAIL, NOON)
    assert wait_before_next(note, NOON + timedelta(days=2), Schedule()) is not None
    assert wait_before_next(note, NOON + timedelta(days=3), Schedule()) is None
