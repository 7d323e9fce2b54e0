"""What the notifier needs of the outside; all of it is tried at the start and by `lifemask doctor`."""

from collections.abc import Sequence
from typing import Final

from lifemask.doctor.needs import Needs
from lifemask.doctor.objects import Grant
from lifemask.doctor.outside import mail_probe
from lifemask.notifier.handlers import HANDLERS
from lifemask.notifier.settings import NotifierSettings
from lifemask.objects.keys import every_run, every_user
from lifemask.runtime.checkup import Probe

STORE: Final = Grant.of("GetObject", every_user("contact.json"), every_run("request.json"))


def more(settings: NotifierSettings) -> Sequence[Probe]:
    server = settings.server
    login = (server.username, server.password or "") if server.username else None
    return (mail_probe(server.host, server.port, tls=server.tls, starttls=server.starttls, login=login),)


NEEDS: Final = Needs("notifier", NotifierSettings, HANDLERS, STORE, more)
