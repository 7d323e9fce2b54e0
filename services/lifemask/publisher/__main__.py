"""`python -m lifemask.publisher`."""

import lifemask.runtime.loading  # noqa: F401  first
from lifemask.publisher.settings import PublisherSettings
from lifemask.publisher.wiring import publisher
from lifemask.runtime.main import run

if __name__ == "__main__":
    run("publisher", publisher, PublisherSettings)
