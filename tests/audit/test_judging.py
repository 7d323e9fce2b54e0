"""What an audit says of chains whose keys, acts or attempts are special; whole runs are in tests/system."""

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.audit.world import (
    MODEL,
    TEMPORARY,
    WHOLE,
    a_case,
    broken,
    disposal_rows,
    disposed,
    revoked,
    revoked_rows,
)
from tests.custody.runs import AT, BOB, seal_training, sealed

from lifemask.audit.case import OnHub
from lifemask.audit.findings import Report, State
from lifemask.audit.judging import judge
from lifemask.contracts.keyring import Keyring
from lifemask.contracts.signing import Signer
from lifemask.custody.steps import DATASET, PUBLICATION, TRAINING, VALIDATION, WEIGHTS, AnyStep
from lifemask.objects import keys
from lifemask.testkit.keys import SINCE, test_keys

DAY = timedelta(days=1)
A_REPOSITORY = OnHub("o/r", private=True, weights=None, head_weights=None, card=None, statements={})


def states(report: Report) -> dict[str, State]:
    return {finding.name: finding.state for finding in report.findings}


def changed(holder: str, **limits: object) -> Keyring:
    """The tests' keyring with limits on one holder's key."""
    found = test_keys()
    listed = [key.model_copy(update=limits) if key.holder == holder else key for key in found.keyring.contents.keys]
    return Keyring.issue(2, listed, found.root, SINCE)


async def test_a_chain_whose_bytes_were_disposed_of_holds() -> None:
    made = await sealed()
    await disposed(made)
    report = judge(await a_case(made), test_keys().keyring)
    assert broken(report) == {}
    [archive] = next(finding.below for finding in report.findings if finding.name == "dataset")
    assert (archive.state, archive.at) == (State.DISPOSED, AT)
    assert {one.name for one in report.unseen} == {"weights on the hub", "rows", "events"}


@pytest.mark.parametrize("missing", TEMPORARY)
async def test_bytes_that_nobody_signed_to_be_gone_are_broken(missing: str) -> None:
    made = await sealed()
    await disposed(made, what=tuple(each for each in TEMPORARY if each != missing))
    names = {name.partition(" ")[0] for name in broken(judge(await a_case(made), test_keys().keyring))}
    own = {"original": "photo", "clean": "photo", "archive": "archive", "weights": "weights"}[missing]
    assert names - {"originals", "clean"} == {own}


async def test_a_revoked_model_is_told_with_its_reason_and_its_evidence_holds() -> None:
    made = await sealed()
    await disposed(made)
    await revoked(made)
    case = await a_case(made)
    gone = {key: found for key, found in (case.objects or {}).items() if "/models/" not in key}
    report = judge(replace(case, objects=gone, hub_why=""), test_keys().keyring)
    assert broken(report) == {}
    [told] = [finding for finding in report.findings if finding.name == "revocation"]
    assert "Another person's photos." in told.what
    assert broken(judge(replace(await a_case(await sealed()), objects=gone), test_keys().keyring))


@pytest.mark.parametrize("step", [VALIDATION, DATASET, TRAINING, WEIGHTS, PUBLICATION])
async def test_a_broken_link_is_named_and_so_is_what_rests_on_it(step: AnyStep) -> None:
    made = await sealed()
    await disposed(made)
    await made.sign(step, await made.payload(step), Signer.generate("nobody"))
    found = broken(judge(await a_case(made), test_keys().keyring))
    assert found[step.name] == f"{step.name}: unknown key"
    later = [each for each in (VALIDATION, DATASET, TRAINING, WEIGHTS, PUBLICATION) if each.position > step.position]
    assert all(found[each.name] == f"rests on a link that is broken: {step.name}: unknown key" for each in later)
    assert len([name for name in found if name in {one.name for one in (VALIDATION, *later, step)}]) >= 1 + len(later)


