"""Passages for benchmarks, as many as wanted, put together from sentences of real texts."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence

from limrank_plugins import samples
from limrank_plugins.corpus import read_corpus
from limrank_plugins.data import Document
from limrank_plugins.errors import InputError

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_WORDS = (8, 60)
"""Words of a sentence that is taken: no headings, no tables."""
_SENTENCES = (2, 5)
_QUERY_WORDS = (4, 9)


def sentences(corpus: str | None = None) -> list[str]:
    """The sentences of a corpus, each once; default: of the sample collection.

    Raises:
        InputError: there is no such corpus, or no sentence in it.
    """
    documents = samples.documents() if corpus is None else read_corpus(corpus)
    split = (part for document in documents for part in _SENTENCE_END.split(document.passage))
    bare = (" ".join(part.split()) for part in split)
    kept = list(dict.fromkeys(part for part in bare if _WORDS[0] <= part.count(" ") + 1 <= _WORDS[1]))
    if not kept:
        raise InputError(f"corpus {corpus!r} has no sentence of {_WORDS[0]} to {_WORDS[1]} words")
    return kept


def passages(source: Sequence[str], count: int) -> Iterator[Document]:
    """So many passages: two to five sentences drawn by chance, and two words that no other passage has.

    Real corpora bring new words as long as they grow, too. The same arguments give the same passages.
    """
    draw = random.Random(0)
    for number in range(count):
        drawn = draw.choices(source, k=draw.randint(*_SENTENCES))
        yield Document(f"{' '.join(drawn)} item{number} lot{draw.getrandbits(40):x}", id=str(number))


def queries(source: Sequence[str], count: int) -> list[str]:
    """So many queries: four to nine words in a row out of sentences drawn by chance."""
    draw = random.Random(1)
    drawn: list[str] = []
    for _ in range(count):
        words = draw.choice(source).split()
        size = draw.randint(*_QUERY_WORDS)
        start = draw.randint(0, max(0, len(words) - size))
        drawn.append(" ".join(words[start : start + size]))
    return drawn
