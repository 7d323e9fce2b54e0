"""Tools of others read what we sign: securesystemslib its envelope, in-toto its statement, openssl its signature."""

import asyncio
import base64
import json
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.protobuf.json_format import Parse
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementPb
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined] # exported, but not so that mypy sees it
from tests.custody.runs import ANN, AT, Run

from lifemask.contracts.signing import pae
from lifemask.custody.envelopes import PAYLOAD_TYPE, read_envelope
from lifemask.custody.steps import DATASET, DISPOSAL, STEPS, AnyStep, DisposalFields, Gone
from lifemask.objects import keys
from lifemask.testkit.custody import chain_of, signer_of


def key_of(step: AnyStep) -> SSlibKey:
    signer = signer_of(step)
    public = Ed25519PublicKey.from_public_bytes(signer.public)
    return SSlibKey.from_crypto(public, keyid=signer.keyid)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
async def test_securesystemslib_verifies_every_envelope(ann: Run, step: AnyStep) -> None:
    envelope = Envelope.from_dict(json.loads(await ann.read(ann.key(step))))
    assert envelope.payload_type == PAYLOAD_TYPE
    assert list(envelope.verify([key_of(step)], 1)) == [signer_of(step).keyid]
    other = next(one for one in STEPS if signer_of(one) is not signer_of(step))
    with pytest.raises(VerificationError):
        envelope.verify([key_of(other)], 1)


async def test_openssl_verifies_a_signature(ann: Run, tmp_path: Path) -> None:
    sealed = read_envelope(DATASET, await ann.read(ann.key(DATASET)))
    public = Ed25519PublicKey.from_public_bytes(signer_of(DATASET).public)
    (tmp_path / "key.pem").write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (tmp_path / "sig").write_bytes(sealed.signature)
    (tmp_path / "pae").write_bytes(pae(PAYLOAD_TYPE, sealed.payload))
    public.verify(sealed.signature, pae(PAYLOAD_TYPE, sealed.payload))
    if (openssl := shutil.which("openssl")) is None:
        return  # a second opinion where the tool is there; the library has given the first one above
    command = [openssl, "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "key.pem", "-sigfile", "sig", "-in", "pae"]
    verifying = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE)
    said, _ = await verifying.communicate()
    assert b"Signature Verified Successfully" in said


async def test_in_totos_own_reader_takes_an_act(ann: Run) -> None:
    fields = DisposalFields(
        actor="ingest", reason="lifemask.model.ready.v1", gone=(Gone(what="clean", objects=12, bytes=60),)
    )
    await chain_of(ann.objects, "ingest").record(DISPOSAL, ANN, ann.run, "work", fields=fields, at=AT)
    data = json.loads(await ann.read(keys.act(ANN, ann.run, "disposal", "work", AT)))
    read = Statement.copy_from_pb(Parse(base64.b64decode(data["payload"]), StatementPb()))
    read.validate()
    assert read.pb.predicate_type == "https://lifemask.dev/custody/disposal/v1"
