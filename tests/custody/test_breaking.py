"""Every way to break a chain, and the link that it is said to be."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.custody.runs import ANN, BOB, PHOTOS, Run, seal_training, sealed

from lifemask.contracts import new_id
from lifemask.custody import CustodyBroken
from lifemask.custody.statements import digest_of
from lifemask.custody.steps import (
    DATASET,
    PUBLICATION,
    STEPS,
    TRAINING,
    UPLOAD,
    VALIDATION,
    WEIGHTS,
    AnyStep,
)
from lifemask.objects import keys
from lifemask.objects.keys import Key


async def breaks(run: Run, link: str) -> CustodyBroken:
    with pytest.raises(CustodyBroken) as broken:
        await run.open()
    assert broken.value.link == link
    assert "acme" not in str(broken.value)
    return broken.value


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
async def test_a_changed_statement_breaks_the_chain(ann: Run, step: AnyStep) -> None:
    await ann.forge(step, lambda value: value["predicate"].update(at="2026-01-02T03:04:05.678902Z"))
    broken = await breaks(ann, f"{step.name}: statement differs")
    assert broken.expected == ann.digests[step.name] != broken.found


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
async def test_a_lost_statement_breaks_the_chain(ann: Run, step: AnyStep) -> None:
    ann.objects.loses(ann.key(step))
    await breaks(ann, f"{step.name}: statement is missing")


@pytest.mark.parametrize("step", [s for s in STEPS if s is not WEIGHTS], ids=lambda step: step.name)
async def test_a_changed_manifest_breaks_the_chain(ann: Run, step: AnyStep) -> None:
    ann.objects.tampers(ann.key(step, manifest=True))
    await breaks(ann, f"{step.name}: manifest differs")


@pytest.mark.parametrize("step", [s for s in STEPS if s is not WEIGHTS], ids=lambda step: step.name)
async def test_a_lost_manifest_breaks_the_chain(ann: Run, step: AnyStep) -> None:
    ann.objects.loses(ann.key(step, manifest=True))
    await breaks(ann, f"{step.name}: manifest is missing")


async def test_a_lost_owner_breaks_the_chain(ann: Run) -> None:
    ann.objects.loses(keys.owner(ANN, ann.run))
    await breaks(ann, "owner is missing")


@pytest.mark.parametrize(
    ("member", "value", "link"),
    [
        ("user", BOB, "owner is another user"),
        pytest.param("run", PHOTOS[0], "owner is of another run", id="another run"),
        ("salt", "0" * 64, "publication: owner differs"),
        ("salt", "0", "owner is not of its form"),
        ("more", 1, "owner is not of its form"),
        ("salt", 1.5, "owner is not canonical: a number is not an integer"),
    ],
)
async def test_a_changed_owner_breaks_the_chain(ann: Run, member: str, value: object, link: str) -> None:
    await ann.change(keys.owner(ANN, ann.run), lambda owner: owner.update({member: value}))
    await breaks(ann, link)


async def copied(source: Run, target: Run) -> None:
    """All of `source`'s custody files under the prefix of `target`."""
    old, new = keys.run_prefix(source.user, source.run), keys.run_prefix(target.user, target.run)
    for key in [key for key in source.objects.keys if key.startswith(old)]:
        await target.objects.put(Key(key.replace(old, new)), await source.read(key))


async def test_another_users_chain_is_not_mine(ann: Run) -> None:
    bob = Run(ann.objects, BOB, new_id(), 1, dict(ann.digests))
    await copied(ann, bob)
    await breaks(bob, "owner is another user")
    await ann.objects.delete(keys.owner(BOB, bob.run))
    await bob.chain.begin(BOB, bob.run)
    await breaks(bob, "publication: owner differs")


async def test_another_runs_chain_is_not_this_ones(ann: Run) -> None:
    later = Run(ann.objects, ANN, new_id(), 1, dict(ann.digests))
    await copied(ann, later)
    await breaks(later, "owner is of another run")


async def test_begin_refuses_an_owner_of_others(ann: Run) -> None:
    bob = Run(ann.objects, BOB, ann.run, 1, {})
    await copied(ann, bob)
    with pytest.raises(CustodyBroken, match="owner is another user"):
        await bob.chain.begin(BOB, bob.run)
    with pytest.raises(CustodyBroken, match="owner is another user"):
        await bob.chain.commitment(BOB, bob.run, digest_of(b"photo"))


async def forged(run: Run, step: AnyStep, change: Callable[[dict[str, Any]], None]) -> Run:
    """The statement changed and every later one made to fit, as somebody would who can write and seal."""
    await run.forge(step, change)
    for index in range(step.position - 1, len(STEPS)):
        digest = digest_of(await run.payload(STEPS[index]))
        run.digests[STEPS[index].name] = digest
        if index + 1 < len(STEPS):
            await run.forge(STEPS[index + 1], lambda s: s["predicate"].update(previous=digest))  # noqa: B023 # used at once
    return run


def predicate(**members: object) -> Callable[[dict[str, Any]], None]:
    return lambda statement: statement["predicate"].update(members)


def statement(**members: object) -> Callable[[dict[str, Any]], None]:
    return lambda value: value.update(members)


