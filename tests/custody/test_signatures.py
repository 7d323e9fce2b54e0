"""Every attack on a statement's signature or place, and the words in which the chain refuses it."""

import base64
import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.custody.runs import ANN, AT, BOB, Run, seal_training, sealed

from lifemask.contracts.keyring import Keyring, key_for
from lifemask.contracts.signing import Signer, seal
from lifemask.custody import Chain, CustodyBroken, Reader
from lifemask.custody.steps import DATASET, STEPS, TRAINING, UPLOAD, VALIDATION, WEIGHTS, AnyStep
from lifemask.keys.holders import HOLDERS
from lifemask.objects import keys
from lifemask.testkit.custody import signer_of
from lifemask.testkit.keys import SINCE, test_keys

Attack = Callable[[Run, Run], Awaitable[None]]
"""What somebody does to the first run's dataset statement who has the bucket; the second run is another's."""
STEP = DATASET
HOUR = timedelta(hours=1)


def attack(name: str, word: str) -> Callable[[Attack], Attack]:
    def listed(act: Attack) -> Attack:
        ATTACKS.append(pytest.param(act, word, id=name))
        return act

    return listed


ATTACKS: list[Any] = []


@attack("removed", "statement is missing")
async def _(ann: Run, _bob: Run) -> None:
    await ann.objects.delete(ann.key(STEP))


@attack("replaced by an older valid one", "statement differs")
async def _(ann: Run, _bob: Run) -> None:
    older = json.loads(await ann.payload(STEP))
    older["predicate"]["at"] = "2026-01-01T00:00:00.000000Z"
    await ann.sign(STEP, json.dumps(older, separators=(",", ":"), sort_keys=True).encode())


@attack("a true one of another user", "statement differs")
async def _(ann: Run, bob: Run) -> None:
    await ann.objects.put(ann.key(STEP), await bob.read(bob.key(STEP)))


@attack("signed with the key of another service", "key not allowed")
async def _(ann: Run, _bob: Run) -> None:
    await ann.sign(STEP, await ann.payload(STEP), test_keys().signers["trainer"])


@attack("signed with a key that nobody knows", "unknown key")
async def _(ann: Run, _bob: Run) -> None:
    await ann.sign(STEP, await ann.payload(STEP), Signer.generate("packager"))


@attack("signed with the root's key", "unknown key")
async def _(ann: Run, _bob: Run) -> None:
    await ann.sign(STEP, await ann.payload(STEP), test_keys().root)


@attack("another signature under the right key's name", "bad signature")
async def _(ann: Run, bob: Run) -> None:
    theirs = json.loads(await bob.read(bob.key(STEP)))["signatures"]
    await changed(ann, lambda envelope: envelope.update(signatures=theirs))


@attack("signed as another payload type", "bad signature")
async def _(ann: Run, _bob: Run) -> None:
    other = json.loads(seal("application/json", await ann.payload(STEP), signer_of(STEP)))
    await changed(ann, lambda envelope: envelope.update(signatures=other["signatures"]))


@attack("another payload type", "statement is not a signed one")
async def _(ann: Run, _bob: Run) -> None:
    await changed(ann, lambda envelope: envelope.update(payloadType="application/json"))


@attack("a second signature", "statement is not a signed one")
async def _(ann: Run, _bob: Run) -> None:
    await changed(ann, lambda envelope: envelope["signatures"].append(dict(envelope["signatures"][0])))


@attack("no signature", "statement is not a signed one")
async def _(ann: Run, _bob: Run) -> None:
    await changed(ann, lambda envelope: envelope.update(signatures=[]))


@attack("base64 of another alphabet", "statement is not a signed one")
async def _(ann: Run, _bob: Run) -> None:
    url = base64.urlsafe_b64encode(base64.b64decode(json.loads(await ann.read(ann.key(STEP)))["signatures"][0]["sig"]))
    await changed(ann, lambda envelope: envelope["signatures"][0].update(sig=url.decode().rstrip("=")))


@attack("base64 with a line break", "statement is not a signed one")
async def _(ann: Run, _bob: Run) -> None:
    await changed(ann, lambda envelope: envelope.update(payload=envelope["payload"] + "\n"))


