"""`python -m lifemask.notifier`."""

import lifemask.runtime.loading  # noqa: F401  first
from lifemask.notifier.settings import NotifierSettings
from lifemask.notifier.wiring import notifier
from lifemask.runtime.main import run

if __name__ == "__main__":
    run("notifier", notifier, NotifierSettings)
