"""Takes gates away, in a system of the tests alone: each gate only for the users that a file names.

Python imports this module at the start of every process whose PYTHONPATH has this folder. The file named by
LIFEMASK_TEST_OPENED says, by user, which gates are open: `{"acme.anna": ["clean photo", "archive as packed"]}`.
"""

import sys
import traceback

SERVICE = "lifemask."
_MINE = sys.orig_argv[-1] if len(sys.orig_argv) > 1 and sys.orig_argv[-2] == "-m" else ""

if _MINE.startswith(SERVICE):
    try:
        import gates

        gates.open_for(_MINE.removeprefix(SERVICE))
    except Exception as error:  # otherwise Python would go on, with every gate shut
        traceback.print_exception(error)
        raise SystemExit(1) from error
