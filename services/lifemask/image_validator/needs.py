"""What the image-validator needs of the outside; all of it is tried at the start and by `lifemask doctor`."""

from typing import Final

from lifemask.doctor.needs import Needs, nothing_more
from lifemask.doctor.objects import Grant
from lifemask.image_validator.handlers import HANDLERS
from lifemask.image_validator.settings import ImageValidatorSettings
from lifemask.objects.keys import QUARANTINE, every_run

STORE: Final = (
    *Grant.of("GetObject", every_run("original/*"), every_run("request.json"), every_run("custody/*")),
    *Grant.of("PutObject DeleteObject AbortMultipartUpload", every_run("clean/*")),
    *Grant.of("PutObject AbortMultipartUpload", every_run("verdicts/*")),
    *Grant.of(
        "PutObject", every_run("custody/2-validation-*"), every_run("custody/refusal-validate-*"), f"{QUARANTINE}*"
    ),
)

NEEDS: Final = Needs("image-validator", ImageValidatorSettings, HANDLERS, STORE, nothing_more)
