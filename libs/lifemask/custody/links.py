"""What is left of a statement once it has been verified."""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar, cast

from lifemask.custody.steps import AnyStep, F, M, Signed, Step

F_co = TypeVar("F_co", bound=Signed, covariant=True)
M_co = TypeVar("M_co", bound=Signed, covariant=True)


@dataclass(frozen=True, slots=True)
class Link(Generic[F_co, M_co]):
    """A verified statement. `subject` is the SHA-256 of the step's file, or of its manifest when it has no file.

    `at` is what its signer says, `witnessed_at` when the next holder of a key saw it; None: nobody has yet.
    """

    step: AnyStep
    digest: str
    fields: F_co
    manifest: M_co
    subject: str
    at: datetime
    keyid: str
    witnessed_at: datetime | None
    previous: "Link[Signed, Signed] | None"

    def back(self, step: Step[F, M]) -> "Link[F, M]":
        """Returns this link or the one before it that is of `step`. Raises LookupError for a step that comes later."""
        link: Link[Signed, Signed] | None = self
        while link is not None:
            if link.step is step:
                return cast("Link[F, M]", link)
            link = link.previous
        raise LookupError(f"the chain ends before {step.name}")
