"""`python -m lifemask.notifier`."""

from lifemask.notifier.settings import NotifierSettings
from lifemask.notifier.wiring import notifier
from lifemask.runtime.main import run

if __name__ == "__main__":
    run("notifier", notifier, NotifierSettings)
