"""The keyring: believed when the pinned root signed it; each key for its own acts and its own time."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from lifemask.contracts import EVENTS, PhotosUploaded, split_version
from lifemask.contracts.keyring import PAYLOAD_TYPE, BadKeyring, Contents, Key, Keyring, key_for
from lifemask.contracts.signing import NotAuthentic, Reason, Signer, seal
from lifemask.keys.holders import HOLDERS
from lifemask.testkit.keys import make_keys, test_keys

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROOT, INGEST = Signer.generate("root"), Signer.generate("ingest")


def an_entry(**changes: datetime) -> Key:
    times = {"since": SINCE, **changes}
    return key_for(INGEST, steps=["upload"], events=["lifemask.run.accepted"], **times)


def a_ring(*keys: Key, version: int = 1) -> Keyring:
    return Keyring.issue(version, keys, ROOT, SINCE)


def why(ring: Keyring, at: datetime, *, step: str = "upload", keyid: str = INGEST.keyid) -> Reason | None:
    try:
        assert ring.for_step(step, keyid, at) == INGEST.public
    except NotAuthentic as refused:
        return refused.reason
    return None


def test_a_keyring_comes_back_as_it_was_issued() -> None:
    ring = Keyring.load(a_ring(an_entry(), version=7).data, ROOT.keyid + "\n")
    assert (ring.version, ring.root, ring.contents.keys) == (7, ROOT.keyid, (an_entry(),))
    assert ring.find(INGEST.keyid) == an_entry()
    assert ring.find(ROOT.keyid) is None


def test_only_the_pinned_root_is_believed() -> None:
    ring = a_ring(an_entry())
    with pytest.raises(BadKeyring, match="another root"):
        Keyring.load(ring.data, make_keys().root.keyid)
    mine = Contents.model_validate(ring.contents.model_dump() | {"root": base64.b64encode(INGEST.public).decode()})
    for payload, signer, complaint in (
        (mine, INGEST, "another root"),
        (ring.contents, INGEST, "another root"),
        (mine, ROOT, "another root"),
    ):
        with pytest.raises(BadKeyring, match=complaint):
            Keyring.load(seal(PAYLOAD_TYPE, payload.model_dump_json().encode(), signer), ROOT.keyid)


def test_a_damaged_keyring_says_what_is_wrong() -> None:
    ring = a_ring(an_entry())
    other = base64.b64encode(ring.contents.model_copy(update={"version": 9}).model_dump_json().encode())
    whole = ring.data.split(b'"')
    with pytest.raises(BadKeyring, match="signature does not hold"):
        Keyring.load(ring.data.replace(whole[3], other), ROOT.keyid)
    for data in (b"", b"{}", seal("application/other", b"{}", ROOT)):
        with pytest.raises(BadKeyring, match="signature does not hold"):
            Keyring.load(data, ROOT.keyid)
    for payload, complaint in (
        (b'{"version": 0, "keys": []}', "wrong values at: issued_at, root, version"),
        (ring.contents.model_dump_json().replace('"root":"', '"root":"!').encode(), "no base64"),
    ):
        with pytest.raises(BadKeyring, match=complaint):
            Keyring.load(seal(PAYLOAD_TYPE, payload, ROOT), ROOT.keyid)


def test_ids_follow_from_keys_and_come_once() -> None:
    with pytest.raises(BadKeyring, match="not its key's fingerprint"):
        a_ring(an_entry().model_copy(update={"id": ROOT.keyid}))
    with pytest.raises(BadKeyring, match="twice"):
        a_ring(an_entry(), an_entry(until=SINCE + HOUR))


def test_a_key_is_good_for_what_is_seen_in_its_time() -> None:
    ring = a_ring(an_entry(until=SINCE + 2 * HOUR))
    assert why(ring, SINCE - HOUR) is Reason.TOO_EARLY
    assert why(ring, SINCE) is None
    assert why(ring, SINCE + 2 * HOUR - timedelta(microseconds=1)) is None
    assert why(ring, SINCE + 2 * HOUR) is Reason.ROTATED_OUT
    ring = a_ring(an_entry(until=SINCE + 2 * HOUR, compromised_at=SINCE + HOUR))
    assert why(ring, SINCE) is None
    assert why(ring, SINCE + HOUR) is Reason.COMPROMISED
    assert why(ring, SINCE + 3 * HOUR) is Reason.COMPROMISED


def test_a_key_is_good_for_its_own_acts() -> None:
    ring = a_ring(an_entry())
    assert why(ring, SINCE, step="dataset") is Reason.NOT_ALLOWED
    assert why(ring, SINCE, keyid=ROOT.keyid) is Reason.UNKNOWN_KEY
    for version in (1, 2):
        kind = f"lifemask.run.accepted.v{version}"
        assert ring.for_event(kind, "lifemask/ingest", INGEST.keyid, SINCE) == INGEST.public
    for kind, source in (
        ("lifemask.run.accepted.v1", "lifemask/trainer"),
        ("lifemask.run.accepted.v1", "ingest"),
        ("lifemask.run.failed.v1", "lifemask/ingest"),
    ):
        with pytest.raises(NotAuthentic, match="not allowed"):
            ring.for_event(kind, source, INGEST.keyid, SINCE)


def test_every_event_has_a_service_that_may_emit_it_but_the_apps_own() -> None:
    emitted = {name for rights in HOLDERS.values() for name in rights.events}
    assert emitted == {split_version(event.ce_type)[0] for event in EVENTS if event is not PhotosUploaded}


def test_every_step_has_one_signer() -> None:
    steps = [step for rights in HOLDERS.values() for step in rights.steps]
    for step in ("upload", "validation", "dataset", "training", "weights", "publication", "disposal", "revocation"):
        assert steps.count(step) == 1


def test_the_test_keys_are_made_once_and_good() -> None:
    keys = test_keys()
    assert test_keys() is keys
    for name, rights in HOLDERS.items():
        for step in rights.steps:
            assert keys.keyring.for_step(step, keys.signers[name].keyid, SINCE) == keys.signers[name].public
