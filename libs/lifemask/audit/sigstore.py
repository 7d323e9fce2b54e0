"""One statement as standard tools check it: a Sigstore bundle (v0.3) for cosign, and what openssl needs."""

import json
from collections.abc import Iterator, Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lifemask.audit.case import Case
from lifemask.contracts.keyring import Keyring
from lifemask.contracts.signing import BadSignature, pae, unseal
from lifemask.custody.envelopes import PAYLOAD_TYPE
from lifemask.objects.keys import SIGNED

_MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"


def exported(case: Case, keyring: Keyring) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of the files for each statement and act of a case.

    `{name}.sigstore.json` for cosign; `{name}.pae` (what was signed) and `{name}.sig` for openssl; `{holder}-{n}.pub`
    for both, one for each key that signed.
    """
    names: dict[str, str] = {}
    for key, file in case.custody.items():
        if not (key.endswith(SIGNED) and isinstance(file, bytes)):
            continue
        try:
            sealed = unseal(file, PAYLOAD_TYPE)
        except BadSignature:
            continue
        name = key.rpartition("/")[2].removesuffix(SIGNED)
        yield f"{name}.sigstore.json", sigstore_bundle(file, sealed.keyid)
        yield f"{name}.pae", pae(PAYLOAD_TYPE, sealed.payload)
        yield f"{name}.sig", sealed.signature
        known = keyring.find(sealed.keyid)
        if known is not None and known.id not in names:
            taken = sum(name.startswith(known.holder) for name in names.values())
            names[known.id] = f"{known.holder}{f'-{taken + 1}' if taken else ''}.pub"
            yield names[known.id], public_pem(known.raw)


def sigstore_bundle(envelope: bytes, keyid: str) -> bytes:
    """The DSSE envelope of a statement in a Sigstore bundle. cosign wants the key's id as the hint."""
    found: Mapping[str, object] = json.loads(envelope)
    bundle = {
        "mediaType": _MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": keyid}},
        "dsseEnvelope": found,
    }
    return json.dumps(bundle, indent=1).encode() + b"\n"


def public_pem(raw: bytes) -> bytes:
    """A public key as cosign and openssl read it."""
    return Ed25519PublicKey.from_public_bytes(raw).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