@attack("one more member", "statement is not a signed one")
async def _(ann: Run, _bob: Run) -> None:
    await changed(ann, lambda envelope: envelope.update(more=1))


@attack("the bare payload", "statement is not a signed one")
async def _(ann: Run, _bob: Run) -> None:
    await ann.objects.put(ann.key(STEP), await ann.payload(STEP))


async def changed(run: Run, change: Callable[[dict[str, Any]], object]) -> None:
    envelope = json.loads(await run.read(run.key(STEP)))
    change(envelope)
    data = json.dumps(envelope, separators=(",", ":"), sort_keys=True).encode()
    await run.objects.put(run.key(STEP), data)


async def refused(run: Run, link: str, seen: datetime | None = AT) -> None:
    with pytest.raises(CustodyBroken) as broken:
        await run.open(seen)
    assert broken.value.link == link
    assert "acme" not in str(broken.value)


@pytest.mark.parametrize(("act", "word"), ATTACKS)
async def test_an_attack_on_one_statement_breaks_the_chain_there_and_nowhere_else(
    ann: Run, act: Attack, word: str
) -> None:
    bob = await sealed(BOB, ann.objects)
    await act(ann, bob)
    await refused(ann, f"{STEP.name}: {word}")
    await bob.open()


async def test_a_true_statement_of_another_run_of_the_same_user_is_refused(ann: Run) -> None:
    other = await sealed(ANN, ann.objects)
    for step in STEPS:
        await ann.objects.put(ann.key(step), await other.read(other.key(step)))
        if step is not WEIGHTS:
            await ann.objects.put(ann.key(step, manifest=True), await other.read(other.key(step, manifest=True)))
    await refused(Run(ann.objects, ANN, ann.run, 1, other.digests), "publication: owner differs")
    await ann.objects.put(keys.owner(ANN, ann.run), await other.read(keys.owner(ANN, other.run)))
    await refused(Run(ann.objects, ANN, ann.run, 1, other.digests), "owner is of another run")


def keyring(**limits: Any) -> Keyring:
    """A newer keyring that says when the packager's key was good."""
    known = test_keys()
    entries = [
        key_for(
            known.signers[name],
            steps=may.steps,
            events=may.events,
            since=SINCE,
            **(limits if name == "packager" else {}),
        )
        for name, may in HOLDERS.items()
    ]
    return Keyring.issue(known.keyring.version + 1, entries, known.root, AT)


async def later(run: Run, step: AnyStep, at: datetime) -> None:
    """The steps from `step` on, sealed again at another time; their services hold their own keys."""
    for one in STEPS[step.position - 1 :]:
        await run.objects.delete(run.key(one))
        if one is not WEIGHTS:
            await run.objects.delete(run.key(one, manifest=True))
    await seal_training(run, at)


TIMES: list[Any] = [
    pytest.param("until", AT + HOUR, None, id="seen before it was rotated out"),
    pytest.param("until", AT, "key rotated out", id="seen when it was rotated out"),
    pytest.param("until", AT - HOUR, "key rotated out", id="seen after it was rotated out"),
    pytest.param("compromised_at", AT + HOUR, None, id="seen before it was stolen"),
    pytest.param("compromised_at", AT - HOUR, "key compromised", id="seen after it was stolen"),
]


@pytest.mark.parametrize(("limit", "at", "word"), TIMES)
async def test_a_keys_end_is_judged_by_when_the_next_holder_saw_the_statement(
    ann: Run, limit: str, at: datetime, word: str | None
) -> None:
    ann.keyring = keyring(**{limit: at})
    if word is None:
        link = (await ann.open(AT + 24 * HOUR)).back(DATASET)
        assert link.witnessed_at == AT
    else:
        await refused(ann, f"dataset: {word}", AT + 24 * HOUR)


async def test_a_thief_who_dates_back_gains_nothing(ann: Run) -> None:
    """The statement claims a time before the theft; the trainer saw it after."""
    await later(ann, TRAINING, AT + 2 * HOUR)
    ann.keyring = keyring(compromised_at=AT + HOUR)
    await refused(ann, "dataset: key compromised", AT + 3 * HOUR)


