"""Texts that no surface can show are refused."""

from http import HTTPStatus

from lifemask.contracts import RunRequest
from lifemask.ingest.domain.texts import unshowable
from lifemask.ingest.http.problems import Problem


def plain(wish: RunRequest) -> RunRequest:
    """The request unchanged. Answers 422 when a text holds control characters (line breaks are fine)."""
    if wrong := unshowable(wish):
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "invalid_request",
            f"These texts hold control characters: {', '.join(wrong)}.",
            "Remove them and send the request again.",
            errors=[{"field": name, "problem": "control characters"} for name in wrong],
        )
    return wish
