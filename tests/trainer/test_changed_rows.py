"""A row that somebody changed decides neither what is asked of the provider nor whose training it was."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.trainer.world import World, failure_of, kinds

from lifemask.bus.outcomes import Retryable
from lifemask.contracts import Failure, FailureCode
from lifemask.objects import keys
from lifemask.objects.archives import SealedArchive, archive_token
from lifemask.objects.tokens import Tokens
from lifemask.trainer.adapters.addresses import TokenAddresses
from lifemask.trainer.domain.attempt import AttemptId
from lifemask.trainer.domain.training import Answer
from lifemask.trainer.domain.weights import is_of_another_archive

MINE = AttemptId("acme.u1", "0190a8c0-7e4b-7c3a-8f00-000000000001", 1)
OTHER = AttemptId("acme.u2", "0190a8c0-7e4b-7c3a-8f00-000000000002", 1)


@pytest.fixture
def world() -> World:
    return World()


async def waiting(world: World) -> None:
    """An attempt in its row, because the provider is busy."""
    world.trainings.answers = [(Answer.BUSY, False)]
    with pytest.raises(Retryable):
        await world.handle(world.sealed)


@pytest.mark.parametrize(
    "change",
    [
        {"archive_key": "users/acme.other/runs/r/archive/1.zip"},
        {"archive_url": "https://lifemask.test/v1/objects/users_acme.other_runs_r_archive_1.zip_1_1"},
        {"dataset": "f" * 64},
        {"steps": 10},
        {"rank": 128},
        {"learning_rate": "0.5"},
    ],
)
async def test_a_changed_plan_ends_the_run_before_it_is_paid(world: World, change: dict[str, object]) -> None:
    await waiting(world)
    row = world.attempt
    world.attempts.rows[row.id] = replace(row, plan=replace(row.plan, **change))  # type: ignore[arg-type]  # as named
    out = await world.handle(world.sealed)
    assert failure_of(out).failure.code == FailureCode.CUSTODY_BROKEN
    assert len(world.trainings.orders) == 1


async def test_the_order_goes_to_our_own_address_whatever_host_the_row_names(world: World) -> None:
    await waiting(world)
    row = world.attempt
    elsewhere = row.plan.archive_url.replace("lifemask.test", "evil.test")
    world.attempts.rows[row.id] = replace(row, plan=replace(row.plan, archive_url=elsewhere))
    await world.handle(world.sealed)
    assert world.trainings.orders[-1].archive_url == row.plan.archive_url


async def test_anothers_training_is_not_taken_for_ours(world: World) -> None:
    await world.handle(world.sealed)
    other = world.trainings.make("https://lifemask.test/v1/objects/users_acme.other_runs_r_archive_1.zip_1_1")
    world.trainings.succeed(other.id)
    row = world.attempt
    world.attempts.rows[row.id] = replace(row, training=other.id, fetches=1)
    out = await world.fire()
    assert failure_of(out).failure.code == FailureCode.CUSTODY_BROKEN
    assert "TrainingSucceeded" not in kinds(out)


async def test_a_success_whose_archive_is_not_shown_is_not_taken_for_ours(world: World) -> None:
    await world.handle(world.sealed)
    other = world.trainings.make("https://lifemask.test/v1/objects/users_acme.other_runs_r_archive_1.zip_1_1")
    world.trainings.succeed(other.id)
    world.trainings.set(other.id, "succeeded", archive_path=None)
    row = world.attempt
    world.attempts.rows[row.id] = replace(row, training=other.id, fetches=1)
    out = await world.fire()
    assert failure_of(out).failure.code == FailureCode.CUSTODY_BROKEN
    assert world.weights.copies == []


async def test_a_success_that_the_provider_has_forgotten_is_no_broken_custody(world: World) -> None:
    await world.handle(world.sealed)
    await world.handle(world.fetched())
    world.trainings.succeed("t0")
    world.trainings.set("t0", "succeeded", archive_path=None, weights_url=None)
    world.weights.results = [Failure.of(FailureCode.WEIGHTS_UNAVAILABLE)]
    assert failure_of(await world.fire()).failure.code == FailureCode.WEIGHTS_UNAVAILABLE


async def test_a_deleted_row_is_not_paid_for_again(world: World) -> None:
    await world.handle(world.sealed)
    world.attempts.rows.clear()
    world.reminders.clear()
    assert kinds(await world.handle(world.sealed)) == ["Doubt", "Reconcile"]
    assert kinds(await world.fire()) == ["Adopt", "TrainingStarted", "Look"]
    assert len(world.trainings.orders) == 1


def test_an_address_leads_to_its_own_attempt_alone_also_once_it_has_expired() -> None:
    tokens = Tokens(bytes(32))
    addresses = TokenAddresses("https://lifemask.test", tokens)
    sealed = SealedArchive(keys.archive(MINE.user_id, MINE.run_id, 1), 1, 1000, "a" * 64)
    path = f"/v1/objects/{archive_token(tokens, sealed, datetime.now(UTC) - timedelta(days=1))}"
    assert addresses.leads_to(path, MINE, gateway=True)
    assert not addresses.leads_to(path, MINE._replace(number=2), gateway=True)
    assert not addresses.leads_to(path, OTHER, gateway=True)
    assert not TokenAddresses("https://lifemask.test", Tokens(bytes([1]) * 32)).leads_to(path, MINE, gateway=True)


def test_an_address_of_the_store_says_by_its_path_whose_it_is() -> None:
    addresses = TokenAddresses("https://lifemask.test", Tokens(bytes(32)))
    path = f"/bucket/{keys.archive(MINE.user_id, MINE.run_id, 1)}"
    assert addresses.leads_to(path, MINE, gateway=False)
    assert not addresses.leads_to(path, OTHER, gateway=False)
    assert not addresses.leads_to(path, MINE, gateway=True)  # anybody can have a host with such a path


@pytest.mark.parametrize(
    ("captions", "expected"),
    [
        ({"0a1b2c3d-01", "0a1b2c3d-02"}, False),
        ({"0a1b2c3d-01"}, False),
        ({"ffffffff-01", "ffffffff-02"}, True),
        ({"ffffffff-01", "cover"}, False),
        (set(), False),
    ],
)
def test_captions_of_another_run_are_recognised(captions: set[str], *, expected: bool) -> None:
    assert is_of_another_archive(captions, ["0a1b2c3d-01", "0a1b2c3d-02"]) is expected
