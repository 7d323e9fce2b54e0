"""What the gateway says of the archive's fetch: counted when it was the sealed one, the run's end when it was not."""

from collections.abc import Mapping, Sequence
from typing import Final

from lifemask.bus.outcomes import Keep, Outcome
from lifemask.contracts import ArchiveFetched, ArchiveRefusal, Failure, FailureCode
from lifemask.trainer.domain.attempt import Fetched, State
from lifemask.trainer.domain.planning import find_attempt
from lifemask.trainer.handlers.messages import failed, watch_again
from lifemask.trainer.ports import Attempts

_BROKEN: Final[Mapping[ArchiveRefusal, str]] = {
    ArchiveRefusal.MISSING: "archive: missing when it was fetched",
    ArchiveRefusal.OTHER_SIZE: "archive: of another size when it was fetched",
    ArchiveRefusal.OTHER_BYTES: "archive: differs when it was fetched",
}
"""The link of the chain that does not hold."""


async def hear_fetch(event: ArchiveFetched, *, attempts: Attempts) -> Sequence[Outcome]:
    """An archive that was withheld ends the run, whatever the provider makes of it: the watcher stops its training.

    Whoever has the address may fetch the sealed archive; the provider cannot be told from others.
    """
    attempt = find_attempt(await attempts.of_run(event.user_id, event.run_id), event.attempt)
    if attempt is not None and attempt.state is State.ABANDONED and not attempt.trainings:
        return [watch_again(event.user_id, event.run_id)]  # its training was started after all
    if attempt is None or attempt.is_over or attempt.is_watched:
        return []
    if event.refused is None:
        return [Keep(Fetched(attempt.id))]
    broken = Failure.of(FailureCode.CUSTODY_BROKEN, link=_BROKEN[event.refused])
    return [failed(event.user_id, event.run_id, broken)]