FIT = {"name": "2-validation-1.manifest.json", "digest": {"sha256": "0" * 64}}
FORGERIES: list[tuple[Callable[[dict[str, Any]], None], str]] = [
    (predicate(owner="0" * 64), "owner differs"),
    (predicate(run=PHOTOS[0]), "statement is of another run"),
    (predicate(attempt=2), "statement is of another attempt"),
    (predicate(attempt=0), "statement is not of its form"),
    (predicate(attempt="1"), "statement is not of its form"),
    (predicate(attempt=True), "statement is not of its form"),
    (predicate(attempt=1.5), "statement is not canonical: a number is not an integer"),
    (predicate(previous=None), "the chain does not begin at the upload"),
    (predicate(previous="x"), "statement is not of its form"),
    (predicate(at="yesterday"), "statement has no readable time"),
    (predicate(at="2026-11-21T10:00:00.000000"), "statement has no readable time"),
    (predicate(at="2026-11-21T10:00:00.000000+00:00"), "statement has no readable time"),
    (predicate(at="2026-11-21T10:00:00.5Z"), "statement has no readable time"),
    (predicate(at="0001-01-01T00:00:00.000000+23:59"), "statement has no readable time"),
    (predicate(more=1), "statement is not of its form"),
    (predicate(usable="12"), "statement is not of its form"),
    (predicate(usable=11), "counts differ"),
    (lambda s: s["predicate"].pop("usable"), "statement is not of its form"),
    (lambda s: s["predicate"].pop("owner"), "statement is not of its form"),
    (statement(more=1), "statement is not of its form"),
    (statement(_type="https://in-toto.io/Statement/v0.1"), "statement is not of its form"),
    (statement(predicateType="https://lifemask.dev/custody/dataset/v1"), "statement is of another step"),
    (statement(predicateType="https://lifemask.dev/custody/validation/v2"), "statement is of another step"),
    (statement(subject=[]), "statement is about other files"),
    (statement(subject=[FIT]), "manifest differs"),
    (lambda s: s["subject"].insert(0, FIT), "statement is about other files"),
    (lambda s: s["subject"][0].update(name="2-validation-2.manifest.json"), "statement is about other files"),
    (lambda s: s["subject"][0]["digest"].update(md5="0"), "statement is not of its form"),
]


@pytest.mark.parametrize(("change", "link"), FORGERIES, ids=[f"{n}-{link}" for n, (_, link) in enumerate(FORGERIES)])
async def test_a_forged_statement_that_all_later_ones_fit_breaks_the_chain(
    ann: Run, change: Callable[[dict[str, Any]], None], link: str
) -> None:
    await breaks(await forged(ann, VALIDATION, change), f"validation: {link}")


async def test_an_upload_that_follows_something_breaks_the_chain(ann: Run) -> None:
    run = await forged(ann, UPLOAD, predicate(previous="0" * 64))
    await breaks(run, "upload: the chain does not begin at the upload")


async def test_a_true_statement_of_another_attempt_breaks_the_chain(ann: Run) -> None:
    second = Run(ann.objects, ANN, ann.run, 2, dict(ann.digests))
    await seal_training(second)
    for step in (TRAINING, WEIGHTS, PUBLICATION):
        await ann.objects.put(ann.key(step), await second.read(second.key(step)))
    ann.digests = second.digests
    await breaks(ann, "publication: statement is of another attempt")


async def rewritten(run: Run, data: bytes) -> None:
    """Other bytes for the upload's manifest, with a chain that fits them."""
    await run.objects.put(run.key(UPLOAD, manifest=True), data)
    await forged(run, UPLOAD, lambda s: s["subject"][0]["digest"].update(sha256=digest_of(data)))


async def test_a_manifest_is_read_strictly(ann: Run) -> None:
    good = await ann.read(ann.key(UPLOAD, manifest=True))
    bad = {
        good + b"\n": "is not canonical: JSON, but not in its RFC 8785 form",
        good.replace(b'{"at"', b'{ "at"', 1): "is not canonical: JSON, but not in its RFC 8785 form",
        good.replace(b'"request"', b'"request":"","request"', 1): "is not canonical: a member appears twice",
        good.replace(b":1000,", b":1000.0,", 1): "is not canonical: a number is not an integer",
        good.replace(b":1000,", b":9007199254740992,", 1): "is not canonical: an integer is 2^53 or more",
        good.replace(b'"salt":"', b'"salt":"0', 1): "has another salt",
        good.replace(b'{"photos"', b'{"more":1,"photos"', 1): "is not of its form",
        b"[]": "is not canonical: not a JSON object",
        b"\xff": "is not canonical: not JSON in UTF-8",
    }
    for data, link in bad.items():
        await rewritten(ann, data)
        await breaks(ann, f"upload: manifest {link}")
    await rewritten(ann, good)
    await ann.open()


async def test_a_manifest_of_another_run_is_refused_though_everything_fits(ann: Run) -> None:
    other = await sealed()
    await rewritten(ann, await other.read(other.key(UPLOAD, manifest=True)))
    await breaks(ann, "upload: manifest has another salt")


async def test_an_enormous_file_breaks_the_chain(ann: Run) -> None:
    await ann.objects.put(ann.key(DATASET, manifest=True), b"x" * (5 << 20))
    await breaks(ann, "dataset: manifest is too large")
