"""Texts as the filters compare them: words as a first stage finds them (`folding`), and runs of words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from limrank_plugins.retrievers.folding import folded_words

_FACTOR = 0x9E3779B97F4A7C15  # odd, so that multiplying by it loses nothing modulo 2**64


def words(text: str) -> list[str]:
    """The words of a text: letters with their marks, and digits; one case and one form of each."""
    return folded_words(text)


def normalised(text: str) -> str:
    """The text as its words alone: what is equal for two texts that differ in nothing else."""
    return " ".join(words(text))


def runs(tokens: Sequence[str], size: int) -> set[str]:
    """All runs of so many neighbouring words; a shorter text is one run, an empty one has none."""
    if not tokens:
        return set()
    return {" ".join(tokens[i : i + size]) for i in range(max(1, len(tokens) - size + 1))}


class NgramHasher:
    """Hashes of runs of words, 64 bits each, quickly: each word is hashed once.

    Args:
        size: words of a run.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._known: dict[str, int] = {}
        powers = [pow(_FACTOR, i, 1 << 64) for i in range(size)]
        self._powers = np.array(powers, dtype=np.uint64)

    def __call__(self, tokens: Sequence[str]) -> NDArray[np.uint64]:
        """One hash for each run, in the text's order; none where the text is shorter than a run."""
        if len(tokens) < self._size:
            return np.empty(0, dtype=np.uint64)
        numbers = np.fromiter(self._numbers(tokens), dtype=np.uint64, count=len(tokens))
        windows = np.lib.stride_tricks.sliding_window_view(numbers, self._size)
        # Sums and products of unsigned integers wrap around, which is what is wanted.
        hashes: NDArray[np.uint64] = (windows * self._powers).sum(axis=1, dtype=np.uint64)
        return hashes

    def _numbers(self, tokens: Sequence[str]) -> Iterable[int]:
        known = self._known
        for word in tokens:
            number = known.get(word)
            if number is None:
                digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
                number = known[word] = int.from_bytes(digest, "big")
            yield number
