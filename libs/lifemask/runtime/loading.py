"""Imported before anything else by a service's process: what is not needed is not loaded, and the collector rests.

What is loaded stays to the end, so that every walk over it finds nothing, a sixth of the time that loading takes.
`lifemask.runtime.main.run` sets what is there aside and lets the collector go on.
"""

import gc
import sys

gc.disable()

# Where rich is installed (the command line needs it), structlog and httpx load it for terminals that no service has:
# a tenth of the time again. Both do without it.
sys.modules["rich"] = None  # type: ignore[assignment]  # Python's own way to say that there is no such module
