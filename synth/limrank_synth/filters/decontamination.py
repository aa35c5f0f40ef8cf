"""Rows that hold what an evaluation asks: training on them would make its figures worthless."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from limrank_plugins.errors import InputError
from limrank_plugins.io import read_documents, read_queries
from limrank_plugins.wording import number_of
from limrank_synth.filters import FilterResult
from limrank_synth.filters.minhash import NearDuplicates, check_nearness
from limrank_synth.filters.words import NgramHasher, words
from limrank_synth.records import LabelledPassage, Rejection


class EvaluationText(NamedTuple):
    """A query or passage of an evaluation set, and what it is called in a reason."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Decontamination:
    """Keeps a row whose query and passage have nothing of an evaluation set in them.

    Both are compared with every text of the evaluation, be it a query or a passage: equal after
    normalisation, a shared run of words, a near-duplicate by the Jaccard index of word runs.

    Attributes:
        texts: of the evaluation. Meant for queries and judged passages: each word takes some 20 bytes.
        run: so many neighbouring words in common are too many (13: GPT-3's measure).
        whole: an evaluation's text of fewer words than `run`, but at least so many, may not stand in a
            row as a whole; a still shorter one may only not be equal.
        near: the least Jaccard index of a near-duplicate, in [0.5, 1].
        near_run: words of a run for that index.
        name: of its rejections.
    """

    texts: tuple[EvaluationText, ...]
    run: int = 13
    whole: int = 8
    near: float = 0.8
    near_run: int = 3
    name: str = "decontamination"

    def __post_init__(self) -> None:
        check_nearness(self.near, self.near_run)
        if not 1 <= self.whole <= self.run:
            raise InputError(
                f"whole must be from 1 to run ({self.run!r}) words, but is {self.whole!r}: a text is either "
                f"long enough for a run or compared as a whole"
            )

    def __call__(self, rows: Sequence[LabelledPassage]) -> FilterResult:
        """Sift the rows.

        Raises:
            MissingExtra: datasketch is not installed.
        """
        if not self.texts:
            return FilterResult(list(rows), [])
        index = _Index(self)
        of_queries: dict[tuple[str, str], str | None] = {}
        kept, rejected = list[LabelledPassage](), list[Rejection]()
        for row in rows:
            key = row.query_id, row.query
            if key not in of_queries:
                of_queries[key] = index.problem("query", row.query)
            reason = of_queries[key] or index.problem("passage", row.passage)
            if reason is None:
                kept.append(row)
            else:
                rejected.append(Rejection(self.name, row.id, reason, row.passage))
        return FilterResult(kept, rejected)


def read_evaluation(paths: Sequence[Path]) -> tuple[EvaluationText, ...]:
    """The texts of files: `.tsv` (id, tab, text) or `.jsonl` (`_id`, `text`, perhaps `title`), as in BEIR.

    Raises:
        InputError: a file that is not there or holds nothing, or a line that is not as it should be.
    """
    texts: list[EvaluationText] = []
    for path in paths:
        before = len(texts)
        if path.name.removesuffix(".gz").endswith(".tsv"):
            texts += [EvaluationText(f"{path.name}: {entry.id}", entry.text) for entry in read_queries(path)]
        else:
            texts += [
                EvaluationText(f"{path.name}: {entry.id}", entry.passage) for entry in read_documents(path)
            ]
        if len(texts) == before:
            raise InputError(f"{path} holds no texts of an evaluation")
    return tuple(texts)


class _Index:
    """The evaluation's texts, to be asked for what they share with another one."""

    def __init__(self, limits: Decontamination) -> None:
        self._limits = limits
        self._exact: dict[str, int] = {}
        self._near = NearDuplicates(limits.near, limits.near_run)
        by_size: dict[int, list[tuple[int, list[str]]]] = {}
        for number, entry in enumerate(limits.texts):
            tokens = words(entry.text)
            if not tokens:
                continue
            self._exact.setdefault(" ".join(tokens), number)
            self._near.add(number, tokens)
            size = min(limits.run, len(tokens))
            if size >= limits.whole:
                by_size.setdefault(size, []).append((number, tokens))
        self._runs = [_Runs(size, texts) for size, texts in sorted(by_size.items(), reverse=True)]

    def problem(self, what: str, text: str) -> str | None:
        """What of the evaluation a text holds, or None."""
        tokens = words(text)
        if not tokens:
            return None
        same = self._exact.get(" ".join(tokens))
        if same is not None:
            return f"its {what} is one of the evaluation: {self._name(same)}"
        for runs in self._runs:
            owner = runs.find(tokens)
            if owner is not None:
                shared = number_of(runs.size, "word")
                return f"its {what} shares {shared} with the evaluation: {self._name(owner)}"
        nearly = self._near.find(tokens)
        if nearly is not None:
            return f"its {what} is nearly one of the evaluation: {self._name(nearly)}"
        return None

    def _name(self, number: int) -> str:
        return repr(self._limits.texts[number].name)


class _Runs:
    """All runs of one length in some texts, as sorted hashes, and whose they are."""

    def __init__(self, size: int, texts: Sequence[tuple[int, list[str]]]) -> None:
        self.size = size
        self._hashed = NgramHasher(size)
        parts = [self._hashed(tokens) for _, tokens in texts]
        hashes = np.concatenate(parts)
        lengths = [len(part) for part in parts]
        owners = np.repeat(np.array([number for number, _ in texts], dtype=np.int32), lengths)
        order = np.argsort(hashes, kind="stable")
        self._hashes: NDArray[np.uint64] = hashes[order]
        self._owners = owners[order]

    def find(self, tokens: Sequence[str]) -> int | None:
        """Whose run is the first that these words have in common with the texts, or None."""
        hashes = self._hashed(tokens)
        places = np.searchsorted(self._hashes, hashes)
        inside = places < len(self._hashes)
        hits = np.flatnonzero(inside & (self._hashes[np.where(inside, places, 0)] == hashes))
        return int(self._owners[places[hits[0]]]) if len(hits) else None
