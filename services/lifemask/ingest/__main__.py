"""`python -m lifemask.ingest`."""

import lifemask.runtime.loading  # noqa: F401  first
from lifemask.ingest.settings import IngestSettings
from lifemask.ingest.wiring import ingest
from lifemask.runtime.main import run

if __name__ == "__main__":
    run("ingest", ingest, IngestSettings)
