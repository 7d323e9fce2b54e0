"""A process that ends with its parent, even when the parent was killed by SIGKILL.

The parent keeps the write end of a pipe and gives the child the read end. Nothing is ever written: the end of file
is the news that the parent is gone. A child learns the number of its end from the environment (services) or from its
command line (the embedded parts).
"""

import os
import signal
import threading
import time

import structlog

log = structlog.get_logger()

WATCH_FD_VARIABLE = "LIFEMASK_WATCH_FD"
"""Environment variable with the number of the pipe's read end; unset when nobody watches over the process."""


def die_with_parent(fd: int | None, grace: float = 8.0) -> None:
    """Ends this process when `fd`, the read end of the parent's pipe, comes to its end. None: does nothing.

    The process first gets SIGTERM, so that it can stop in its own way, and is ended for good `grace` seconds later.
    8 s leave the supervisor's promise of a stop within 10 s a margin.
    """
    if fd is None:
        return
    os.set_inheritable(fd, False)  # noqa: FBT003  takes no keyword
    threading.Thread(target=_await_end, args=(fd, grace), name="die-with-parent", daemon=True).start()


def end_within(seconds: float) -> None:
    """Ends this process `seconds` from now, whatever it still waits for: its supervisor must see its end to act."""

    def end() -> None:
        time.sleep(seconds)
        log.error("end_forced", seconds=seconds)
        os._exit(1)

    threading.Thread(target=end, name="end-within", daemon=True).start()


def _await_end(fd: int, grace: float) -> None:
    try:
        while os.read(fd, 64):
            pass
    finally:  # an unreadable pipe must not leave an unwatched process behind
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace)
        os._exit(1)
