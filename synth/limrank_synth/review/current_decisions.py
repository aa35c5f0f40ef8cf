"""What holds after all decisions, undone ones and second thoughts: the log, replayed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from limrank_synth.review.decision import Decision


class CurrentDecisions:
    """The decisions that hold, of every reviewer on every row; a reviewer's last one on a row counts.

    It depends on the entries and their order alone, so that the log is all there is to keep.

    Args:
        hashes: of the rows as they are now, by id.

    Attributes:
        stale: entries on rows that have changed or are not there any more; they count for nothing.
        lost_undos: undos of entries that do not hold (any more); they change nothing.
    """

    def __init__(self, hashes: Mapping[str, str]) -> None:
        self._hashes = hashes
        self._by_reviewer: dict[str, list[Decision]] = {}
        self._by_row: dict[str, dict[str, list[Decision]]] = {}
        self._place: dict[str, int] = {}
        self.stale: list[Decision] = []
        self.lost_undos: list[Decision] = []

    def add(self, entries: Iterable[Decision]) -> CurrentDecisions:
        """Go on with these entries, in the order of the log; one that is there already is not added."""
        for entry in entries:
            if entry.id in self._place:
                continue
            self._place[entry.id] = len(self._place)
            if self._hashes.get(entry.row) != entry.hash:
                self.stale.append(entry)
            elif entry.action == "undo":
                self._undo(entry)
            else:
                self._by_reviewer.setdefault(entry.reviewer, []).append(entry)
                self._by_row.setdefault(entry.row, {}).setdefault(entry.reviewer, []).append(entry)
        return self

    def knows(self, identifier: str) -> bool:
        """Whether an entry with this id is in the log."""
        return identifier in self._place

    @property
    def reviewers(self) -> list[str]:
        """Everybody with a decision that holds, by name."""
        return sorted(name for name, entries in self._by_reviewer.items() if entries)

    def on(self, row: str) -> dict[str, Decision]:
        """By reviewer, what was decided on a row; who decided first comes first."""
        last = [stack[-1] for stack in self._by_row.get(row, {}).values() if stack]
        return {entry.reviewer: entry for entry in sorted(last, key=lambda entry: self._place[entry.id])}

    def of(self, reviewer: str) -> dict[str, Decision]:
        """By row, what a reviewer decided."""
        return {entry.row: entry for entry in self._by_reviewer.get(reviewer, ())}

    def decided(self) -> set[str]:
        """The rows with a decision of anybody."""
        return {row for row, stacks in self._by_row.items() if any(stacks.values())}

    def last(self, reviewer: str, rows: Iterable[str]) -> Decision | None:
        """A reviewer's latest decision on one of these rows: what an undo takes back."""
        among = set(rows)
        entries = self._by_reviewer.get(reviewer, [])
        return next((entry for entry in reversed(entries) if entry.row in among), None)

    def _undo(self, undo: Decision) -> None:
        stack = self._by_row.get(undo.row, {}).get(undo.reviewer, [])
        gone = next((entry for entry in reversed(stack) if entry.id == undo.undoes), None)
        if gone is None:
            self.lost_undos.append(undo)
            return
        stack.remove(gone)
        self._by_reviewer[undo.reviewer].remove(gone)
