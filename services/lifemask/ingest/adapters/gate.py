"""Who may announce uploads: an app of the apps file, and for its own users alone."""

from typing import Final

from lifemask.bus.guarding import Guard
from lifemask.bus.inbound import Inbound
from lifemask.contracts import PhotosUploaded, app_of, split_version
from lifemask.ingest.ports import Apps

_UPLOADS: Final = split_version(PhotosUploaded.ce_type)[0]


def gate(apps: Apps) -> Guard:
    """The guard of ingest's intake. `ce_source` of an app is `app/{its name}`."""

    def check(record: Inbound) -> str | None:
        if split_version(record.type)[0] != _UPLOADS:
            return None
        kind, _, name = record.source.partition("/")
        if kind != "app" or not apps.knows(name):
            return "an upload by an unknown app"
        return None if app_of(record.user_id or "") == name else "an upload for another app's user"

    return check
