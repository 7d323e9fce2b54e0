"""Files that are to be put straight into the store, as they were announced."""

from dataclasses import dataclass
from datetime import datetime

from lifemask.ingest.domain.photos import Shown


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of one announced file. `sha256` is hexadecimal, `bytes` its size, `media_type` what its sender says."""

    user_id: str
    run_id: str
    photo_id: str
    sha256: str
    bytes: int
    media_type: str


class TargetView(Shown):
    """How to put one file: this method, this address, all of these headers, until then."""

    name: str
    photo_id: str
    method: str = "PUT"
    url: str
    headers: dict[str, str]
    expires_at: datetime
