"""What the publisher needs of the outside; all of it is tried at the start and by `lifemask doctor`."""

from collections.abc import Sequence
from typing import Final

from lifemask.doctor.needs import Needs
from lifemask.doctor.objects import Grant
from lifemask.doctor.outside import hub_probe
from lifemask.objects.keys import QUARANTINE, every_run, every_user
from lifemask.publisher.handlers import HANDLERS
from lifemask.publisher.settings import PublisherSettings
from lifemask.runtime.checkup import Probe

STORE: Final = (
    *Grant.of("GetObject", every_run("weights/*"), every_run("request.json"), every_run("custody/*")),
    *Grant.of("GetObject PutObject DeleteObject AbortMultipartUpload", every_user("models/*")),
    *Grant.of(
        "PutObject",
        every_run("custody/6-publication-*"),
        every_run("custody/refusal-publish-*"),
        every_run("custody/revocation-model-*"),
        f"{QUARANTINE}*",
    ),
)


def more(settings: PublisherSettings) -> Sequence[Probe]:
    if not settings.hub_publish:
        return ()
    return (hub_probe(settings.hf_token.get_secret_value(), settings.hf_endpoint, settings.hf_namespace),)


NEEDS: Final = Needs("publisher", PublisherSettings, HANDLERS, STORE, more)
