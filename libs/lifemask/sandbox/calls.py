"""How often each operation was called, and what became of it."""

from collections import Counter

from lifemask.sandbox.store import Store


class Calls:
    """Counts by operation and outcome: answered_201, refused_503, dropped_before, dropped_after."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._counts = {name: Counter(counts) for name, counts in store.load("calls.json", {}).items()}

    def count(self, operation: str, outcome: str) -> None:
        self._counts.setdefault(operation, Counter())[outcome] += 1
        self._store.save("calls.json", self._counts)

    def totals(self) -> dict[str, dict[str, int]]:
        return {name: dict(counts) for name, counts in sorted(self._counts.items())}
