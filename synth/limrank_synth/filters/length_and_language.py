"""Queries and passages of a length or a language that the guidelines do not want."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from limrank_plugins.errors import InputError, require
from limrank_plugins.wording import number_of
from limrank_synth.filters import FilterResult, filter_rows
from limrank_synth.records import KINDS, LabelledPassage

_SURE = 10
"""Words from which on a text's language can be told."""


@dataclass(frozen=True)
class LengthAndLanguage:
    """Keeps a row whose query and passage are as long as they should be, in a language that is wanted.

    Words are counted between white space, as the writer was told to. The language is py3langid's first
    choice among 139 (a Bayesian classifier of byte n-grams in pure Python and numpy, BSD licence): it is
    asked about texts of ten words or more, and a choice it gives less than `sure` is no choice.

    Attributes:
        words: least and most words of a `"daily-life"` and an `"expert"` query and of a `"passage"`.
        tolerance: what a text may lack of the least or have above the most, as a share of it.
        languages: ISO 639-1 codes of those wanted; empty: every language is.
        sure: the probability from which on a language counts as told.
        name: of its rejections.
    """

    words: Mapping[str, tuple[int, int]]
    tolerance: float = 0.25
    languages: tuple[str, ...] = ("en",)
    sure: float = 0.9
    name: str = "length_and_language"

    def __post_init__(self) -> None:
        missing = [name for name in (*KINDS, "passage") if name not in self.words]
        if missing:
            raise InputError(
                f"words must name {', '.join((*KINDS, 'passage'))}, but {missing[0]!r} is missing"
            )
        if not 0 <= self.tolerance < 1:
            raise InputError(f"tolerance must be a share from 0 to below 1, but is {self.tolerance!r}")
        if not 0 < self.sure <= 1:
            raise InputError(f"sure must be a probability, but is {self.sure!r}")
        unknown = [code for code in self.languages if code not in _known()] if self.languages else []
        if unknown:
            raise InputError(
                f"py3langid knows no language {unknown[0]!r}; there are: {', '.join(sorted(_known()))}"
            )

    def __call__(self, rows: Sequence[LabelledPassage]) -> FilterResult:
        """Sift the rows.

        Raises:
            MissingExtra: py3langid is not installed.
            InputError: a row whose kind is none of `records.KINDS`.
        """
        return filter_rows(self.name, rows, self._problem)

    def _problem(self, row: LabelledPassage) -> str | None:
        if row.kind not in KINDS:
            raise InputError(f"row {row.id!r} is of no known kind but {row.kind!r}")
        for what, kind, text in (("query", row.kind, row.query), ("passage", "passage", row.passage)):
            least, most = self.words[kind]
            count = len(text.split())
            if count < least * (1 - self.tolerance):
                return f"its {what} has {number_of(count, 'word')}, fewer than {least}"
            if count > most * (1 + self.tolerance):
                return f"its {what} has {number_of(count, 'word')}, more than {most}"
            if self.languages and count >= _SURE:
                language, probability = _identifier().classify(text)
                if language not in self.languages and probability >= self.sure:
                    return f"its {what} is in language {language!r}"
        return None


@cache
def _identifier() -> Any:
    library = require("py3langid.langid", "synth", "the language filter")
    return library.LanguageIdentifier.from_model_file(library.MODEL_FILE, norm_probs=True)


def _known() -> frozenset[str]:
    return frozenset(map(str, _identifier().labels))
