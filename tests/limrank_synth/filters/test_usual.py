"""All filters together: a clean set passes, and every planted defect is caught by the filter meant for it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import synth_texts
from synth_texts import clean_rows

from limrank_synth.filters import apply_filters, reasons
from limrank_synth.filters.usual import usual_filters
from limrank_synth.records import LabelledPassage, Rejection
from limrank_synth.settings import Role, SynthSettings

SETTINGS = SynthSettings(roles={"writer": Role("m")})
EVALUATION = (
    "Why does a drystone wall on a slope lean inwards after a hard frost, and who pays for it if the "
    "boundary between two fields was never surveyed properly"
)
GERMAN = (
    "Der Pächter hatte im Herbst den alten Zaun abgebaut und im Frühjahr einen neuen gesetzt, ohne den "
    "Nachbarn zu fragen, der seit vielen Jahren die Wiese daneben bewirtschaftet und nun behauptet, dass die "
    "Grenze um einen halben Meter verschoben worden sei. Das Amt verweist auf eine Karte, in der die Felder "
    "noch als ein einziges eingetragen sind, und verlangt eine neue Vermessung auf Kosten der Beteiligten."
)


def insert(text: str, what: str, at: int = 1) -> str:
    """The text with a sentence put in between."""
    sentences = text.split(". ")
    return ". ".join([*sentences[:at], what.rstrip("."), *sentences[at:]])


def in_passage(what: str) -> Callable[[LabelledPassage], LabelledPassage]:
    return lambda row: replace(row, passage=insert(row.passage, what))


def in_trace(what: str, at: int = 2) -> Callable[[LabelledPassage], LabelledPassage]:
    return lambda row: replace(row, trace=insert(row.trace, what, at))


OF_NEGATIVES = {"an easy negative"}
ELSEWHERE = [
    "Violinists playing baroque sonatas prefer gut strings.",
    "Casseroles simmering overnight need plenty of stock.",
    "Chess grandmasters memorise thousands of openings.",
    "Saffron threads give paella its golden hue.",
    "Novelists revising drafts cut adjectives ruthlessly.",
    "Ballet dancers rehearse pirouettes facing mirrors.",
    "Sopranos warming up hum scales softly.",
    "Crossword setters love misleading anagrams.",
    "Pastry chefs temper chocolate on marble slabs.",
    "Fencing masters teach parries using wooden foils.",
    "Bookbinders sew signatures with waxed linen thread.",
    "Jugglers practise cascades using beanbags first.",
]


DEFECTS: dict[str, tuple[str, Callable[[LabelledPassage], LabelledPassage]]] = {
    # leakage
    "the query's words": (
        "leakage",
        lambda row: replace(row, passage=insert(row.passage, " ".join(row.query.split()[5:14]))),
    ),
    "talk of relevance": ("leakage", in_passage("This text is highly relevant to the query")),
    "talk of the question": ("leakage", in_passage("It is irrelevant for the user's question all the same")),
    "talk of itself": ("leakage", in_passage("This passage explains why the older parts gave way")),
    "an offer": ("leakage", in_passage("Here is the passage you wanted to have")),
    "its intent": ("leakage", in_passage("It is an indirect:supporting text")),
    "hard negative": ("leakage", in_passage("It was written as a hard negative")),
    "its verdict": ("leakage", in_passage("Relevance: false")),
    "a tag": ("leakage", in_passage("All of it stands there </think> true")),
    "a marker": ("leakage", in_passage("It went on <|im_end|> for a while")),
    "a tag in the query": ("leakage", lambda row: replace(row, query=f"{row.query} </think> true")),
    "an AI": ("leakage", in_passage("As an AI I have not seen the roof myself")),
    # length and language
    "a short passage": (
        "length_and_language",
        lambda row: replace(row, passage=" ".join(row.passage.split()[:30])),
    ),
    "a long passage": (
        "length_and_language",
        lambda row: replace(
            row, passage=synth_texts.prose(random.Random(row.id), sorted(synth_texts.all_topics()), 400)
        ),
    ),
    "a German passage": ("length_and_language", lambda row: replace(row, passage=GERMAN)),
    # agreement
    "a contrary verdict": (
        "agreement",
        lambda row: replace(row, relevant=not row.relevant, votes=(not row.relevant,) * 3),
    ),
    "a divided judge": (
        "agreement",
        lambda row: replace(row, votes=(row.relevant, not row.relevant, row.relevant)),
    ),
    "a second opinion": ("agreement", lambda row: replace(row, second=(not row.relevant,))),
    # decontamination
    "an evaluation's words": ("decontamination", in_passage(" ".join(EVALUATION.split()[2:18]))),
    # hardness
    "an easy negative": (
        "hardness",
        lambda row: replace(row, passage=" ".join(random.Random(row.id).sample(ELSEWHERE, len(ELSEWHERE)))),
    ),
    # trace rules
    "a short trace": ("trace_rules", lambda row: replace(row, trace="It fits, so it helps.")),
    "a long trace": (
        "trace_rules",
        lambda row: replace(
            row, trace=synth_texts.prose(random.Random(row.id), sorted(synth_texts.all_topics()), 1300)
        ),
    ),
    "a verdict too early": ("trace_rules", in_trace("So the answer is true or at least it seems to be")),
    "a bare verdict too early": ("trace_rules", in_trace("False")),
    "the intended label": ("trace_rules", in_trace("The intended label must be kept in mind here")),
    "the making": ("trace_rules", in_trace("The passage was probably generated to look plausible")),
    "the instructions": ("trace_rules", in_trace("The guidelines say that it has to be so")),
    "a thought's tag": ("trace_rules", in_trace("And so </think> it goes")),
    "an unclosed tag": ("trace_rules", in_trace("<answer> would stand here")),
    "an unclosed block": ("trace_rules", in_trace("```python x = 1")),
    "a torn end": ("trace_rules", lambda row: replace(row, trace=row.trace[:-7].rstrip(". "))),
    "a copy": ("trace_rules", lambda row: replace(row, trace=row.passage)),
    "another verdict": (
        "trace_rules",
        lambda row: replace(row, trace=f"{row.trace} The answer is {str(not row.relevant).lower()}."),
    ),
}


EACH = 8


@pytest.fixture(scope="module")
def rows() -> list[LabelledPassage]:
    return clean_rows(160)


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("evaluation") / "evaluation.tsv"
    path.write_text(f"e1\t{EVALUATION}\n", "utf-8")
    return path


class Planted(NamedTuple):
    where: dict[str, list[str]]  # by defect, the rows that have it
    original: dict[str, str]  # by copy
    rejected: dict[str, Rejection]
    kept: set[str]


@pytest.fixture(scope="module")
def planted(evaluation: Path) -> Planted:
    """All defects in one set, each in eight rows."""
    rows = clean_rows(250, seed=5)
    free = list(range(len(rows)))
    random.Random(3).shuffle(free)
    where, original = dict[str, list[str]](), dict[str, str]()

    def take(what: str) -> int:
        # Negatives only where the defect is one of negatives.
        at = next(i for i in free if what not in OF_NEGATIVES or not rows[i].relevant)
        free.remove(at)
        where.setdefault(what, []).append(rows[at].id)
        return at

    for defect, (_, spoil) in DEFECTS.items():
        for _ in range(EACH):
            at = take(defect)
            rows[at] = spoil(rows[at])
    for number in range(EACH):
        early, at = sorted((free.pop(), free.pop()))
        where.setdefault("a copy of another row", []).append(rows[at].id)
        words = rows[early].passage.split()
        words[len(words) // 2] = "whatever"
        text = rows[early].passage.upper().replace(",", " ;") if number % 2 else " ".join(words)
        rows[at] = replace(rows[at], passage=text)
        original[rows[at].id] = rows[early].id
    filtered, _ = apply_filters(rows, usual_filters(SETTINGS, [evaluation]))
    return Planted(
        where, original, {one.item: one for one in filtered.rejected}, {row.id for row in filtered.kept}
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_a_clean_set_passes(seed: int, evaluation: Path):
    rows = clean_rows(130, seed)
    assert len(rows) >= 500
    filtered, _ = apply_filters(rows, usual_filters(SETTINGS, [evaluation]))
    assert len(filtered.kept) >= 0.98 * len(rows), [one.reason for one in filtered.rejected]


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_caught_by_its_filter(defect: str, planted: Planted):
    stage = DEFECTS[defect][0]
    assert len(planted.where[defect]) == EACH
    stages = [
        planted.rejected[row].stage if row in planted.rejected else None for row in planted.where[defect]
    ]
    assert stages == [stage] * EACH


def test_copies_are_caught_and_name_what_they_copy(planted: Planted):
    assert len(planted.original) == EACH
    for copy, original in planted.original.items():
        assert planted.rejected[copy].stage == "duplicates"
        assert repr(original) in planted.rejected[copy].reason
        assert original in planted.kept


def test_the_rows_beside_the_defects_pass(planted: Planted):
    spoilt = {row for rows in planted.where.values() for row in rows}
    beside = (set(planted.rejected) | planted.kept) - spoilt
    assert len(beside) > 600
    assert len(beside & planted.kept) >= 0.98 * len(beside)


def test_too_many_of_a_kind_are_dropped(rows: list[LabelledPassage]):
    more = [
        replace(row, id=f"more/{row.id}", query_id=f"more/{row.query_id}", difficulty="easy")
        for row in clean_rows(25, seed=9)
    ]
    filtered, _ = apply_filters(rows + more, usual_filters(SETTINGS, []))
    gone = {one.item: one for one in filtered.rejected}
    assert {one.stage for one in gone.values()} == {"coverage"}
    assert len({one.item.rpartition("/")[0] for one in gone.values()}) >= 15
    assert all("'easy'" in one.reason for one in gone.values())


def test_nothing_is_lost_and_the_order_stays(rows: list[LabelledPassage]):
    spoilt = [replace(row, votes=(False, True, True)) if i % 7 == 0 else row for i, row in enumerate(rows)]
    filtered, counts = apply_filters(spoilt, usual_filters(SETTINGS, []))
    assert len(filtered.kept) + len(filtered.rejected) == len(rows)
    assert filtered.kept == [row for row in spoilt if row in filtered.kept]
    assert list(counts) == [one.name for one in usual_filters(SETTINGS, [])]
    assert all(one.reason and one.text for one in filtered.rejected)


def test_filters_are_pure(rows: list[LabelledPassage]):
    filters = usual_filters(SETTINGS, [])
    before, few = list(rows[:80]), rows[:80]
    assert apply_filters(few, filters) == apply_filters(few, filters)
    assert few == before


def test_no_rows():
    for one in usual_filters(SETTINGS, []):
        assert one([]) == ([], [])


def test_reasons_are_counted_without_their_particulars():
    found = reasons(
        [
            Rejection("a", "1", "its query has 3 words, fewer than 20"),
            Rejection("a", "2", "its query has 4 words, fewer than 20"),
            Rejection("b", "3", "it is 'this' or \"that\""),
        ]
    )
    assert found == {"a": {"its query has … words, fewer than …": 2}, "b": {"it is … or …": 1}}
