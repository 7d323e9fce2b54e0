"""Texts that people choose: kept as they are, but for characters that no surface can show."""

from lifemask.contracts import RunRequest


def unshowable(wish: RunRequest) -> list[str]:
    """Names of the texts that hold control characters; line breaks are fine. Labels go by their number."""
    texts = {"name": wish.name, "description": wish.description}
    texts |= {f"metadata.{at}": f"{key}{value}" for at, (key, value) in enumerate(wish.metadata.items())}
    return sorted(name for name, text in texts.items() if any(_is_control(letter) for letter in text))


def _is_control(letter: str) -> bool:
    return (letter < " " and letter not in "\t\n\r") or letter == "\x7f"
