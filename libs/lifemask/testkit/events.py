"""Valid events for tests: an example of each, with the fields a test cares about replaced."""

from typing import TypeVar

from lifemask.contracts import Event, new_id

E = TypeVar("E", bound=Event)


def a_run(app: str = "acme", user: str | None = None) -> dict[str, str]:
    """Fresh ids of a run, to be splatted into events: `user_id` and `run_id`."""
    return {"user_id": f"{app}.{user or 'u' + new_id()[-8:]}", "run_id": new_id()}


def an_event(kind: type[E], **changes: object) -> E:
    """A valid event of `kind` with `changes` applied and checked."""
    return kind.model_validate({**kind.example().model_dump(), **changes})
