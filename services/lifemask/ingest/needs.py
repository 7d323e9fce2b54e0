"""What ingest needs of the outside; all of it is tried at the start and by `lifemask doctor`."""

from collections.abc import Sequence
from typing import Final

from lifemask.doctor.files import apps_probe, url_key_probe
from lifemask.doctor.needs import Needs
from lifemask.doctor.objects import Grant
from lifemask.doctor.outside import address_probe, provider_probe
from lifemask.ingest.handlers import HANDLERS
from lifemask.ingest.settings import IngestSettings
from lifemask.objects.keys import DISPOSALS, INCOMING, QUARANTINE, every_run, every_user
from lifemask.runtime.checkup import Probe

STORE: Final = (
    *Grant.of(
        "GetObject PutObject DeleteObject AbortMultipartUpload",
        f"{INCOMING}*",
        every_run("original/*"),
        every_run("names.json"),
    ),
    *Grant.of("PutObject", every_run("request.json"), every_user("contact.json")),
    *Grant.of("GetObject", every_run("archive/*"), every_user("models/*/lora.safetensors")),
    *Grant.of("DeleteObject", every_run("clean/*"), every_run("archive/*"), every_run("weights/*")),
    *Grant.of("GetObject", every_run("custody/*")),
    *Grant.of(
        "PutObject",
        every_run("custody/owner.json"),
        every_run("custody/1-upload-*"),
        every_run("custody/disposal-*"),
        every_run("custody/refusal-request-*"),
        f"{QUARANTINE}*",
        f"{DISPOSALS}*",
    ),
)


def more(settings: IngestSettings) -> Sequence[Probe]:
    token = settings.replicate_api_token.get_secret_value()
    return (
        url_key_probe(settings),
        apps_probe(settings.apps),
        address_probe(settings.public_url),
        provider_probe(token, settings.replicate_base_url, callbacks=True),
    )


NEEDS: Final = Needs("ingest", IngestSettings, HANDLERS, STORE, more)
