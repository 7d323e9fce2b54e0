"""What the packager needs of the outside; all of it is tried at the start and by `lifemask doctor`."""

from typing import Final

from lifemask.doctor.needs import Needs, nothing_more
from lifemask.doctor.objects import Grant
from lifemask.objects.keys import QUARANTINE, every_run
from lifemask.packager.handlers import HANDLERS
from lifemask.packager.settings import PackagerSettings

STORE: Final = (
    *Grant.of("GetObject", every_run("clean/*"), every_run("custody/*")),
    *Grant.of("GetObject PutObject AbortMultipartUpload", every_run("archive/*")),
    *Grant.of("PutObject", every_run("custody/3-dataset-*"), every_run("custody/refusal-package-*"), f"{QUARANTINE}*"),
)

NEEDS: Final = Needs("packager", PackagerSettings, HANDLERS, STORE, nothing_more)
