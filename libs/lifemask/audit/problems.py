"""Why an audit cannot be made. That is no finding: nothing was compared."""


class Unreachable(Exception):
    """A part that the audit has to read does not answer, or refuses. `what` is its name, `why` what it says."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")
        self.what = what
        self.why = why


class NoSuchModel(LookupError):
    """Neither a row nor an object knows the model."""
