"""The chain as the trainer uses it, on real statements."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from tests.trainer.chain import seal_dataset
from tests.trainer.fakes import POLICY

from lifemask.contracts import Digest, Failure, RunRequest, TrainingParameters, new_id
from lifemask.custody import Chain
from lifemask.custody.steps import TRAINING, WEIGHTS
from lifemask.objects import keys
from lifemask.testkit.objects import InMemoryObjects
from lifemask.trainer.adapters.custody import CustodyChain
from lifemask.trainer.domain.attempt import Attempt, AttemptId
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

    async def prove(self, user: str = USER, parameters: TrainingParameters = PARAMETERS) -> Dataset | Failure:
        return await self.chain.prove(user, RUN, self.statement, parameters)

    async def proven(self) -> Dataset:
        found = await self.prove()
        assert isinstance(found, Dataset)
        return found

    def attempt(self, number: int = 1) -> Attempt:
        return new_attempt(
            AttemptId(USER, RUN, number),
            dataset=self.statement,
            archive_key=keys.archive(USER, RUN, 1),
            parameters=PARAMETERS,
            at=AT,
            address=lambda key, _: f"https://x.test/{key}",
            policy=POLICY,
        )


@pytest.fixture
async def sealed() -> Sealed:
    objects = InMemoryObjects()
    statement = await seal_dataset(objects, USER, RUN, request=REQUEST, archive=ARCHIVE, names=["7f-01.jpg"], at=AT)
    return Sealed(objects, CustodyChain(objects), statement)


async def test_a_whole_chain_is_proven(sealed: Sealed) -> None:
    assert await sealed.proven() == Dataset(sealed.statement, keys.archive(USER, RUN, 1), "ANNA")


def link_of(found: object) -> str:
    assert isinstance(found, Failure)
    assert found.code == "custody_broken"
    return found.what


async def test_an_exchanged_archive_is_refused(sealed: Sealed) -> None:
    await sealed.objects.put(keys.archive(USER, RUN, 1), b"PK somebody else's photos")
    assert "archive differs" in link_of(await sealed.prove())


async def test_a_missing_archive_is_refused(sealed: Sealed) -> None:
    await sealed.objects.delete(keys.archive(USER, RUN, 1))
    found = await sealed.prove()
    assert isinstance(found, Failure)
    assert found.code == "object_missing"


async def test_an_exchanged_request_is_refused(sealed: Sealed) -> None:
    await sealed.objects.put(
        keys.request(USER, RUN), REQUEST.model_copy(update={"steps": 6000}).model_dump_json().encode()
    )
    assert "request" in link_of(await sealed.prove())


async def test_parameters_that_nobody_sealed_are_refused(sealed: Sealed) -> None:
    assert "parameters" in link_of(await sealed.prove(parameters=TrainingParameters(steps=6000)))


async def test_a_statement_of_another_user_is_refused(sealed: Sealed) -> None:
    link_of(await sealed.prove(user="acme.bob"))


async def test_the_training_is_sealed_once_per_attempt(sealed: Sealed) -> None:
    dataset = await sealed.proven()
    first = await sealed.chain.seal_training(sealed.attempt(), dataset, AT)
    assert isinstance(first, str)
    assert await sealed.chain.seal_training(sealed.attempt(), dataset, AT) == first
    assert "training" in link_of(await sealed.chain.seal_training(sealed.attempt(), dataset, AT + timedelta(seconds=1)))
    second = await sealed.chain.seal_training(sealed.attempt(2), dataset, AT)
    assert isinstance(second, str)
    link = await Chain(sealed.objects).open(TRAINING, second, USER, RUN, attempt=2)
    assert (link.fields.steps, link.fields.rank, link.fields.learning_rate) == (700, 32, "0.0004")
    assert (link.fields.trainer, link.manifest.trigger_word) == (POLICY.trainer, "ANNA")


@pytest.mark.parametrize(("captions", "echo"), [({"7f-01"}, "matched"), ({"other"}, "unbound"), (set(), "unbound")])
async def test_weights_are_sealed_with_what_the_captions_say(sealed: Sealed, captions: set[str], echo: str) -> None:
    training = await sealed.chain.seal_training(sealed.attempt(), await sealed.proven(), AT)
    assert isinstance(training, str)
    attempt = Attempt(sealed.attempt().id, sealed.attempt().state, sealed.attempt().plan, AT, statement=training)
    copied = Copied(COPIED.sha256, COPIED.bytes, frozenset(captions))
    done = Training("t0", "succeeded", version="acme/loras:v1")
    weights = await sealed.chain.seal_weights(attempt, done, copied, AT)
    assert isinstance(weights, str)
    link = await Chain(sealed.objects).open(WEIGHTS, weights, USER, RUN)
    assert (link.fields.echo, link.fields.training, link.fields.version) == (echo, "t0", "acme/loras:v1")
    assert (link.subject, link.fields.bytes, link.fields.fetches) == (COPIED.sha256, COPIED.bytes, 1)


async def test_weights_without_a_sealed_training_are_refused(sealed: Sealed) -> None:
    link_of(await sealed.chain.seal_weights(sealed.attempt(), Training("t0", "succeeded"), COPIED, AT))
