"""How a command ends: exit codes, and exceptions whose text is a sentence for the person at the keyboard."""

from enum import IntEnum


class Code(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    MISSING = 3
    INTERRUPTED = 130
    """As shells count it: 128 and the number of SIGINT."""


class Stop(Exception):
    """Ends the command. `what` happened, and the `next_step`, if there is one to name."""

    code = Code.FAILED

    def __init__(self, what: str, next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step


class Failed(Stop):
    """The run or the check failed."""


class WrongUsage(Stop):
    """The command line asks for something that does not exist or does not go together."""

    code = Code.USAGE


class Missing(Stop):
    """A service does not answer or a setting is not there; the next step says what to set or start."""

    code = Code.MISSING
