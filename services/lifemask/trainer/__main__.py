"""`python -m lifemask.trainer`."""

from lifemask.runtime.main import run
from lifemask.trainer.settings import TrainerSettings
from lifemask.trainer.wiring import trainer

if __name__ == "__main__":
    run("trainer", trainer, TrainerSettings)
