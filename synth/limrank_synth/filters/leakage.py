"""Passages that repeat their query, or say what they were written for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from limrank_plugins.backends.remote.markers import marker_pattern
from limrank_plugins.errors import InputError
from limrank_plugins.wording import number_of
from limrank_synth.filters import FilterResult, filter_rows
from limrank_synth.filters.words import normalised, runs, words
from limrank_synth.records import LabelledPassage

# What documents do not say of themselves, in the language of the templates. A passage may speak of
# queries (of a database) and of relevance (in law): only the two together, or the label, are talk.
_TALK = tuple(
    (what, re.compile(pattern, re.IGNORECASE))
    for what, pattern in (
        ("a tag", r"<\s*/?\s*(?:think|answer|score|query|passage|seed|persona|description|reasoning)\s*>"),
        (
            "relevance to a query",
            r"\b(?:ir)?relevan(?:t|ce)\s+(?:to|for)\s+(?:the|this|your|our|a|any)\s+"
            r"(?:(?:user|search|given|original)(?:['’]s)?\s+)?(?:query|question|searcher|asker)\b",
        ),
        (
            "the query",
            r"\b(?:the|this|your)\s+(?:search|user|given|original|searcher|asker)(?:['’]s)?\s+(?:query|question)\b"
            r"|\b(?:answers?|answering|addresses|addressing)\s+the\s+(?:query|user)\b",
        ),
        (
            "itself as a passage",
            r"\bthis passage (?:is|was|does|has|will|would|should|answers|discusses|provides|explains"
            r"|contains|describes|serves|covers|addresses)\b|\bhere(?: i|['’])s (?:the|a|your) passage\b",
        ),
        (
            "the label",
            r"\b(?:verdict|label|relevance|judg(?:e)?ment)\s*[:=]\s*[\"'*]*"
            r"(?:true|false|(?:ir|not )?relevant|yes|no)\b"
            r"|\b(?:hard|in-batch)[ -]negatives?\b(?! (?:result|correlation))"
            r"|\b(?:in)?direct positives?\b|\bdistractor passage\b"
            r"|\b(?:negative|indirect):(?:[a-z]+-)?[a-z]+\b",
        ),
        ("a model's marker", marker_pattern().pattern),
        ("a language model", r"\bas an AI\b|\bas a (?:large )?language model\b"),
    )
)
_MARKER = re.compile(f"{_TALK[0][1].pattern}|{marker_pattern().pattern}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Leakage:
    """Keeps a row whose passage neither repeats its query nor talks about its purpose; without markers.

    A model that sees the query's own words in every relevant passage learns to count words.

    Attributes:
        run: the passage may not share so many neighbouring words with its query.
        whole: the least number of words of a query that may not stand in the passage as a whole.
        name: of its rejections.
    """

    run: int = 8
    whole: int = 4
    name: str = "leakage"

    def __post_init__(self) -> None:
        if self.run < 2 or self.whole < 1:
            raise InputError(
                f"run must be >= 2 and whole >= 1 words, but are {self.run!r} and {self.whole!r}"
            )

    def __call__(self, rows: Sequence[LabelledPassage]) -> FilterResult:
        """Sift the rows."""
        return filter_rows(self.name, rows, self._problem)

    def _problem(self, row: LabelledPassage) -> str | None:
        if (marker := _MARKER.search(row.query)) is not None:
            return f"the query holds a marker or tag: {marker[0]!r}"
        for what, pattern in _TALK:
            match = pattern.search(row.passage)
            if match is not None:
                return f"the passage speaks of {what}: {' '.join(match[0].split())!r}"
        query, passage = words(row.query), words(row.passage)
        size = min(self.run, len(query))
        if len(query) >= self.whole and size:
            # In a fixed order: the reason must be the same in every run.
            shared = runs(query, size) & runs(passage, size) if len(passage) >= size else set()
            if shared:
                first = min(shared, key=normalised(row.query).index)
                return f"the passage repeats {number_of(size, 'word')} of its query: {first!r}"
        return None
