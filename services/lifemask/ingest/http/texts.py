"""Texts that people choose: kept as they are, but for characters that no surface can show."""

from http import HTTPStatus

from lifemask.contracts import RunRequest
from lifemask.ingest.http.problems import Problem


def plain(wish: RunRequest) -> RunRequest:
    """The request unchanged. Answers 422 when a text holds control characters (line breaks are fine)."""
    texts = {"name": wish.name, "description": wish.description}
    texts |= {f"metadata.{at}": f"{key}{value}" for at, (key, value) in enumerate(wish.metadata.items())}
    if wrong := sorted(name for name, text in texts.items() if any(_is_control(letter) for letter in text)):
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "invalid_request",
            f"These texts hold control characters: {', '.join(wrong)}.",
            "Remove them and send the request again.",
            errors=[{"field": name, "problem": "control characters"} for name in wrong],
        )
    return wish


def _is_control(letter: str) -> bool:
    return (letter < " " and letter not in "\t\n\r") or letter == "\x7f"
