"""What the trainer needs of the outside; all of it is tried at the start and by `lifemask doctor`."""

from collections.abc import Sequence
from typing import Final

from lifemask.doctor.files import url_key_probe
from lifemask.doctor.needs import Needs
from lifemask.doctor.objects import Grant
from lifemask.doctor.outside import provider_probe
from lifemask.objects.keys import QUARANTINE, every_run
from lifemask.runtime.checkup import Probe
from lifemask.trainer.handlers import HANDLERS
from lifemask.trainer.settings import TrainerSettings

STORE: Final = (
    *Grant.of("GetObject", every_run("archive/*"), every_run("request.json"), every_run("custody/*")),
    *Grant.of("PutObject AbortMultipartUpload", every_run("weights/*")),
    *Grant.of(
        "PutObject",
        every_run("custody/4-training-*"),
        every_run("custody/5-weights-*"),
        every_run("custody/refusal-train-*"),
        f"{QUARANTINE}*",
    ),
)


def more(settings: TrainerSettings) -> Sequence[Probe]:
    provider = provider_probe(
        settings.replicate_api_token.get_secret_value(),
        settings.replicate_base_url,
        destination=settings.replicate_destination,
        trainer=settings.replicate_trainer,
        version=settings.replicate_trainer_version,
    )
    return (url_key_probe(settings), provider)


NEEDS: Final = Needs("trainer", TrainerSettings, HANDLERS, STORE, more)
