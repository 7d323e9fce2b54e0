"""The one error of custody."""


class CustodyBroken(Exception):
    """The chain does not hold. `link` says where, in words without ids ("dataset: manifest differs").

    `expected` and `found` are SHA-256 digests for the log, where there are two to compare.
    """

    def __init__(self, link: str, *, expected: str | None = None, found: str | None = None) -> None:
        super().__init__(link)
        self.link = link
        self.expected = expected
        self.found = found