async def test_a_statement_of_another_user_is_named() -> None:
    ann, bob = await sealed(), await sealed(BOB)
    await disposed(ann)
    await ann.objects.put(ann.key(DATASET), await bob.read(bob.key(DATASET)))
    found = broken(judge(await a_case(ann), test_keys().keyring))
    assert found["dataset"] == "dataset: statement differs"


async def test_both_digests_of_an_exchanged_statement_are_told() -> None:
    made, other = await sealed(), await sealed()
    await disposed(made)
    await made.objects.put(made.key(WEIGHTS), await other.read(other.key(WEIGHTS)))
    [finding] = [one for one in judge(await a_case(made), test_keys().keyring).broken if one.name == "weights"]
    assert (finding.expected, finding.found) == (made.digests["weights"], other.digests["weights"])


async def test_a_key_that_was_rotated_out_later_is_fine_and_one_stolen_before_is_not() -> None:
    made = await sealed()
    await disposed(made)
    case = await a_case(made)
    assert broken(judge(case, changed("packager", until=AT + DAY))) == {}
    assert broken(judge(case, changed("packager", compromised_at=AT + DAY))) == {}
    assert broken(judge(case, changed("packager", compromised_at=AT - DAY)))["dataset"] == "dataset: key compromised"
    assert broken(judge(case, changed("packager", until=AT - DAY)))["dataset"] == "dataset: key rotated out"


async def test_the_last_link_is_seen_by_whoever_disposed_of_the_bytes() -> None:
    """A stolen publisher's key: what ingest saw before holds, and what nobody else has seen does not."""
    seen, alone = await sealed(), await sealed()
    await disposed(seen)
    stolen = changed("publisher", compromised_at=AT + DAY)
    assert "publication" not in broken(judge(await a_case(seen), stolen))
    assert broken(judge(await a_case(alone), stolen))["publication"] == "publication: key compromised"
    assert "publication" not in broken(judge(await a_case(alone, seen=AT), stolen))
    [last] = [one for one in judge(await a_case(alone), test_keys().keyring).findings if one.name == "publication"]
    assert "nobody but its signer" in last.why


async def test_earlier_attempts_are_shown_and_checked() -> None:
    made = await sealed(attempt=2)
    made.attempt = 1
    await seal_training(made)
    await made.objects.delete(made.key(PUBLICATION))
    await made.objects.delete(made.key(PUBLICATION, manifest=True))
    made.attempt = 2
    await made.objects.put(keys.weights(made.user, made.run, 1), b"weights")
    report = judge(await a_case(made), test_keys().keyring)
    assert states(report)["attempt 1"] is State.REHASHED
    made.attempt = 1
    await made.sign(WEIGHTS, await made.payload(WEIGHTS), Signer.generate("nobody"))
    made.attempt = 2
    assert states(judge(await a_case(made), test_keys().keyring))["attempt 1"] is State.BROKEN


async def test_a_model_that_the_publication_does_not_name_is_another_one() -> None:
    made = await sealed()
    await disposed(made)
    case = await a_case(made)
    other = "0192f7a0-3333-7d3e-8f40-5a6b7c8d9e0f"
    assert broken(judge(replace(case, model=other), test_keys().keyring))["model"]
    assert case.model == MODEL


async def test_a_revoked_model_that_lies_there_again_is_named_everywhere() -> None:
    made = await sealed()
    await disposed(made)
    await revoked(made)
    found = broken(judge(replace(await a_case(made), hub=A_REPOSITORY, hub_why=""), test_keys().keyring))
    for name in ("weights in the model store", "metadata.json", "repository"):
        assert "although the model was revoked" in found[name], name


