"""Checks what both distributions would ship: nothing of the tests, above all nothing that takes a gate away.

Run it with `python -m tools.shipped`.
"""

import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

ROOT: Final = Path(__file__).parents[1]
DISTRIBUTIONS: Final = (ROOT, ROOT / "contracts")
WEAKENED: Final = ROOT / "tests" / "attacks" / "weakened"


def shipped(root: Path) -> Iterator[str]:
    """The path of each file in wheel and source distribution of the project in `root`, as it is packed."""
    for builder in (WheelBuilder(str(root)), SdistBuilder(str(root))):
        for file in builder.recurse_included_files():
            yield str(file.distribution_path)


def forbidden(paths: Iterator[str]) -> list[str]:
    """Those that must not be shipped."""
    names = {path.name for path in WEAKENED.glob("*.py")}
    found = (PurePosixPath(path) for path in paths)
    return sorted({str(path) for path in found if "tests" in path.parts or path.name in names})


def main() -> int:
    """Exit code 1 when something would be shipped that must not."""
    wrong = [path for root in DISTRIBUTIONS for path in forbidden(shipped(root))]
    for path in wrong:
        print(f"must not be shipped: {path}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
