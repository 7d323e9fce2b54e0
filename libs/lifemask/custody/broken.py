"""The one error of custody, and the failure that it becomes."""

import structlog

from lifemask.contracts import Failure, FailureCode

_log = structlog.get_logger(__name__)


class CustodyBroken(Exception):
    """The chain does not hold. `link` says where, in words without ids ("dataset: manifest differs").

    `expected` and `found` are SHA-256 digests for the log, where there are two to compare.
    """

    def __init__(self, link: str, *, expected: str | None = None, found: str | None = None) -> None:
        super().__init__(link)
        self.link = link
        self.expected = expected
        self.found = found

    def failure(self, run_id: str) -> Failure:
        """What the run fails with. The log gets the digests, which nobody else is told."""
        _log.error("custody_broken", run=run_id, link=self.link, expected=self.expected, found=self.found)
        return Failure.of(FailureCode.CUSTODY_BROKEN, link=self.link)
