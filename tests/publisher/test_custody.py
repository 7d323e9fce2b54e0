"""The gate on real statements."""

from dataclasses import replace

import pytest
from tests.publisher.sealed import AT, trained_run
from tests.publisher.world import DIGEST, REQUEST, RUN, USER, publication, trained

from lifemask.contracts import Failure, TrainingSucceeded
from lifemask.contracts.signing import Signer, seal, unseal
from lifemask.custody.envelopes import PAYLOAD_TYPE
from lifemask.custody.statements import digest_of
from lifemask.custody.steps import PUBLICATION, WEIGHTS
from lifemask.objects import keys
from lifemask.publisher.adapters.custody import CustodyChain
from lifemask.publisher.adapters.hub_card import card_text
from lifemask.publisher.domain import Sealed, metadata
from lifemask.testkit.custody import AllServices, chain_of
from lifemask.testkit.objects import InMemoryObjects

IDS = {"user_id": USER, "run_id": RUN}


@pytest.fixture
def objects() -> InMemoryObjects:
    return InMemoryObjects()


@pytest.fixture
async def event(objects: InMemoryObjects) -> TrainingSucceeded:
    return await trained_run(objects, IDS)


async def test_the_chain_says_what_was_trained(objects: InMemoryObjects, event: TrainingSucceeded) -> None:
    found = await CustodyChain(objects, chain_of(objects, "publisher")).trained(event, AT)
    assert not isinstance(found, Failure)
    known = replace(found, statements=trained().statements, files=trained().files)
    assert known == replace(trained(), photos=12)
    assert [file.name for file in found.files] == [file.name for file in trained().files]
    last = unseal(found.files[-1].content, PAYLOAD_TYPE)
    assert digest_of(last.payload) == event.statement
    assert found.request == REQUEST
    assert found.weights == DIGEST
    assert found.statements.weights == event.statement


@pytest.mark.parametrize("what", ["statement", "owner", "request", "photos"])
async def test_a_link_that_does_not_hold_is_named(
    objects: InMemoryObjects, event: TrainingSucceeded, what: str
) -> None:
    key = {
        "statement": keys.statement(USER, RUN, 4, "training", 1),
        "owner": keys.owner(USER, RUN),
        "request": keys.request(USER, RUN),
        "photos": keys.manifest(USER, RUN, 1, "upload", 1),
    }[what]
    objects.tampers(key)
    found = await CustodyChain(objects, chain_of(objects, "publisher")).trained(event, AT)
    assert isinstance(found, Failure)
    assert found.code == "custody_broken"


async def test_a_request_that_is_gone_breaks_the_chain(objects: InMemoryObjects, event: TrainingSucceeded) -> None:
    objects.loses(keys.request(USER, RUN))
    found = await CustodyChain(objects, chain_of(objects, "publisher")).trained(event, AT)
    assert isinstance(found, Failure)
    assert "request" in found.what


async def test_another_signature_put_in_place_meanwhile_is_not_published(
    objects: InMemoryObjects, event: TrainingSucceeded
) -> None:
    """The payload is the true one, so its digest says nothing."""
    key = keys.statement(USER, RUN, 5, "weights", 1)
    true = await objects.get(key, limit=1 << 20)
    forged = seal(PAYLOAD_TYPE, unseal(true, PAYLOAD_TYPE).payload, Signer.generate("trainer"))

    class Exchanging(InMemoryObjects):
        reads = 0

        async def get(self, key_: keys.Key, *, limit: int) -> bytes:
            self.reads += key_ == key
            return forged if key_ == key and self.reads > 1 else await objects.get(key_, limit=limit)

    found = await CustodyChain(store := Exchanging(), chain_of(store, "publisher")).trained(event, AT)
    assert isinstance(found, Failure)
    assert "weights" in found.what


async def test_a_statement_of_another_run_is_refused(objects: InMemoryObjects, event: TrainingSucceeded) -> None:
    other = {"user_id": "acme.other", "run_id": "0192f7a0-1b2c-7d3e-8f40-5a6b7c8d9e00"}
    theirs = await trained_run(objects, other)
    claimed = event.model_copy(update={"statement": theirs.statement})
    found = await CustodyChain(objects, chain_of(objects, "publisher")).trained(claimed, AT)
    assert isinstance(found, Failure)


async def test_a_publication_is_sealed_once_and_links_to_the_weights(
    objects: InMemoryObjects, event: TrainingSucceeded
) -> None:
    chain = CustodyChain(objects, chain_of(objects, "publisher"))
    found = await chain.trained(event, AT)
    assert not isinstance(found, Failure)
    sealed = await chain.seal(publication().at("c" * 40), found, AT)
    assert isinstance(sealed, Sealed)
    assert await chain.seal(publication().at("c" * 40), found, AT) == sealed
    assert digest_of(unseal(sealed.file.content, PAYLOAD_TYPE).payload) == sealed.digest
    link = await AllServices(objects).open(PUBLICATION, sealed.digest, USER, RUN)
    assert link.back(WEIGHTS).digest == event.statement
    assert link.fields.hub_commit == "c" * 40
    assert link.fields.read_back == ("store", "hub")
    assert link.manifest.metadata == digest_of(metadata(publication(), found, AT))
    assert link.manifest.card == digest_of(card_text(publication(), found).encode())
    assert link.manifest.store_key == keys.model_weights(USER, publication().model_id, "1-3")
    other = await chain.seal(publication(4).at("c" * 40), found, AT)
    assert isinstance(other, Failure)
    assert other.code == "custody_broken"
