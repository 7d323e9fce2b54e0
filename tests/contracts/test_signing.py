"""Signatures of events and envelopes: what was signed is believed, and nothing else."""

import base64
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiokafka import ConsumerRecord
from confluent_kafka import Message
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    ssh_key_fingerprint,
)

from lifemask.contracts import Envelope, ModelReady, PhotosUploaded, Record, RunFailed, new_id, pack
from lifemask.contracts.signing import (
    BadKey,
    BadSignature,
    NotAuthentic,
    Reason,
    Signer,
    check_signature,
    fingerprint,
    pae,
    seal,
    sign,
    unseal,
    verify,
)
from lifemask.testkit.keys import make_keys, test_keys

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = test_keys()
TYPE = "application/vnd.in-toto+json"


def ready(source: str = "lifemask/publisher") -> Record:
    return pack(ModelReady.example(), id=new_id(), source=source, time=NOW)


def signed() -> Record:
    return sign(ready(), KEYS.signers["publisher"])


def changed(record: Record, **headers: bytes) -> Record:
    return record._replace(headers=tuple((name, headers.get(name, value)) for name, value in record.headers))


def why(record: Record) -> Reason:
    with pytest.raises(NotAuthentic) as refused:
        verify(record, KEYS.keyring)
    return refused.value.reason


def test_what_the_publisher_signed_is_believed_from_every_client() -> None:
    record = signed()
    theirs = Message(topic="t", partition=0, offset=0, key=record.key, value=record.value, headers=list(record.headers))
    ours = ConsumerRecord("t", 0, 0, 0, 0, record.key, record.value, None, 1, 1, record.headers)
    text = ConsumerRecord("t", 0, 0, 0, 0, record.key.decode(), record.value, None, 1, 1, record.headers)
    for each in (record, ours, theirs, text):
        assert verify(each, KEYS.keyring) == ModelReady.example()


def test_a_signature_holds_for_every_signed_part_and_for_no_other_value() -> None:
    record = signed()
    assert why(record._replace(value=record.value.replace(b"acme", b"acne"))) is Reason.BAD_SIGNATURE
    assert why(record._replace(key=b"acme.user-43")) is Reason.BAD_SIGNATURE
    assert why(changed(record, ce_id=b"another")) is Reason.BAD_SIGNATURE
    assert why(changed(record, ce_subject=new_id().encode())) is Reason.BAD_SIGNATURE
    assert why(changed(record, ce_type=RunFailed.ce_type.encode())) is Reason.BAD_SIGNATURE
    assert why(changed(record, ce_source=b"lifemask/trainer")) is Reason.NOT_ALLOWED
    assert why(changed(record, ce_source=b"LIFEMASK/publisher")) is Reason.NOT_ALLOWED


def test_parts_cannot_lend_bytes_to_each_other() -> None:
    one = Envelope(id="ab", source="c", type="t").headers()
    other = Envelope(id="a", source="bc", type="t").headers()
    signer = KEYS.signers["ingest"]
    first, second = (sign(Record("t", b"k", b"v", headers), signer) for headers in (one, other))
    assert dict(first.headers)["ce_signature"] != dict(second.headers)["ce_signature"]


def test_what_is_signed_by_nobody_or_by_others_is_not_believed() -> None:
    assert why(ready()) is Reason.UNSIGNED
    assert why(changed(signed(), ce_signature=b"x")) is Reason.UNSIGNED
    assert why(changed(signed(), ce_signature=b"\xff")) is Reason.UNSIGNED
    assert why(changed(signed(), ce_signature=base64.b64encode(b"short"))) is Reason.BAD_SIGNATURE
    assert why(sign(ready(), make_keys().signers["publisher"])) is Reason.UNKNOWN_KEY
    assert why(sign(ready(), KEYS.signers["trainer"])) is Reason.NOT_ALLOWED
    assert why(sign(ready("lifemask/trainer"), KEYS.signers["trainer"])) is Reason.NOT_ALLOWED
    announced = pack(PhotosUploaded.example(), id=new_id(), source="app/acme", time=NOW)
    assert why(sign(announced, Signer.generate("acme"))) is Reason.UNKNOWN_KEY


