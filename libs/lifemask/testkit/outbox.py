"""What a service has said, read from its outbox as its relay would send it."""

import json
from typing import Any

from lifemask.contracts import Event, Record, parse


def said(row: Any) -> Event:
    """The event in a row of an outbox with the columns `headers` and `value`."""
    headers = tuple((name, text.encode()) for name, text in json.loads(row["headers"]))
    return parse(Record(topic="", key=b"", value=row["value"], headers=headers))
