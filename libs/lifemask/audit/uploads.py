"""What apps announce: signed with keys of their own, which are in the apps file and in no keyring."""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from lifemask.audit.case import Case, SeenRecord
from lifemask.audit.problems import Unreachable
from lifemask.contracts import PhotosUploaded, app_of, parse, read_envelope
from lifemask.contracts.signing import NotAuthentic, Reason, check_event, fingerprint, signature_of

NO_APPS = "nobody has said where the apps file is, which has the keys of apps"
OTHER_KEY = "the apps file does not have the key that signed it, or not any more"

Apps = Mapping[str, Sequence[bytes]]


def read_apps(path: Path) -> Apps:
    """The public keys (32 bytes) of each app of an apps file. Raises Unreachable."""
    try:
        found = json.loads(path.read_bytes())
        return {
            str(name): [base64.b64decode(key, validate=True) for key in app.get("signing_keys", ())]
            for name, app in found.items()
        }
    except OSError as problem:
        raise Unreachable("the apps file", problem.strerror or type(problem).__name__) from None
    except (ValueError, AttributeError, TypeError):
        raise Unreachable("the apps file", "it is not as the README shows it") from None


def read_upload(case: Case, seen: SeenRecord) -> tuple[PhotosUploaded, str]:
    """The event, and why nobody can tell whether its app has signed it; nothing when it has.

    Raises NotAuthentic for one that its app cannot have sent; and BadEnvelope, UnknownType or ValidationError.
    """
    record, envelope = seen.record, read_envelope(seen.record.headers)
    keyid, signature = signature_of(record)
    event = parse(record)
    assert isinstance(event, PhotosUploaded)
    app = app_of(event.user_id)
    if envelope.source != f"app/{app}" or record.key != event.user_id.encode() or envelope.subject != event.run_id:
        raise NotAuthentic(Reason.NOT_ALLOWED)
    if case.apps is None:
        return event, NO_APPS
    public = next((key for key in case.apps.get(app, ()) if fingerprint(key) == keyid), None)
    if public is None:
        return event, OTHER_KEY
    check_event(public, envelope, event.user_id.encode(), record.value, signature)
    return event, ""
