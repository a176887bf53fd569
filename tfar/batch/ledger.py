"""What must be known of a picture when the worker that had it is no more."""

import collections
from collections.abc import Iterable
from typing import Any

QUARANTINED = "quarantined"


class Ledger:
    """How often each picture was begun, and the rows of those that are done and not reported yet.

    It holds no more than what is under way: the run forgets what it has reported. A picture is known by its target, of
    which it is the only one.

    Args:
        attempts: how often a picture may be begun; afterwards it has killed as many workers, and is quarantined.
        quarantined: sources that are so from the start.
    """

    def __init__(self, attempts: int, quarantined: Iterable[str] = ()):
        self._attempts = attempts
        self._quarantined = set(quarantined)
        self._begun: collections.Counter[str] = collections.Counter()
        self._done: dict[str, dict[str, Any]] = {}

    def begin(self, source: str, target: str) -> dict[str, Any] | int:
        """Called before a picture is touched: the number of the attempt, or the row, where there is nothing to do."""
        if target in self._done:
            return self._done[target]
        begun = self._begun[target]
        if source in self._quarantined:
            return _row(source, target, begun, "it killed its workers in an earlier run")
        if begun >= self._attempts:
            return _row(source, target, begun, f"it killed its worker {begun} times")
        self._begun[target] += 1
        return begun + 1

    def end(self, target: str, row: dict[str, Any]):
        """Called when a picture is done, with its row."""
        self._done[target] = row

    def forget(self, targets: Iterable[str]):
        """Called when rows have been reported."""
        for target in targets:
            self._done.pop(target, None)
            self._begun.pop(target, None)


def _row(source: str, target: str, attempts: int, reason: str) -> dict[str, Any]:
    error = f"{source}: {reason}"
    return {"path": source, "target": target, "status": QUARANTINED, "attempts": attempts, "error": error}
