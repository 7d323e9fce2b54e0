"""Who may announce uploads: an app of the apps file, by a key of its own, and for its own users alone."""

from collections.abc import Sequence
from typing import Final

from lifemask.bus.checking import Outsiders
from lifemask.bus.guarding import Guard
from lifemask.bus.inbound import Inbound
from lifemask.contracts import PhotosUploaded, app_of, split_version
from lifemask.ingest.ports import Apps

_UPLOADS: Final = split_version(PhotosUploaded.ce_type)[0]


def gate(apps: Apps) -> Guard:
    """The guard of ingest's intake. `ce_source` of an app is `app/{its name}`."""

    def check(record: Inbound) -> str | None:
        if not _is_upload(record):
            return None
        name = _app(record)
        if not name or not apps.knows(name):
            return "an upload by an unknown app"
        return None if app_of(record.user_id or "") == name else "an upload for another app's user"

    return check


def signers(apps: Apps) -> Outsiders:
    """The keys that may have signed an upload: those of the app it names as its source."""

    def keys(record: Inbound) -> Sequence[bytes] | None:
        return apps.signing_keys(_app(record)) if _is_upload(record) else None

    return keys


def _is_upload(record: Inbound) -> bool:
    return split_version(record.type)[0] == _UPLOADS


def _app(record: Inbound) -> str:
    kind, _, name = record.source.partition("/")
    return name if kind == "app" else ""
