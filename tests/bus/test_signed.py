"""Only who may say a thing is believed: forged, foreign and outdated records leave an entry, and nothing else."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.bus.lab import Lab, raw, record

from lifemask.bus.checking import check_version
from lifemask.bus.inbound import Raw
from lifemask.bus.outcomes import Misconfigured, Outcome, on
from lifemask.bus.rows import Pool, transaction
from lifemask.bus.service import Bus, Service
from lifemask.contracts import (
    EVENTS,
    OPERATOR,
    Event,
    Failure,
    FailureCode,
    PhotoJudged,
    PhotosValidated,
    Record,
    RunCanceled,
    RunCancelRequested,
    RunEvent,
    RunFailed,
    RunStalled,
    SecurityReported,
    Stage,
    new_id,
    pack,
    split_version,
)
from lifemask.contracts.keyring import Key, Keyring
from lifemask.contracts.signing import NotAuthentic, Reason, Signer, sign, verify
from lifemask.keys.files import KEYRING, ROOT_FINGERPRINT, Trust, open_keys
from lifemask.runtime.settings import ServiceSettings
from lifemask.testkit.events import a_run, an_event
from lifemask.testkit.keys import TestKeys, make_keys, test_keys, write_keys
from lifemask.testkit.outbox import said

NOW = datetime.now(UTC)
NOBODY = Signer.generate("ingest")


async def take(event: Event) -> Sequence[Outcome]:
    return []


def hearing_all(pool: Pool) -> Service:
    """A service that listens to every event there is; a run is brought by one of them."""
    bus = Bus("packager", Stage.PACKAGE, ServiceSettings(), pool)
    return bus.serve([on(kind, take, brings="run" if kind is PhotosValidated else None) for kind in EVENTS])


def forged(kind: type[Event], run: dict[str, str], signer: Signer) -> Raw:
    ids = run if issubclass(kind, RunEvent) else {"user_id": run["user_id"]}
    source = f"lifemask/{signer.holder}"
    return raw(sign(pack(an_event(kind, **ids), id=new_id(), source=source, time=NOW), signer))


def unsigned(one: Raw) -> Raw:
    return replace(one, headers=[pair for pair in one.headers if pair[0] not in ("ce_keyid", "ce_signature")])


async def entries(pool: Pool) -> list[tuple[str, str]]:
    return [tuple(row) for row in await pool.fetch("select reason, type from security order by id")]


async def state(pool: Pool) -> list[object]:
    """Everything that a record could have touched."""
    tables = ("inbox", "lane", "baton", "outbox", "reminder")
    return [await pool.fetch(f"select * from {table} order by {table}::text") for table in tables]


@pytest.mark.parametrize("kind", EVENTS)
async def test_a_forged_event_of_any_type_touches_no_run(pool: Pool, kind: type[Event]) -> None:
    service, live, over = hearing_all(pool), a_run(), a_run()
    await service.intake.store([record(an_event(PhotosValidated, **run)) for run in (live, over)])
    await pool.execute("update baton set passed_at = now() where run_id = $1", over["run_id"])
    before = await state(pool)
    victims = [live, over, {**live, "run_id": new_id()}, a_run()]
    forgeries = [forged(kind, run, signer) for run in victims for signer in (NOBODY, *who_may_not(kind)[:1])]
    forgeries += [unsigned(forged(kind, run, NOBODY)) for run in victims]
    await service.intake.store(forgeries)
    assert await state(pool) == before
    reasons = {reason for reason, _ in await entries(pool)}
    assert reasons == {"unknown key", "unsigned", *(["key not allowed"] if who_may_not(kind) else [])}
    assert await pool.fetchval("select count(*) from security") == len(forgeries)


def who_may_not(kind: type[Event]) -> list[Signer]:
    family, _ = split_version(kind.ce_type)
    keys = test_keys()
    return [keys.signers[key.holder] for key in keys.keyring.contents.keys if family not in key.events]


async def test_what_is_changed_on_its_way_is_not_believed(lab: Lab) -> None:
    true, run = record(an_event(PhotosValidated, **a_run())), a_run()
    for changed in (
        replace(true, value=(true.value or b"").replace(b'"usable":', b'"usable": ')),
        replace(true, key=run["user_id"].encode()),
        replace(true, value=None),
        Raw("lifemask.photos", "here", b"acme.u", b"\xff{", [("ce_type", None), ("x", b"\xff\x00")]),
        replace(true, headers=[("ce_source", b"life\0mask"), *true.headers[3:]]),
    ):
        await lab.service.intake.store([changed])
    for table in ("inbox", "baton", "lane", "outbox"):
        assert await lab.pool.fetchval(f"select count(*) from {table}") == 0
    reasons = [reason for reason, _ in await entries(lab.pool)]
    assert reasons == ["bad signature"] * 3 + ["unsigned"] * 2


async def test_a_source_with_zeros_is_kept_readable(lab: Lab) -> None:
    odd = pack(an_event(PhotosValidated, **a_run()), id=new_id(), source="x\0" + "y" * 5000, time=NOW)
    await lab.service.intake.store([raw(odd)])
    assert await lab.pool.fetchval("select source from security") == "x\ufffd" + "y" * 198


async def test_what_the_service_says_is_signed(lab: Lab) -> None:
    run = a_run()
    await lab.receive(an_event(PhotosValidated, **run))
    await lab.settle()
    row = await lab.pool.fetchrow("select topic, key, value, headers from outbox")
    assert row is not None
    headers = tuple((name, text.encode()) for name, text in json.loads(row["headers"]))
    sealed = Record(row["topic"], row["key"].encode(), row["value"], headers)
    assert verify(sealed, test_keys().keyring) == said(row)
    with pytest.raises(NotAuthentic):
        verify(sealed._replace(key=b"acme.other"), test_keys().keyring)


def rotated(keys: TestKeys, holder: str, times: dict[str, datetime], version: int = 2) -> Keyring:
    """The next keyring, in which the key of this holder has an end."""
    old = keys.keyring.contents.keys
    changed: list[Key] = [key.model_copy(update=times) if key.holder == holder else key for key in old]
    return Keyring.issue(version, changed, keys.root, NOW)


def a_lab(pool: Pool, folder: Path, keys: TestKeys) -> Lab:
    return Lab.of(pool, keys=write_keys(folder, keys))


def again(one: Raw, keys: TestKeys) -> Raw:
    """The record as another installation of keys signs it."""
    plain = Record(
        one.topic, one.key or b"", one.value or b"", tuple((name, text or b"") for name, text in one.headers)
    )
    holder = dict(plain.headers)["ce_source"].decode().partition("/")[2]
    return raw(sign(plain, keys.signers[holder]))


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ({"until": NOW - timedelta(hours=1)}, Reason.ROTATED_OUT),
        ({"compromised_at": NOW - timedelta(hours=1)}, Reason.COMPROMISED),
        ({"since": NOW + timedelta(days=1)}, Reason.TOO_EARLY),
    ],
)
async def test_a_new_keyring_counts_from_the_next_record_on(
    pool: Pool, tmp_path: Path, times: dict[str, datetime], reason: Reason
) -> None:
    keys = make_keys()
    lab = a_lab(pool, tmp_path, keys)
    first, second = (again(record(an_event(PhotoJudged, **a_run())), keys) for _ in range(2))
    await lab.service.intake.store([first])
    await lab.settle()
    (tmp_path / KEYRING).write_bytes(rotated(keys, "image-validator", times).data)
    await lab.service.intake.store([second])
    await lab.settle()
    assert len(lab.script.seen) == 1
    assert await entries(pool) == [(reason.value, PhotoJudged.ce_type)]


async def test_what_was_believed_before_its_key_went_is_no_attack_when_it_comes_again(
    pool: Pool, tmp_path: Path
) -> None:
    keys = make_keys()
    lab = a_lab(pool, tmp_path, keys)
    true = again(record(an_event(PhotosValidated, **a_run())), keys)
    await lab.service.intake.store([true])
    await lab.settle()
    (tmp_path / KEYRING).write_bytes(rotated(keys, "image-validator", {"until": NOW}).data)
    await lab.service.intake.store([true, replace(true, place="elsewhere")])
    await lab.settle()
    assert await entries(pool) == []
    assert len(lab.script.seen) == 1
    await lab.service.intake.store([replace(true, value=(true.value or b"") + b" ")])
    assert await entries(pool) == [("key rotated out", PhotosValidated.ce_type)]


async def test_an_older_keyring_is_refused_while_running_and_at_the_start(pool: Pool, tmp_path: Path) -> None:
    keys = make_keys(version=3)
    lab = a_lab(pool, tmp_path, keys)
    older = rotated(keys, "image-validator", {"compromised_at": NOW})
    other = rotated(keys, "image-validator", {"compromised_at": NOW}, version=3)
    for wrong in (older.data, other.data, b"{", make_keys(version=9).keyring.data):
        (tmp_path / KEYRING).write_bytes(wrong)
        await lab.service.intake.store([again(record(an_event(PhotoJudged, **a_run())), keys)])
    await lab.settle()
    assert len(lab.script.seen) == 4
    async with transaction(pool) as connection:
        await check_version(connection, lab.service.bus.trust)
    (tmp_path / KEYRING).write_bytes(older.data)
    with pytest.raises(Misconfigured, match="version 2, but 3 was in use here: put the newest keyring back"):
        async with transaction(pool) as connection:
            await check_version(connection, Trust(tmp_path))


async def test_another_root_is_taken_only_when_a_setting_names_it(pool: Pool, tmp_path: Path) -> None:
    one, two = make_keys(version=5), make_keys()
    async with transaction(pool) as connection:
        await check_version(connection, Trust(write_keys(tmp_path / "one", one)))
    with pytest.raises(Misconfigured, match="of another root than the one in use here"):
        async with transaction(pool) as connection:
            await check_version(connection, Trust(write_keys(tmp_path / "two", two)))
    async with transaction(pool) as connection:
        await check_version(connection, Trust(tmp_path / "two", two.root.keyid))
    assert tuple((await pool.fetch("select root, version from keyring"))[0]) == (two.root.keyid, 1)
    with pytest.raises(Misconfigured, match="another root than the pinned one"):
        Trust(tmp_path / "two", one.root.keyid)


def test_keys_that_cannot_be_used_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        Misconfigured, match=r"root\.fingerprint cannot be read: FileNotFoundError .*lifemask keys init"
    ):
        open_keys(tmp_path, "packager")
    (tmp_path / ROOT_FINGERPRINT).write_text(test_keys().root.keyid)
    with pytest.raises(Misconfigured, match=r"keyring\.json cannot be used: FileNotFoundError"):
        open_keys(tmp_path, "packager")
    (tmp_path / KEYRING).write_bytes(test_keys().keyring.data)
    with pytest.raises(Misconfigured, match="the key of packager cannot be read: FileNotFoundError"):
        open_keys(tmp_path, "packager")
    (tmp_path / "packager.pem").write_text("x")
    with pytest.raises(Misconfigured, match=r"packager\.pem holds no Ed25519"):
        open_keys(tmp_path, "packager")
    (tmp_path / "packager.pem").unlink()
    test_keys().signers["trainer"].save(tmp_path / "packager.pem")
    with pytest.raises(Misconfigured, match=r"does not know the key in packager\.pem"):
        open_keys(tmp_path, "packager")


async def reports(pool: Pool) -> list[SecurityReported]:
    rows = await pool.fetch("select headers, value from outbox where topic = 'lifemask.notifications' order by id")
    return [event for event in map(said, rows) if isinstance(event, SecurityReported)]


def lines(report: SecurityReported) -> list[tuple[str, str, int]]:
    return [(one.reason, one.type, one.count) for one in report.refused]


async def test_many_refusals_are_one_report_in_a_while(lab: Lab) -> None:
    reporter, run = lab.service.reporter, a_run()
    assert not await reporter.step()
    forgeries = [forged(PhotoJudged, run, NOBODY) for _ in range(3)]
    await lab.service.intake.store([*forgeries, unsigned(forged(PhotosValidated, run, NOBODY))])
    assert await reporter.step()
    (report,) = await reports(lab.pool)
    assert (report.user_id, report.service) == (OPERATOR, "packager")
    assert sorted(lines(report)) == [
        ("unknown key", "lifemask.photo.judged", 3),
        ("unsigned", "lifemask.photos.validated", 1),
    ]
    await lab.service.intake.store([forged(RunCancelRequested, run, NOBODY), *forgeries])
    assert not await reporter.step()
    await lab.pool.execute("update security set reported_at = reported_at - interval '1 hour'")
    assert await reporter.step()
    assert lines((await reports(lab.pool))[1]) == [("unknown key", "lifemask.run.cancel-requested", 1)]


async def test_a_flood_is_counted_and_not_kept(pool: Pool) -> None:
    lab = Lab.of(pool, security_entries=2)
    for _ in range(2):
        await lab.service.intake.store([forged(PhotoJudged, a_run(), NOBODY) for _ in range(5)])
    assert await pool.fetchval("select count(*) from security") == 3
    await lab.service.reporter.step()
    assert lines((await reports(pool))[0]) == [("unknown key", "lifemask.photo.judged", 10)]
    await lab.service.intake.store([forged(PhotoJudged, a_run(), NOBODY)])
    assert await pool.fetchval("select count(*) from security where reported_at is null") == 1


async def test_a_report_is_believed_by_others(lab: Lab, pool: Pool) -> None:
    await lab.service.intake.store([unsigned(record(an_event(PhotoJudged, **a_run())))])
    await lab.service.reporter.step()
    row = await pool.fetchrow("select topic, key, value, headers from outbox")
    assert row is not None
    headers = tuple((name, text.encode()) for name, text in json.loads(row["headers"]))
    sealed = Record(row["topic"], row["key"].encode(), row["value"], headers)
    assert verify(sealed, test_keys().keyring) == said(row)


@pytest.mark.parametrize("kind", [RunFailed, RunCanceled, RunStalled])
async def test_nobody_speaks_of_a_stage_that_is_not_its_own(pool: Pool, kind: type[Event]) -> None:
    """A packager's key, in other hands, cannot end a run that the trainer has."""
    service, signer = hearing_all(pool), test_keys().signers["packager"]
    changes: dict[str, object] = {} if kind is RunCanceled else {"failure": Failure.of(FailureCode.INTERNAL)}
    for stage in (Stage.PACKAGE, Stage.TRAIN):
        event = an_event(kind, **a_run(), stage=stage, **changes)
        packed = pack(event, id=new_id(), source="lifemask/packager", time=NOW)
        await service.intake.store([raw(sign(packed, signer))])
    assert await pool.fetchval("select count(*) from inbox") == 1
    assert await entries(pool) == [("key not allowed", kind.ce_type)]
