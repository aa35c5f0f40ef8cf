"""Near-duplicate texts: MinHash and LSH find who may be one, the exact Jaccard index says who is."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Sequence
from typing import Any

from limrank_plugins.checks import whole_number
from limrank_plugins.errors import InputError, require
from limrank_synth.filters.words import runs

_BANDS, _ROWS = 16, 4
# A pair is looked at with probability 1 - (1 - J^4)^16: 0.9998 at J = 0.8, 0.90 at 0.6, 0.03 at 0.2.
_SEED = 1


class NearDuplicates:
    """Texts by their words, asked for those that are nearly the same as another one.

    Two texts are compared by the Jaccard index of their sets of runs of words. What LSH proposes is
    checked against the sets themselves, so a text is never taken for another's copy by chance; a pair
    at 0.8 is overlooked in one of 5,000 cases.

    Args:
        threshold: the least Jaccard index of a near-duplicate, in [0.5, 1].
        run: words of a run.

    Raises:
        InputError: a threshold or run that cannot be used.
        MissingExtra: datasketch is not installed.
    """

    def __init__(self, threshold: float, run: int) -> None:
        check_nearness(threshold, run)
        self._sketch = require("datasketch", "synth", "the search for near-duplicates")
        self._threshold, self._run = threshold, run
        self._index: Any = self._sketch.MinHashLSH(num_perm=_BANDS * _ROWS, params=(_BANDS, _ROWS))
        # Hashes of the runs, 4 bytes each: sets of strings would take fifty times as much.
        self._held: dict[int, array[int]] = {}

    def find(self, tokens: Sequence[str]) -> int | None:
        """The number of the earliest text that was added and is nearly this one, or None."""
        runs_of = self._hashes(tokens)
        if not runs_of:
            return None
        for number in sorted(self._index.query(self._signed(runs_of))):
            if _jaccard(runs_of, set(self._held[number])) >= self._threshold:
                return int(number)
        return None

    def add(self, number: int, tokens: Sequence[str]) -> None:
        """Put in the words of a text under a number of its own."""
        runs_of = self._hashes(tokens)
        if runs_of:
            self._held[number] = array("I", runs_of)
            self._index.insert(number, self._signed(runs_of))

    def _hashes(self, tokens: Sequence[str]) -> set[int]:
        return {zlib.crc32(run.encode("utf-8", "surrogatepass")) for run in runs(tokens, self._run)}

    def _signed(self, runs_of: set[int]) -> Any:
        sketch = self._sketch.MinHash(num_perm=_BANDS * _ROWS, seed=_SEED, hashfunc=int)
        sketch.update_batch(runs_of)
        return sketch


def check_nearness(threshold: float, run: int) -> None:
    """Raise an `InputError` for limits that `NearDuplicates` cannot use."""
    if not 0.5 <= threshold <= 1:
        raise InputError(
            f"the threshold of near-duplicates must be a Jaccard index from 0.5 to 1, but is {threshold!r}"
        )
    whole_number("run", run, least=1)


def _jaccard(first: set[int], second: set[int]) -> float:
    return len(first & second) / len(first | second)
