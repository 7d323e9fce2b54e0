"""The table of attacks in docs/custody.md. `python -m tests.attacks.table` writes it anew."""

from pathlib import Path
from typing import Final

from tests.attacks.attack import Attack
from tests.attacks.book import BOOK

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "custody.md"
BEGIN: Final = "<!-- attacks: written by python -m tests.attacks.table -->\n"
END: Final = "<!-- end of attacks -->\n"

DEFENCES: Final = {
    "photo as announced": "the original must open the commitment in its signed `PhotoReceived`",
    "photo as sealed": "the original must have the digest that the upload statement seals",
    "clean photo": "each clean photo is hashed while it is packed, against the validation statement",
    "archive as packed": "the archive is read back, and each member compared with the plan",
    "archive before paying": "the archive is hashed again in the same call that pays",
    "chain before paying": "every statement down to the upload is verified in the same call that pays",
    "statement written once": "a statement is written once: another one under its name ends the run",
    "owner of the run": "`owner.json` must name this user and run",
    "gateway": "no byte goes before the whole archive was read and has the sealed digest; the run is stopped",
    "statement signature": "the keyring says who may sign which step, and when",
    "event signature": "no valid signature by who may emit it: an entry in `security`, and nothing else",
    "stored message": "the sender's signature is checked again when the message has its turn",
    "own prefix only": "an app's objects are looked for under the run's own user alone",
    "own users only": "an app speaks for its own users alone",
    "own runs only": "a run is looked up under the caller's user; anything else is 404",
    "one file per target": "a target takes its one announced file once, into `incoming/`, never over an original",
    "attempt as sealed": "what is asked of the provider is planned anew from what was proven; a row that differs "
    "ends the run",
    "training of this archive": "the archive's token in the provider's own record must be this run's",
    "names that come back": "captions that bear another run's names are refused",
    "weights before publishing": "the weights are hashed while they are copied, against the weights statement",
    "read back": "the weights' bytes are read back from store and hub before anything is announced",
    "row as written": "the row carries a code that only its service can make; without it the photo counts as not "
    "judged, and is judged anew from the sealed original",
}
"""What each gate does, by the name under which the control arm takes it away."""


def written() -> str:
    """The table with what is around it."""
    head = (
        "Each attack is played on a running system of real processes (`make test-attacks`): nothing is billed that "
        "could be stopped before, nothing is published, the run's owner is told, and a run beside it goes through. "
        "Then it is played again with its gates taken away, and must succeed: so it is these gates that hold. "
        "Tests: `tests/attacks/test_attacks.py`, by the attack's name.\n\n"
        "| attack | what stops it |\n|---|---|\n"
    )
    tail = (
        "\nNot caught: whoever can write to the tables of ingest and of image-validator and to the bucket can exchange "
        "a photo before `submit` and take away the memory of it. Whoever can write to ingest's table alone can change "
        "what a draft asks for (steps, trigger word) before it is sealed. Whoever can write to a service's tables can "
        "end its runs, have a message handled again, and have a reminder fall due at another time.\n"
    )
    return BEGIN + head + "".join(f"| {one.name} | {_defence(one)} |\n" for one in BOOK) + tail + END


def _defence(one: Attack) -> str:
    return one.no_arm or "; ".join(DEFENCES[gate] for gate in one.gates)


def main() -> None:
    """Writes the table into the document, at its place, or at its end when it has none yet."""
    text = DOCUMENT.read_text()
    if BEGIN not in text:
        text = f"{text.rstrip()}\n\n## Attacks\n\n{BEGIN}{END}"
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(before + written() + after)


if __name__ == "__main__":
    main()
