"""Reasoning that would teach the wrong thing: too short, too long, cut off, copied, decided too early."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from limrank_plugins.errors import InputError
from limrank_plugins.wording import number_of
from limrank_synth.filters import FilterResult, filter_rows
from limrank_synth.filters.words import runs, words
from limrank_synth.records import LabelledPassage

_SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’)\]*]*\s+|\n+")
_END = re.compile(r"[.!?…。！？][\"'”’)\]*`]*$")
_ANY_TAG = re.compile(r"<\s*(/?)\s*([a-zA-Z][a-zA-Z_]{0,20})\s*>")
_OURS = frozenset(
    {"think", "answer", "score", "query", "passage", "reasoning", "seed", "persona", "description"}
)
_FENCE = "```"
_VERDICT = re.compile(
    r"\b(?:answer|verdict|output|label|judg(?:e)?ment|conclusion|response|result)\b"
    r"(?:\s+(?:here|then|therefore|so|must|should|would|will|is|be|to))*\s*[:=]?\s*[\"'“`*]*(true|false)\b"
    r"|^\W*(true|false)\W*$",
    re.IGNORECASE,
)
# What only somebody who knows how the example was made would say. The judge's own instruction (to answer
# with 'true' or 'false') is not among it: it is part of every prompt of the training set.
_MAKING = tuple(
    (what, re.compile(pattern, re.IGNORECASE))
    for what, pattern in (
        (
            "the intended label",
            r"\b(?:intended|expected|gold|ground[- ]truth|target|assigned|given)\s+"
            r"(?:label|verdict|answer|judg(?:e)?ment|relevance)\b"
            r"|\b(?:hard|in-batch)[ -]negatives?\b(?! (?:result|correlation))|\b(?:in)?direct positives?\b"
            r"|\b(?:is|was)\s+(?:meant|intended|supposed|designed)\s+to\s+be\s+(?:ir|not )?relevant\b",
        ),
        (
            "how the passage was made",
            r"\bpassage (?:is|was|has been|seems|appears)(?: to (?:be|have been))?\s+(?:\w+ )?"
            r"(?:written|generated|made up|created|designed|fabricated|synthesi[sz]ed)\b"
            r"|\b(?:synthetic|generated|made-up) (?:passage|example|data|query)\b"
            r"|\b(?:direct|indirect|negative):[a-z-]+\b|\bfalse[_ -]claim\b",
        ),
        (
            "instructions of the generation",
            r"\b(?:the|my|your) (?:system )?(?:prompt|guidelines?) (?:says?|asks?|tells?|wants?|requires?)\b"
            r"|\bI (?:was|am|have been) (?:told|asked|instructed) to (?:write|generate|create|make|produce)\b"
            r"|\bas an AI\b|\bas a (?:large )?language model\b",
        ),
    )
)


@dataclass(frozen=True, slots=True)
class TraceRules:
    """Keeps a row whose trace reasons up to its verdict and says nothing that it cannot know.

    Attributes:
        least, most: words of a trace (Rank1's have some 20 to 500).
        last: a verdict may be stated in so many of the last sentences, and must be the label there.
        copied: the largest share of a trace's runs of words that may stand in the passage.
        run: words of such a run.
        name: of its rejections.
    """

    least: int = 20
    most: int = 1200
    last: int = 2
    copied: float = 0.5
    run: int = 5
    name: str = "trace_rules"

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most:
            raise InputError(f"least and most must be 1 <= least <= most, but are {self.least}, {self.most}")
        if self.last < 0 or self.run < 1 or not 0 <= self.copied <= 1:
            raise InputError(
                f"last must be >= 0, run >= 1 and copied a share, but are {self.last!r}, {self.run!r}, "
                f"{self.copied!r}"
            )

    def __call__(self, rows: Sequence[LabelledPassage]) -> FilterResult:
        """Sift the rows."""
        return filter_rows(self.name, rows, self._problem)

    def _problem(self, row: LabelledPassage) -> str | None:
        trace = row.trace.strip()
        count = len(trace.split())
        if count < self.least:
            return f"the trace has {number_of(count, 'word')}, fewer than {self.least}"
        if count > self.most:
            return f"the trace has {number_of(count, 'word')}, more than {self.most}"
        return (
            self._untidy(trace) or self._telling(trace) or self._early(trace, row) or self._copy(trace, row)
        )

    def _untidy(self, trace: str) -> str | None:
        open_tags: list[str] = []
        for tag in _ANY_TAG.finditer(trace):
            name = tag[2].lower()
            if name == "think":
                return f"the trace holds the tag {tag[0]!r}"
            if name in _OURS and not tag[1]:
                open_tags.append(name)
            elif name in _OURS and name in open_tags:
                open_tags.remove(name)
            elif name in _OURS:
                return f"the trace closes a tag that it did not open: {tag[0]!r}"
        if open_tags:
            return f"the trace does not close its tag {open_tags[0]!r}"
        if trace.count(_FENCE) % 2:
            return "the trace does not close its block of code"
        if not (_END.search(trace) or trace.endswith(_FENCE)):
            return f"the trace does not end with a sentence but with {trace[-20:]!r}"
        return None

    def _telling(self, trace: str) -> str | None:
        for what, pattern in _MAKING:
            match = pattern.search(trace)
            if match is not None:
                return f"the trace speaks of {what}: {' '.join(match[0].split())!r}"
        return None

    def _early(self, trace: str, row: LabelledPassage) -> str | None:
        sentences = [part for part in _SENTENCE.split(trace) if part and part.strip()]
        for number, sentence in enumerate(sentences):
            for match in _VERDICT.finditer(sentence):
                verdict = (match[1] or match[2]).lower() == "true"
                if len(sentences) - number > self.last:
                    return f"the trace gives its verdict in sentence {number + 1} of {len(sentences)}"
                if verdict != row.relevant:
                    return f"the trace ends in {str(verdict).lower()!r}, against its label"
        return None

    def _copy(self, trace: str, row: LabelledPassage) -> str | None:
        mine = runs(words(trace), self.run)
        if not mine:
            return "the trace holds no words"
        share = len(mine & runs(words(row.passage), self.run)) / len(mine)
        return f"{share:.0%} of the trace is copied from the passage" if share > self.copied else None