def test_the_last_of_two_headers_counts_for_both_sides() -> None:
    record = signed()
    first = record._replace(headers=(("ce_type", b"x"), *record.headers))
    assert verify(first, KEYS.keyring) == ModelReady.example()
    assert why(record._replace(headers=(*record.headers, ("ce_id", b"x")))) is Reason.BAD_SIGNATURE
    assert dict(sign(record, KEYS.signers["publisher"]).headers) == dict(record.headers)


def test_key_ids_are_ssh_fingerprints() -> None:
    signer = KEYS.signers["ingest"]
    digest = ssh_key_fingerprint(Ed25519PublicKey.from_public_bytes(signer.public), SHA256())
    assert signer.keyid == "SHA256:" + base64.b64encode(digest).decode().rstrip("=") == fingerprint(signer.public)


def test_an_envelope_is_dsse_and_opens_in_one_spelling_only() -> None:
    signer = KEYS.signers["ingest"]
    data = seal(TYPE, b'{"a":1}', signer)
    assert data == seal(TYPE, b'{"a":1}', signer)
    payload, keyid, signature = unseal(data, TYPE)
    assert (payload, keyid) == (b'{"a":1}', signer.keyid)
    check_signature(signer.public, TYPE, payload, signature)
    assert pae(TYPE, payload) == b'DSSEv1 28 application/vnd.in-toto+json 7 {"a":1}'
    whole = json.loads(data)
    for other in (
        data + b"\n",
        data.replace(b'":"', b'": "', 1),
        json.dumps(whole | {"signatures": whole["signatures"] * 2}, separators=(",", ":")).encode(),
        json.dumps(whole | {"more": 1}, separators=(",", ":"), sort_keys=True).encode(),
        data.replace(b'{"payload":', b'{"payload":"eA==","payload":', 1),
        b"[]",
        b"\xff",
        b"[" * 100_000,
    ):
        with pytest.raises(BadSignature) as refused:
            unseal(other, TYPE)
        assert refused.value.reason is Reason.UNSIGNED


def test_a_signature_of_another_type_payload_or_key_does_not_hold() -> None:
    signer = KEYS.signers["ingest"]
    payload, _, signature = unseal(seal(TYPE, b"x", signer), TYPE)
    for public, kind, content in (
        (signer.public, "application/other", payload),
        (signer.public, TYPE, b"y"),
        (KEYS.signers["trainer"].public, TYPE, payload),
        (b"no key", TYPE, payload),
    ):
        with pytest.raises(BadSignature, match="bad signature"):
            check_signature(public, kind, content, signature)
    with pytest.raises(BadSignature):
        unseal(seal("application/other", b"x", signer), TYPE)


def test_a_key_is_kept_in_a_file_of_its_owner_and_never_overwritten(tmp_path: Path) -> None:
    signer, path = Signer.generate("ingest"), tmp_path / "ingest.pem"
    signer.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    loaded = Signer.load(path, "ingest")
    assert (loaded.keyid, loaded.sign(b"x"), loaded.holder) == (signer.keyid, signer.sign(b"x"), "ingest")
    assert signer.keyid in repr(signer)
    with pytest.raises(FileExistsError):
        Signer.generate("ingest").save(path)
    locked = (Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    for wrong in (
        b"nothing",
        X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        Ed25519PrivateKey.generate().private_bytes(*locked),
    ):
        path.write_bytes(wrong)
        with pytest.raises(BadKey, match=r"ingest\.pem holds no Ed25519"):
            Signer.load(path, "ingest")


def test_the_signed_bytes_are_the_published_ones() -> None:
    """Another language can sign: a domain tag, then each part with its length in 8 bytes, big-endian."""
    signer = Signer("acme", Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"test").digest()))
    envelope = replace(Envelope(id="i", source="app/acme", type="t"), subject="s")
    record = sign(Record("lifemask.uploads", b"k", b"{}", envelope.headers()), signer)
    parts = (b"t", b"app/acme", b"i", b"s", b"k", b"{}")
    data = b"lifemask event v1" + b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    assert dict(record.headers)["ce_signature"] == base64.b64encode(signer.sign(data))
    assert dict(record.headers)["ce_keyid"] == signer.keyid.encode()
