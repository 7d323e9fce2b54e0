"""From settings to the running notifier."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from lifemask.bus.service import Service, open_bus
from lifemask.contracts import Stage
from lifemask.notifier.adapters.people import StoredPeople
from lifemask.notifier.adapters.postgres import PostgresNotifications, PostgresReports, write_row
from lifemask.notifier.adapters.reach import Bounds, Reach
from lifemask.notifier.adapters.smtp import SmtpMail
from lifemask.notifier.adapters.webhook import open_webhooks
from lifemask.notifier.handlers import HANDLERS
from lifemask.notifier.needs import NEEDS
from lifemask.notifier.settings import NotifierSettings
from lifemask.objects import open_objects


@asynccontextmanager
async def notifier(settings: NotifierSettings) -> AsyncIterator[Service]:
    """The service, ready to run; everything it opened is closed at the end."""
    reach = Reach(_bounds(settings), time.monotonic)
    async with (
        open_objects(settings.objects, settings.store_limits) as objects,
        open_webhooks(settings.targets, _now, patience=settings.webhook_timeout, reach=reach) as webhooks,
        open_bus("notifier", Stage.NOTIFY, settings) as bus,
    ):
        yield bus.serve(
            HANDLERS,
            checkup=NEEDS.checkup(settings),
            notifications=PostgresNotifications(bus.rows),
            reports=PostgresReports(bus.rows),
            operator=settings.operator,
            people=StoredPeople(objects),
            mail=SmtpMail(settings.server, settings.sender, _now, patience=settings.mail_timeout, reach=reach),
            webhooks=webhooks,
            schedule=settings.schedule,
            writer=write_row,
        )


def _bounds(settings: NotifierSettings) -> Bounds:
    """One target takes at most half of the lanes."""
    return Bounds(
        at_once=max(1, settings.lanes // 2),
        failures=settings.circuit_after,
        first=timedelta(seconds=settings.pause),
        longest=timedelta(seconds=settings.pause_max),
    )


def _now() -> datetime:
    return datetime.now(UTC)