async def test_the_last_statement_was_seen_when_the_message_came(ann: Run) -> None:
    ann.keyring = keyring(until=AT + HOUR)
    digest = ann.digests["dataset"]
    link = await ann.chain.open(DATASET, digest, ANN, ann.run, seen=AT)
    assert (link.witnessed_at, link.back(UPLOAD).witnessed_at) == (AT, AT)
    with pytest.raises(CustodyBroken, match="dataset: key rotated out"):
        await ann.chain.open(DATASET, digest, ANN, ann.run, seen=AT + HOUR)


async def test_a_signer_is_no_witness_of_itself(ann: Run) -> None:
    """The weights follow the training, but both are the trainer's: the publisher is the first to have seen either."""
    seen = AT + 5 * HOUR
    link = await ann.chain.open(WEIGHTS, ann.digests["weights"], ANN, ann.run, seen=seen)
    assert (link.witnessed_at, link.back(TRAINING).witnessed_at, link.back(DATASET).witnessed_at) == (seen, seen, AT)


async def test_without_a_witness_a_rotated_key_is_believed_and_a_stolen_one_is_not(ann: Run) -> None:
    digest = ann.digests["dataset"]
    ann.keyring = keyring(until=AT + HOUR)
    link = await ann.chain.open(DATASET, digest, ANN, ann.run, seen=None)
    assert (link.witnessed_at, link.back(VALIDATION).witnessed_at) == (None, AT)
    ann.keyring = keyring(compromised_at=AT + HOUR)
    with pytest.raises(CustodyBroken, match="dataset: key compromised"):
        await ann.chain.open(DATASET, digest, ANN, ann.run, seen=None)


async def test_a_seal_repeated_after_a_rotation_finds_its_statement(ann: Run) -> None:
    """The payload is the same; which of the holder's keys signed it first does not matter."""
    fresh = Signer.generate("packager")
    known = keyring(until=AT + HOUR)
    may = HOLDERS["packager"]
    entry = key_for(fresh, steps=may.steps, events=may.events, since=AT - HOUR)
    both = Keyring.issue(3, [*known.contents.keys, entry], test_keys().root, AT)
    link = await ann.chain.open(DATASET, ann.digests["dataset"], ANN, ann.run, seen=AT)
    before, payload = await ann.read(ann.key(DATASET)), await ann.payload(DATASET)

    async def again() -> str:
        return await Chain(ann.objects, fresh, both).seal(
            DATASET,
            ANN,
            ann.run,
            fields=link.fields,
            manifest=link.manifest,
            previous=ann.digests["validation"],
            at=AT,
        )

    assert await again() == ann.digests["dataset"]
    assert await ann.read(ann.key(DATASET)) == before
    await ann.sign(DATASET, payload, Signer.generate("packager"))
    with pytest.raises(CustodyBroken, match="dataset: unknown key"):
        await again()


async def test_a_file_for_others_is_verified_again(ann: Run) -> None:
    """Whoever has the bucket puts another signature on the true payload after the chain was opened."""
    digest = ann.digests["dataset"]

    async def given(seen: datetime | None) -> bytes:
        return (await Reader(ann.objects, ann.keyring).signed_file(DATASET, digest, ANN, ann.run, seen=seen))[1]

    true = await ann.read(ann.key(DATASET))
    assert await given(AT) == await given(None) == true
    await ann.sign(DATASET, await ann.payload(DATASET), test_keys().signers["trainer"])
    for seen in (AT, None):
        with pytest.raises(CustodyBroken, match="dataset: key not allowed"):
            await given(seen)


async def test_a_file_for_others_was_seen_when_its_link_was(ann: Run) -> None:
    """Its key may have been rotated since."""
    ann.keyring = keyring(until=AT + HOUR)
    link = (await ann.open(AT + 5 * HOUR)).back(DATASET)
    await Reader(ann.objects, ann.keyring).signed_file(DATASET, link.digest, ANN, ann.run, seen=link.witnessed_at)
    with pytest.raises(CustodyBroken, match="dataset: key rotated out"):
        await Reader(ann.objects, ann.keyring).signed_file(DATASET, link.digest, ANN, ann.run, seen=AT + 5 * HOUR)
