"""The chain as the trainer uses it, on real statements."""

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.trainer.chain import seal_dataset
from tests.trainer.fakes import POLICY

from lifemask.contracts import DatasetSealed, Digest, Failure, RunRequest, TrainingParameters, new_id
from lifemask.custody.steps import TRAINING, WEIGHTS
from lifemask.objects import keys
from lifemask.testkit.custody import AllServices, chain_of
from lifemask.testkit.events import an_event
from lifemask.testkit.objects import InMemoryObjects
from lifemask.trainer.adapters.custody import CustodyChain
from lifemask.trainer.domain.attempt import ArchiveAddress, Attempt, AttemptId
from lifemask.trainer.domain.planning import new_attempt
from lifemask.trainer.domain.training import Training
from lifemask.trainer.domain.weights import Copied
from lifemask.trainer.ports import Dataset

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
USER, RUN = "acme.anna", new_id()
ARCHIVE = b"PK archive bytes"
REQUEST = RunRequest(name="Portrait", trigger_word="ANNA", steps=700, learning_rate="0.0004", rank=32)
PARAMETERS = REQUEST.parameters
COPIED = Copied("d" * 64, 172_000_000, frozenset({"7f-01"}))


@dataclass
class Sealed:
    objects: InMemoryObjects
    chain: CustodyChain
    statement: Digest

    async def prove(self, **changes: object) -> Dataset | Failure:
        said = {"user_id": USER, "run_id": RUN, "statement": self.statement, "parameters": PARAMETERS.model_dump()}
        event = an_event(DatasetSealed, **{**said, "photos": 1, "bytes": len(ARCHIVE), **changes})
        return await self.chain.prove(event, AT)

    async def proven(self) -> Dataset:
        found = await self.prove()
        assert isinstance(found, Dataset)
        return found

    def attempt(self, number: int = 1) -> Attempt:
        return new_attempt(
            AttemptId(USER, RUN, number),
            dataset=self.statement,
            archive_key=keys.archive(USER, RUN, 1),
            event=an_event(DatasetSealed, parameters=PARAMETERS),
            at=AT,
            seen_at=AT,
            address=ArchiveAddress("https://x.test/archive", gateway=True),
            expires_at=AT + timedelta(hours=24),
            policy=POLICY,
        )


@pytest.fixture
async def sealed() -> Sealed:
    objects = InMemoryObjects()
    statement = await seal_dataset(objects, USER, RUN, request=REQUEST, archive=ARCHIVE, names=["7f-01.jpg"], at=AT)
    return Sealed(objects, CustodyChain(objects, chain_of(objects, "trainer"), photos_min=1), statement)


async def test_a_whole_chain_is_proven(sealed: Sealed) -> None:
    assert await sealed.proven() == Dataset(
        sealed.statement, keys.archive(USER, RUN, 1), hashlib.sha256(ARCHIVE).hexdigest(), len(ARCHIVE), "ANNA"
    )


def link_of(found: object) -> str:
    assert isinstance(found, Failure)
    assert found.code == "custody_broken"
    return found.what


async def test_an_exchanged_archive_is_refused(sealed: Sealed) -> None:
    await sealed.objects.put(keys.archive(USER, RUN, 1), b"PK somebody else's photos")
    assert "archive: differs" in link_of(await sealed.prove())


async def test_a_missing_archive_is_refused(sealed: Sealed) -> None:
    await sealed.objects.delete(keys.archive(USER, RUN, 1))
    assert "archive: missing" in link_of(await sealed.prove())


@pytest.mark.parametrize("told", [{"photos": 2}, {"bytes": 7}])
async def test_counts_that_the_event_tells_otherwise_are_refused(sealed: Sealed, told: dict[str, int]) -> None:
    assert "counts differ" in link_of(await sealed.prove(**told))


async def test_too_few_photos_are_never_paid_for(sealed: Sealed) -> None:
    sealed.chain = CustodyChain(sealed.objects, chain_of(sealed.objects, "trainer"), photos_min=2)
    assert "fewer photos" in link_of(await sealed.prove())


async def test_an_exchanged_request_is_refused(sealed: Sealed) -> None:
    await sealed.objects.put(
        keys.request(USER, RUN), REQUEST.model_copy(update={"steps": 6000}).model_dump_json().encode()
    )
    assert "request" in link_of(await sealed.prove())


async def test_parameters_that_nobody_sealed_are_refused(sealed: Sealed) -> None:
    assert "parameters" in link_of(await sealed.prove(parameters=TrainingParameters(steps=6000).model_dump()))


async def test_a_statement_of_another_user_is_refused(sealed: Sealed) -> None:
    link_of(await sealed.prove(user_id="acme.bob"))


async def test_the_training_is_sealed_once_per_attempt(sealed: Sealed) -> None:
    dataset = await sealed.proven()
    assert not await sealed.chain.has_training(sealed.attempt().id)
    first = await sealed.chain.seal_training(sealed.attempt(), dataset, AT)
    assert isinstance(first, str)
    assert await sealed.chain.has_training(sealed.attempt().id)
    assert not await sealed.chain.has_training(sealed.attempt(2).id)
    assert await sealed.chain.seal_training(sealed.attempt(), dataset, AT) == first
    assert "training" in link_of(await sealed.chain.seal_training(sealed.attempt(), dataset, AT + timedelta(seconds=1)))
    second = await sealed.chain.seal_training(sealed.attempt(2), dataset, AT)
    assert isinstance(second, str)
    link = await AllServices(sealed.objects).open(TRAINING, second, USER, RUN, attempt=2)
    assert (link.fields.steps, link.fields.rank, link.fields.learning_rate) == (700, 32, "0.0004")
    assert (link.fields.trainer, link.manifest.trigger_word) == (POLICY.trainer, "ANNA")


@pytest.mark.parametrize(("captions", "echo"), [({"7f-01"}, "matched"), ({"other"}, "unbound"), (set(), "unbound")])
async def test_weights_are_sealed_with_what_the_captions_say(sealed: Sealed, captions: set[str], echo: str) -> None:
    training = await sealed.chain.seal_training(sealed.attempt(), await sealed.proven(), AT)
    assert isinstance(training, str)
    attempt = replace(sealed.attempt(), statement=training, fetches=3)
    copied = Copied(COPIED.sha256, COPIED.bytes, frozenset(captions))
    done = Training("t0", "succeeded", version="acme/loras:v1")
    weights = await sealed.chain.seal_weights(attempt, done, copied, AT, seen=AT)
    assert isinstance(weights, str)
    link = await AllServices(sealed.objects).open(WEIGHTS, weights, USER, RUN)
    assert (link.fields.echo, link.fields.training, link.fields.version) == (echo, "t0", "acme/loras:v1")
    assert (link.subject, link.fields.bytes, link.fields.fetches) == (COPIED.sha256, COPIED.bytes, 3)


async def test_weights_without_a_sealed_training_are_refused(sealed: Sealed) -> None:
    link_of(await sealed.chain.seal_weights(sealed.attempt(), Training("t0", "succeeded"), COPIED, AT, seen=AT))
