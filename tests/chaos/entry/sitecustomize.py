"""What the chaos does inside of services, in systems of the tests alone: no production module knows of it.

Python imports this module at the start of every process whose PYTHONPATH has this folder; the root of the repository
must be on it as well. See tests/chaos/crashing.py (a process that ends itself at a named moment), clock.py (one whose
clock is wrong) and arms.py (one without a safeguard).
"""

import sys
import traceback

_SERVICE = "lifemask."
_MINE = sys.orig_argv[-1] if len(sys.orig_argv) > 1 and sys.orig_argv[-2] == "-m" else ""

if _MINE.startswith(_SERVICE):
    try:
        from tests.chaos import clock  # before anything of ours has imported a clock

        clock.shift(_MINE.removeprefix(_SERVICE))
        from tests.chaos import arms, crashing

        arms.disarm_safeguards()
        crashing.wrap_service(_MINE.removeprefix(_SERVICE))
    except Exception as error:  # otherwise Python would go on without any of it
        traceback.print_exception(error)
        raise SystemExit(1) from error
