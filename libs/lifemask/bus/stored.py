"""Whether a stored message is what was taken in: looked at again when it is its turn, however it came into the table.

An event carries its sender's signature; it is checked again at the time when it was taken in. A reminder carries one by
this service's own key over everything that its handler sees. Not signed is *when* a reminder is due.
A key that was merely rotated out still proves a reminder; one in other hands proves none that fell due since.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from lifemask.bus.checking import Check
from lifemask.bus.inbound import Inbound, Raw, header, headers_bytes, identity, senders
from lifemask.bus.lanes import REMINDER, Message
from lifemask.contracts import BadEnvelope, read_envelope
from lifemask.contracts.signing import (
    NotAuthentic,
    Reason,
    Signer,
    check_signature,
    pae,
)

_KIND: Final = "application/vnd.lifemask.reminder"
_KEYID: Final = "lifemask-keyid"
_CODE: Final = "lifemask-code"


def coded(
    signer: Signer,
    headers: Sequence[tuple[str, str | None]],
    *,
    name: str,
    lane: str,
    user_id: str,
    run_id: str | None,
    type: str,
    value: bytes,
) -> str:
    """The headers of a reminder's row, with the service's signature of the row. `name`: its id."""
    signature = signer.sign(pae(_KIND, _payload(name, lane, user_id, run_id, type, value)))
    return json.dumps([*headers, [_KEYID, signer.keyid], [_CODE, signature.hex()]])


def _payload(*values: str | bytes | None) -> bytes:
    spelled = [hashlib.sha256(each).hexdigest() if isinstance(each, bytes) else each for each in values]
    return json.dumps(spelled, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Stored:
    """Checks the rows of one service."""

    check: Check
    service: str

    def reason(self, message: Message) -> Reason | None:
        """None, or why the row is not one that this service stored."""
        try:
            if message.topic == REMINDER:
                self._reminder(message)
                return None
            return self._event(message)
        except NotAuthentic as refused:
            return refused.reason
        except (BadEnvelope, ValueError, TypeError, AttributeError):  # headers of another shape
            return Reason.UNSIGNED

    def _event(self, message: Message) -> Reason | None:
        headers = senders(headers_bytes(message.headers))
        envelope = read_envelope(headers)
        name = identity(envelope.source, envelope.id)
        known: Any = (name, identity(name, message.value.hex()))  # the second: a name that came twice
        if envelope.type != message.type or message.msg_id not in known:
            return Reason.BAD_SIGNATURE
        row = Inbound(
            msg_id=message.msg_id,
            lane=message.lane,
            user_id=message.user_id,
            run_id=message.run_id,
            type=message.type,
            topic=message.topic,
            value=message.value,
            headers=message.headers,
            source=envelope.source,
            envelope=envelope,
            raw=Raw(message.topic, "", message.user_id.encode(), message.value, headers),
        )
        return self.check.reason(row, message.got_at)

    def _reminder(self, message: Message) -> None:
        keyid, code = header(message.headers, _KEYID), header(message.headers, _CODE)
        if keyid is None or code is None:
            raise NotAuthentic(Reason.UNSIGNED)
        if (key := self.check.trust.find(keyid)) is None:
            raise NotAuthentic(Reason.UNKNOWN_KEY)
        if key.holder != self.service:
            raise NotAuthentic(Reason.NOT_ALLOWED)
        if key.compromised_at is not None and message.got_at >= key.compromised_at:
            raise NotAuthentic(Reason.COMPROMISED)
        said = _payload(message.msg_id, message.lane, message.user_id, message.run_id, message.type, message.value)
        check_signature(key.raw, _KIND, said, bytes.fromhex(code))
