"""Queries, passages and traces as a good model would write them, from a seed: for filters and servers.

No two are alike, all are English, all have the lengths of the guidelines, and the passages of a query
share its topic words, so that BM25 finds them.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from pathlib import Path

from limrank_synth.guidelines import Guidelines, load_guidelines
from limrank_synth.quotas import largest_remainder
from limrank_synth.records import DIRECT, INDIRECT, NEGATIVE, Intent, LabelledPassage, Source


def _lists() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (Path(__file__).parent / "synth_words.txt").read_text("utf-8").splitlines():
        if line.startswith("["):
            at = found.setdefault(line.strip("[]"), [])
        elif line:
            at.append(line)
    return found


_WORDS = _lists()
_JOINED = ("and later", "and then", "but", "while", "so", "and in the end", "whereas", "and at once")


def all_topics() -> frozenset[str]:
    """Every word that can be a topic."""
    return frozenset(_WORDS["topics"])


def topic(rng: random.Random) -> list[str]:
    """Words that a query and its passages are about."""
    return rng.sample(_WORDS["topics"], 6)


def clause(rng: random.Random, thing: str, end: str) -> str:
    """Somebody did something to a thing, in a way or for a reason."""
    who, did, that = (rng.choice(_WORDS[part]) for part in ("who", "did", "that"))
    return f"{who} {did} {that} {thing} {rng.choice(_WORDS[end])}"


def prose(rng: random.Random, about: Sequence[str], words: int) -> str:
    """Sentences of at least so many words in all, at most 40 more, about all of the topic in turn."""
    found: list[str] = []
    turn = itertools.cycle(rng.sample(list(about), len(about)))
    while sum(len(one.split()) for one in found) < words:
        first, second = clause(rng, next(turn), "how"), clause(rng, next(turn), "why")
        found.append(f"{first[0].upper()}{first[1:]}, {rng.choice(_JOINED)} {second}.")
    return " ".join(found)


def query(rng: random.Random, about: Sequence[str]) -> str:
    """A question of 40 to 90 words, in sentences that no passage has."""
    told = [clause(rng, word, "how") for word in about[2:]]
    return f"Yesterday {'. Then '.join(told)}. What does this mean for the {about[0]} and the {about[1]}?"


def passage(rng: random.Random, about: Sequence[str]) -> str:
    """A passage of 70 to 200 words."""
    return prose(rng, about, rng.randrange(70, 160))


def trace(rng: random.Random, about: Sequence[str], relevant: bool) -> str:
    """Reasoning of 60 to 160 words that ends in its conclusion."""
    start = f"The query asks what follows for the {about[0]}, so a useful text has to say how it behaves."
    middle = prose(rng, about, rng.randrange(40, 100))
    end = "So the passage helps to answer it." if relevant else "So the passage does not help with that."
    return f"Okay, let me look at this. {start} {middle} {end}"


def clean_rows(queries: int, seed: int = 0, guidelines: Guidelines | None = None) -> list[LabelledPassage]:
    """Four rows for each query (direct, indirect, two negatives) that no filter has a reason to reject.

    Kinds, domains and difficulties are as the guidelines want them.
    """
    known = guidelines if guidelines is not None else load_guidelines()
    rng = random.Random(f"rows {seed}")
    difficulties = _spread(largest_remainder(queries, known.difficulty))
    rng.shuffle(difficulties)
    targets = [
        (kind, domain)
        for kind, number in largest_remainder(queries, known.kind).items()
        for domain in _spread(largest_remainder(number, known.domain[kind]))
    ]
    return [
        row
        for number, ((kind, domain), difficulty) in enumerate(zip(targets, difficulties, strict=True))
        for row in query_rows(rng, f"s{number}/{kind}", kind, domain, difficulty)
    ]


def query_rows(
    rng: random.Random, name: str, kind: str, domain: str, difficulty: str
) -> list[LabelledPassage]:
    """The rows of one query."""
    about = topic(rng)
    text = query(rng, about)
    intents = [DIRECT, rng.choice(INDIRECT), *rng.sample(NEGATIVE, 2)]
    return [
        clean_row(rng, about, text, name, n, one, kind, domain, difficulty) for n, one in enumerate(intents)
    ]


def clean_row(
    rng: random.Random,
    about: Sequence[str],
    text: str,
    name: str,
    number: int,
    intent: Intent,
    kind: str,
    domain: str,
    difficulty: str,
) -> LabelledPassage:
    """One row."""
    return LabelledPassage(
        id=f"{name}/{number}",
        query_id=name,
        query=text,
        passage=passage(rng, about),
        trace=trace(rng, about, intent.relevant),
        relevant=intent.relevant,
        intent=intent.name,
        false_claim=intent.false_claim,
        kind=kind,
        domain=domain,
        difficulty=difficulty,
        votes=(intent.relevant,) * 3,
        second=(intent.relevant,),
        sources=(Source("test"),),
        meta={"seed": " ".join(about)},
    )


def _spread(numbers: dict[str, int]) -> list[str]:
    return [value for value, number in numbers.items() for _ in range(number)]