async def test_the_rows_of_a_revoked_model_must_say_that_it_is_revoked() -> None:
    made = await sealed()
    await disposed(made)
    await revoked(made)
    for row, names in (
        ({"revoked": None, "revoked_at": None}, {"ingest.model: revoked", "ingest.model: revoked_at"}),
        ({"revoked": "Another person's photos.", "revoked_at": None}, {"ingest.model: revoked_at"}),
        ({"revoked": "Another person's photos.", "revoked_at": AT}, set()),
    ):
        case = await a_case(made, rows={"ingest.model": [row], "publisher.publication": [{"state": "published"}]})
        found = broken(judge(case, test_keys().keyring))
        assert {name for name in found if name.startswith("ingest.model: revoked")} == names
        assert "publisher.publication: state" in found


@pytest.mark.parametrize("what", TEMPORARY)
async def test_objects_that_were_gone_before_their_disposal_are_counted(what: str) -> None:
    objects, size = WHOLE[what]
    fewer, smaller = await sealed(), await sealed()
    await disposed(fewer, found=WHOLE | {what: (objects - 1, size)})
    await disposed(smaller, found=WHOLE | {what: (objects, size - 1)})
    name = f"disposal of {what}"
    said = f"1 of {objects} objects were gone before their disposal"
    assert broken(judge(await a_case(fewer), test_keys().keyring)) == {name: said}
    assert list(broken(judge(await a_case(smaller), test_keys().keyring))) == [name]


async def test_more_than_the_chain_names_may_be_disposed_of() -> None:
    made = await sealed()
    await disposed(made, found={what: (objects + 3, size + 9) for what, (objects, size) in WHOLE.items()})
    assert broken(judge(await a_case(made), test_keys().keyring)) == {}


async def test_a_compromise_long_after_a_disposal_breaks_nothing() -> None:
    """What the database wrote down before is beyond doubt; what nobody else has seen is said to be unseen."""
    made = await sealed()
    await disposed(made)
    stolen = changed("ingest", compromised_at=AT + DAY)
    seen = judge(await a_case(made, seen=AT, rows=disposal_rows(AT)), stolen)
    assert "disposal" not in broken(seen)
    assert states(seen)["disposal"] is State.TOLD
    assert "archive" not in {one.name for one in seen.unseen}
    for rows in (None, disposal_rows(AT + 2 * DAY)):
        unseen = judge(await a_case(made, seen=AT, rows=rows), stolen)
        assert not {"disposal", "archive", "publication"} & set(broken(unseen))
        assert {"disposal", "archive"} <= {one.name for one in unseen.unseen}
    late = judge(await a_case(made, seen=AT), changed("ingest", compromised_at=AT - DAY))
    assert "disposal: key compromised" in broken(late).values()


async def test_a_doubtful_act_is_nobodys_witness() -> None:
    made = await sealed()
    await disposed(made)
    both = changed("ingest", compromised_at=AT + DAY)
    both = Keyring.issue(
        3,
        [
            key.model_copy(update={"compromised_at": AT + DAY}) if key.holder == "publisher" else key
            for key in both.contents.keys
        ],
        test_keys().root,
        SINCE,
    )
    assert broken(judge(await a_case(made), both))["publication"] == "publication: key compromised"
    assert "publication" not in broken(judge(await a_case(made, rows=disposal_rows(AT)), both))


async def test_a_compromise_long_after_a_revocation_breaks_nothing() -> None:
    made = await sealed()
    await disposed(made)
    await revoked(made)
    stolen = changed("publisher", compromised_at=AT + DAY)
    report = judge(await a_case(made, objects={}, rows=revoked_rows(AT)), stolen)
    assert states(report)["revocation"] is State.TOLD
    assert not {"revocation", "weights in the model store"} & set(broken(report))
    report = judge(await a_case(made, objects={}), stolen)
    assert states(report)["revocation"] is State.UNSEEN
    assert not {"revocation", "weights in the model store"} & set(broken(report))


async def test_a_model_that_two_runs_claim_is_broken() -> None:
    made = await sealed()
    await disposed(made)
    case = await a_case(made, others=[(BOB, made.run)])
    assert broken(judge(case, test_keys().keyring)) == {"model": f"rows say that it is also of run {made.run} of {BOB}"}
