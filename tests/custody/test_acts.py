"""What is done about a run beside its chain: signed, once, and left when the person's part is erased."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from tests.custody.runs import ANN, AT, BOB, Run, sealed

from lifemask.bus.outcomes import Misconfigured, Outcome, Retryable, on
from lifemask.contracts import DatasetSealed, Failure, FailureCode, PhotosValidated, RunFailed, Stage
from lifemask.custody import Chain, CustodyBroken, Reader, Refusals, refusing
from lifemask.custody.steps import (
    DISPOSAL,
    REFUSAL,
    REVOCATION,
    STEPS,
    VALIDATION,
    DisposalFields,
    Gone,
    RefusalFields,
    RevocationFields,
)
from lifemask.objects import keys
from lifemask.objects.keys import Key
from lifemask.testkit.custody import chain_of
from lifemask.testkit.events import an_event
from lifemask.testkit.keys import test_keys
from lifemask.testkit.stepping import SteppingTurn, step

FIELDS = DisposalFields(
    actor="ingest", reason="lifemask.model.ready.v1", gone=(Gone(what="clean", objects=3, bytes=9),)
)
BROKEN = Failure.of(FailureCode.CUSTODY_BROKEN, link="clean photo: missing or differs")


def reader(run: Run) -> Reader:
    return Reader(run.objects, test_keys().keyring)


async def disposed(run: Run, fields: DisposalFields = FIELDS, service: str = "ingest") -> str:
    chain = chain_of(run.objects, service)
    statement = run.digests["publication"]
    return await chain.record(DISPOSAL, ANN, run.run, "work", fields=fields, at=AT, previous=statement)


async def test_an_act_is_signed_and_says_whose_run_it_is_about_without_naming_anybody(ann: Run) -> None:
    digest = await disposed(ann)
    key = keys.act(ANN, ann.run, "disposal", "work", AT)
    found = await reader(ann).act(DISPOSAL, key, ANN, ann.run, seen=None)
    assert (found.digest, found.fields, found.at) == (digest, FIELDS, AT)
    assert found.common.previous == ann.digests["publication"]
    assert found.subject == ("owner.json", found.common.owner)
    assert b"acme" not in await ann.read(key)
    await ann.objects.delete(keys.owner(ANN, ann.run))
    assert (await reader(ann).act(DISPOSAL, key, ANN, ann.run, seen=None)).digest == digest


async def test_the_first_one_stays(ann: Run) -> None:
    first = await disposed(ann)
    fewer = DisposalFields(actor="ingest", reason=FIELDS.reason, gone=(Gone(what="clean", objects=1, bytes=3),))
    assert await disposed(ann, fewer) == first
    assert len([key for key in ann.objects.keys if "/disposal-" in key]) == 1


async def test_what_others_put_in_its_place_is_no_act(ann: Run) -> None:
    key = keys.act(ANN, ann.run, "disposal", "work", AT)
    await ann.objects.put(key, b"{}")
    with pytest.raises(CustodyBroken, match="disposal: statement is not a signed one"):
        await disposed(ann)


ALIEN: list[Any] = [
    ("packager", "disposal: key not allowed"),
    ("notifier", "disposal: key not allowed"),
]


@pytest.mark.parametrize(("service", "link"), ALIEN)
async def test_only_who_may_act_is_believed(ann: Run, service: str, link: str) -> None:
    await disposed(ann, service=service)
    with pytest.raises(CustodyBroken, match=link):
        await reader(ann).act(DISPOSAL, keys.act(ANN, ann.run, "disposal", "work", AT), ANN, ann.run, seen=None)


async def test_an_act_about_another_run_is_not_about_this_one(ann: Run) -> None:
    await disposed(ann)
    bob = await sealed(BOB, ann.objects)
    moved = keys.act(BOB, bob.run, "disposal", "work", AT)
    await ann.objects.put(moved, await ann.read(keys.act(ANN, ann.run, "disposal", "work", AT)))
    with pytest.raises(CustodyBroken, match="disposal: statement is of another run"):
        await reader(ann).act(DISPOSAL, moved, BOB, bob.run, seen=None)


async def test_an_act_is_of_its_own_kind(ann: Run) -> None:
    await disposed(ann)
    key = keys.act(ANN, ann.run, "disposal", "work", AT)
    with pytest.raises(CustodyBroken, match="refusal: "):
        await reader(ann).act(REFUSAL, key, ANN, ann.run, seen=None)


async def test_a_revocation_is_about_the_weights(ann: Run) -> None:
    fields = RevocationFields(actor="operator", reason="the person asked for it", model=ann.run, version="1-1")
    chain, subject = chain_of(ann.objects, "publisher"), ("lora.safetensors", "d" * 64)
    await chain.record(REVOCATION, ANN, ann.run, "model", fields=fields, at=AT, subject=subject)
    key = keys.act(ANN, ann.run, "revocation", "model", AT)
    found = await reader(ann).act(REVOCATION, key, ANN, ann.run, seen=AT + timedelta(hours=1))
    assert (found.subject, found.fields) == (subject, fields)


async def test_a_sweep_is_told_without_a_run(ann: Run) -> None:
    gone = DisposalFields(actor="ingest", reason="expired", gone=(Gone(what="incoming", objects=2, bytes=5),))
    chain = chain_of(ann.objects, "ingest")
    first = await chain.record_without_run(DISPOSAL, keys.swept(AT), fields=gone, at=AT)
    assert await chain.record_without_run(DISPOSAL, keys.swept(AT), fields=gone, at=AT) == first


def packing(run: Run, failure: Failure = BROKEN) -> Any:
    """A packager whose handler refuses, with a port, without a turn."""

    async def refuse(event: PhotosValidated, *, word: str) -> Sequence[Outcome]:
        assert word == "port"
        return [RunFailed(**event.run, stage=Stage.PACKAGE, failure=failure)]

    chain = chain_of(run.objects, "packager")
    routes = refusing((on(PhotosValidated, refuse, brings="run"),), Refusals(run.objects, chain))
    event = an_event(PhotosValidated, user_id=ANN, run_id=run.run, statement=run.digests["validation"])
    return step(routes, event, turn=SteppingTurn(got_at=AT), word="port")


def quarantined(run: Run) -> list[str]:
    return [key.rpartition("/")[2] for key in run.objects.keys if key.startswith(f"quarantine/{ANN}/{run.run}/")]


async def test_a_refused_run_leaves_a_signed_refusal_and_its_statements(ann: Run) -> None:
    (failed,) = await packing(ann)
    assert failed.failure == BROKEN
    key = keys.act(ANN, ann.run, "refusal", "package", AT)
    found = await reader(ann).act(REFUSAL, key, ANN, ann.run, seen=None)
    assert found.fields == RefusalFields(actor="packager", reason=BROKEN.what)
    assert found.common.previous == ann.digests["validation"]
    kept = [ann.key(one).rpartition("/")[2] for one in STEPS] + [key.rpartition("/")[2]]
    assert quarantined(ann) == sorted(kept)
    assert not [key for key in ann.objects.keys if key.startswith("quarantine/") and "manifest" in key]


async def test_the_same_refusal_again_changes_nothing(ann: Run) -> None:
    await packing(ann)
    before = {key: await ann.read(key) for key in ann.objects.keys}
    await packing(ann)
    assert {key: await ann.read(key) for key in ann.objects.keys} == before


async def test_what_was_tampered_with_is_kept_as_it_was_found(ann: Run) -> None:
    await ann.objects.put(ann.key(VALIDATION), b"forged")
    await packing(ann)
    assert await ann.read(keys.quarantined(ANN, ann.run, ann.key(VALIDATION))) == b"forged"


@pytest.mark.parametrize("spoiled", ["owner", "refusal"])
async def test_a_refusal_cannot_be_prevented_by_spoiling_files(ann: Run, spoiled: str) -> None:
    places: dict[str, Key] = {
        "owner": keys.owner(ANN, ann.run),
        "refusal": keys.act(ANN, ann.run, "refusal", "package", AT),
    }
    await ann.objects.put(places[spoiled], b"spoiled")
    (failed,) = await packing(ann)
    assert failed.failure == BROKEN
    assert quarantined(ann)


async def test_bytes_that_differ_after_they_were_published_are_refused_alike(ann: Run) -> None:
    await packing(ann, Failure.of(FailureCode.PUBLICATION_DIFFERS))
    assert quarantined(ann)


async def test_other_failures_are_no_refusals(ann: Run) -> None:
    await packing(ann, Failure.of(FailureCode.ARCHIVE_TOO_SMALL, problem="few"))
    assert not quarantined(ann)
    assert not [key for key in ann.objects.keys if "/refusal-" in key]


@pytest.mark.parametrize(("fault", "error"), [("away", Retryable), ("denied", Misconfigured)])
async def test_a_store_in_trouble_delays_the_refusal(ann: Run, fault: str, error: type[Exception]) -> None:
    ann.objects.away() if fault == "away" else ann.objects.denies("PutObject")
    with pytest.raises(error):
        await packing(ann)
    ann.objects.heals()
    await packing(ann)
    assert quarantined(ann)


async def test_a_wrapped_handler_keeps_its_message(ann: Run) -> None:
    async def seal(event: PhotosValidated, *, turn: SteppingTurn) -> Sequence[Outcome]:
        assert turn.got_at == AT
        return [an_event(DatasetSealed, **event.run)]

    chain = Chain(ann.objects, test_keys().signers["packager"], test_keys().keyring)
    routes = refusing((on(PhotosValidated, seal, brings="run"),), Refusals(ann.objects, chain))
    assert (routes[0].message, routes[0].brings, routes[0].handler.__name__) == (PhotosValidated, "run", "seal")
    event = an_event(PhotosValidated, user_id=ANN, run_id=ann.run)
    (outcome,) = await step(routes, event, turn=SteppingTurn(got_at=AT))
    assert isinstance(outcome, DatasetSealed)
