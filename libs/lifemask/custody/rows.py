"""Rows of a service's own on which it later acts: each carries a code that only the service can make.

So a row that somebody else wrote or changed is not believed. The code is an HMAC under a secret that follows from the
service's private key; after a rotation no row from before holds any more, and what it says is found out anew.
"""

import hashlib
import hmac
import json
from typing import Final

from lifemask.contracts.signing import Signer

_DOMAIN: Final = b"lifemask rows v1"
Value = str | int | list[str] | None


class RowCodes:
    """Makes and checks the codes of one service's rows."""

    def __init__(self, signer: Signer) -> None:
        self._secret = signer.sign(_DOMAIN)

    def of(self, *values: Value) -> bytes:
        """The code of a row: its table's name, then its values. 32 bytes."""
        return hmac.digest(self._secret, json.dumps(values, separators=(",", ":")).encode(), hashlib.sha256)

    def holds(self, code: bytes, *values: Value) -> bool:
        """Whether `code` was made for these values."""
        return hmac.compare_digest(code, self.of(*values))
