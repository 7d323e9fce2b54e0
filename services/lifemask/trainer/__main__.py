"""`python -m lifemask.trainer`."""

import lifemask.runtime.loading  # noqa: F401  first
from lifemask.runtime.main import run
from lifemask.trainer.settings import TrainerSettings
from lifemask.trainer.wiring import trainer

if __name__ == "__main__":
    run("trainer", trainer, TrainerSettings)
