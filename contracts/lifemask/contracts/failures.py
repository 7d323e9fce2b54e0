"""The failure catalogue: code -> category, what happened, whose move it is, the next step.

The same text reaches API, e-mail, webhook and console, because it travels in the event.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from lifemask.contracts.event import Value


class Category(StrEnum):
    """What kind of trouble it is; decides about retrying."""

    NETWORK = "network"
    AUTHENTICATION = "authentication"
    VALIDATION = "validation"
    RATE_LIMIT = "rate_limit"
    SERVICE_ERROR = "service_error"
    FILE_ERROR = "file_error"
    TIMEOUT = "timeout"
    CONFIGURATION = "configuration"
    """Ours to fix: pauses the stage and fails no user's run before its deadline."""


class Move(StrEnum):
    """Whose move it is."""

    YOU = "you"
    US = "us"
    PROVIDER = "provider"
    NOBODY = "nobody"


class FailureCode(StrEnum):
    """Stable codes, documented for apps."""

    TOO_FEW_USABLE = "too_few_usable"
    UPLOAD_REFUSED = "upload_refused"
    OBJECT_MISSING = "object_missing"
    CUSTODY_BROKEN = "custody_broken"
    ARCHIVE_INCOMPLETE = "archive_incomplete"
    """Not said any more, and kept for its readers: an archive that is not as it was written is `custody_broken`."""
    ARCHIVE_TOO_SMALL = "archive_too_small"
    TRAINING_FAILED = "training_failed"
    TRAINING_REFUSED = "training_refused"
    TRAINING_ABORTED = "training_aborted"
    TRAINING_UNKNOWN = "training_unknown"
    TRAINING_UNSETTLED = "training_unsettled"
    WEIGHTS_UNAVAILABLE = "weights_unavailable"
    WEIGHTS_UNSAFE = "weights_unsafe"
    PUBLICATION_REFUSED = "publication_refused"
    PUBLICATION_DIFFERS = "publication_differs"
    MODEL_REVOKED = "model_revoked"
    DEADLINE = "deadline"
    DISCARDED = "discarded"
    STORE_UNAVAILABLE = "store_unavailable"
    STORE_DENIED = "store_denied"
    STORE_FULL = "store_full"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    PROVIDER_BUSY = "provider_busy"
    PROVIDER_DENIED = "provider_denied"
    HUB_UNAVAILABLE = "hub_unavailable"
    HUB_BUSY = "hub_busy"
    HUB_DENIED = "hub_denied"
    MAIL_UNAVAILABLE = "mail_unavailable"
    WEBHOOK_UNAVAILABLE = "webhook_unavailable"
    DATABASE_UNAVAILABLE = "database_unavailable"
    MESSAGE_UNREADABLE = "message_unreadable"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the catalogue. `what` and `next_step` may name facts in braces."""

    category: Category
    move: Move
    what: str
    next_step: str


_WAIT = "Nothing to do: we try again by ourselves."
_AGAIN = "Start this run again within 24 hours: its photos are kept until then. Later, start a new run."
_OURS = "We have been told and look into it. Start this run again within 24 hours if you do not want to wait."

CATALOGUE: Final[dict[FailureCode, Entry]] = {
    FailureCode.TOO_FEW_USABLE: Entry(
        Category.VALIDATION,
        Move.YOU,
        "{usable} of {received} photos can be used, at least {minimum} are needed.",
        "Add {needed} more good photos and submit again: this run, started again within 24 hours, keeps its photos.",
    ),
    FailureCode.UPLOAD_REFUSED: Entry(
        Category.VALIDATION,
        Move.YOU,
        "The upload cannot be accepted: {reason}.",
        "Correct the upload and send it as a new run.",
    ),
    FailureCode.OBJECT_MISSING: Entry(
        Category.FILE_ERROR, Move.US, "A file of this run is no longer where it was stored.", _OURS
    ),
    FailureCode.CUSTODY_BROKEN: Entry(
        Category.VALIDATION,
        Move.US,
        "We could not prove that this run uses only your own photos, so we stopped it ({link}).",
        "We have been told and examine it. Nothing was published. Start a new run with new uploads.",
    ),
    FailureCode.ARCHIVE_INCOMPLETE: Entry(
        Category.FILE_ERROR, Move.US, "The training archive did not pass its check ({problem}).", _AGAIN
    ),
    FailureCode.ARCHIVE_TOO_SMALL: Entry(
        Category.FILE_ERROR,
        Move.YOU,
        "The training archive is too small to learn from ({problem}).",
        "Start a new run with more and larger photos.",
    ),
    FailureCode.TRAINING_FAILED: Entry(
        Category.SERVICE_ERROR, Move.PROVIDER, "The training failed at the training provider.", _AGAIN
    ),
    FailureCode.TRAINING_REFUSED: Entry(
        Category.VALIDATION, Move.US, "The training provider refused the training as invalid.", _OURS
    ),
    FailureCode.TRAINING_ABORTED: Entry(
        Category.SERVICE_ERROR, Move.PROVIDER, "The training provider ended the training before it finished.", _AGAIN
    ),
    FailureCode.TRAINING_UNKNOWN: Entry(
        Category.NETWORK,
        Move.US,
        "The training provider did not confirm whether the training started.",
        "Nothing to do: we look for it and do not pay twice.",
    ),
    FailureCode.TRAINING_UNSETTLED: Entry(
        Category.NETWORK,
        Move.US,
        "We could not find out by ourselves whether the training started at the provider.",
        "We have been told and settle it with the provider. If this run ends without a model, start it again within "
        "24 hours: its photos are kept until then.",
    ),
    FailureCode.WEIGHTS_UNAVAILABLE: Entry(
        Category.FILE_ERROR, Move.PROVIDER, "The trained weights could not be fetched from the provider.", _AGAIN
    ),
    FailureCode.WEIGHTS_UNSAFE: Entry(
        Category.FILE_ERROR, Move.PROVIDER, "The trained weights did not pass their check ({problem}).", _AGAIN
    ),
    FailureCode.PUBLICATION_REFUSED: Entry(
        Category.VALIDATION, Move.US, "The model hub refused the publication as invalid.", _OURS
    ),
    FailureCode.PUBLICATION_DIFFERS: Entry(
        Category.FILE_ERROR, Move.US, "What was published differs from what was trained, so it was withdrawn.", _OURS
    ),
    FailureCode.MODEL_REVOKED: Entry(
        Category.VALIDATION,
        Move.US,
        "We withdrew the model of this run before it was published.",
        "Nothing of it is published. The app's operator knows the reason; start a new run when it allows one.",
    ),
    FailureCode.DEADLINE: Entry(
        Category.TIMEOUT, Move.US, "The step '{stage}' did not finish in time, so the run was ended.", _AGAIN
    ),
    FailureCode.DISCARDED: Entry(
        Category.SERVICE_ERROR, Move.US, "An operator ended this run after a fault that is ours.", _AGAIN
    ),
    FailureCode.STORE_UNAVAILABLE: Entry(Category.NETWORK, Move.US, "Our photo store does not answer.", _WAIT),
    FailureCode.STORE_DENIED: Entry(
        Category.CONFIGURATION, Move.US, "Our photo store refuses us a permission that we need.", _WAIT
    ),
    FailureCode.STORE_FULL: Entry(Category.CONFIGURATION, Move.US, "Our photo store has no room left.", _WAIT),
    FailureCode.PROVIDER_UNAVAILABLE: Entry(
        Category.SERVICE_ERROR, Move.PROVIDER, "The training provider does not answer.", _WAIT
    ),
    FailureCode.PROVIDER_BUSY: Entry(
        Category.RATE_LIMIT, Move.PROVIDER, "The training provider is busy and asks us to wait.", _WAIT
    ),
    FailureCode.PROVIDER_DENIED: Entry(
        Category.CONFIGURATION, Move.US, "The training provider refuses our access.", _WAIT
    ),
    FailureCode.HUB_UNAVAILABLE: Entry(Category.SERVICE_ERROR, Move.PROVIDER, "The model hub does not answer.", _WAIT),
    FailureCode.HUB_BUSY: Entry(
        Category.RATE_LIMIT, Move.PROVIDER, "The model hub is busy and asks us to wait.", _WAIT
    ),
    FailureCode.HUB_DENIED: Entry(Category.CONFIGURATION, Move.US, "The model hub refuses our access.", _WAIT),
    FailureCode.MAIL_UNAVAILABLE: Entry(Category.NETWORK, Move.US, "The mail server does not take our mail.", _WAIT),
    FailureCode.WEBHOOK_UNAVAILABLE: Entry(
        Category.NETWORK, Move.YOU, "The app's webhook does not take our call.", "Check the webhook; we try for days."
    ),
    FailureCode.DATABASE_UNAVAILABLE: Entry(Category.NETWORK, Move.US, "Our database does not answer.", _WAIT),
    FailureCode.MESSAGE_UNREADABLE: Entry(
        Category.VALIDATION, Move.US, "A message of this run cannot be read.", "An operator replays or discards it."
    ),
    FailureCode.INTERNAL: Entry(
        Category.SERVICE_ERROR, Move.US, "A fault of ours stopped this step.", "An operator replays or discards it."
    ),
}

Text = Annotated[str, Field(max_length=500)]


class Failure(Value):
    """A failure as it is told to everybody: what happened, whose move it is, the next step."""

    code: str = Field(examples=["training_failed"], max_length=64)
    """A code of the catalogue; consumers must accept codes they do not know."""
    category: Category = Field(examples=["service_error"])
    """What kind of trouble it is."""
    move: Move = Field(examples=["provider"])
    """Whose move it is; `you` is the person or the app."""
    what: Text = Field(examples=["The training failed at the training provider."])
    """What happened, a sentence for people."""
    next_step: Text = Field(examples=[_AGAIN])
    """What to do now, a sentence for people."""

    @classmethod
    def of(cls, code: FailureCode, **facts: object) -> "Failure":
        """The catalogue's text with `facts` filled in. Raises KeyError when the text names a fact that is missing.

        Facts are counts, codes and stage names: never file names, addresses or texts of outside systems.
        """
        entry = CATALOGUE[code]
        return cls(
            code=code.value,
            category=entry.category,
            move=entry.move,
            what=entry.what.format_map(facts),
            next_step=entry.next_step.format_map(facts),
        )
