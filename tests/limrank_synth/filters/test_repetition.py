"""Duplicates, near-duplicates and evaluation texts against brute force."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synth_texts import clean_rows

from limrank_plugins.errors import InputError
from limrank_synth.filters.decontamination import Decontamination, EvaluationText, read_evaluation
from limrank_synth.filters.duplicates import Duplicates
from limrank_synth.filters.leakage import Leakage
from limrank_synth.filters.minhash import NearDuplicates
from limrank_synth.filters.words import NgramHasher, normalised, runs, words
from limrank_synth.records import LabelledPassage


def jaccard(one: str, other: str, run: int = 3) -> float:
    first, second = runs(words(one), run), runs(words(other), run)
    return len(first & second) / len(first | second)


def edited(text: str, share: float, rng: random.Random) -> str:
    return " ".join("edit" if rng.random() < share else word for word in text.split())


def test_near_duplicates_are_those_of_brute_force():
    rng = random.Random(0)
    originals = [row.passage for row in clean_rows(15)]
    shares = [0.003, 0.01, 0.02, 0.04, 0.1]
    texts = [edited(rng.choice(originals), rng.choice(shares), rng) for _ in range(120)]
    near = NearDuplicates(0.8, 3)
    held: list[int] = []
    found = 0
    for number, text in enumerate(texts):
        expected = [at for at in held if jaccard(text, texts[at]) >= 0.8]
        assert near.find(words(text)) == (min(expected) if expected else None)
        found += bool(expected)
        if not expected:
            near.add(number, words(text))
            held.append(number)
    assert 20 < found < 100


@given(st.text(), st.text())
def test_texts_of_any_sort(one: str, other: str):
    near = NearDuplicates(0.8, 3)
    near.add(0, words(one))
    assert near.find(words(one)) == (0 if words(one) else None)
    expected = bool(words(other)) and runs(words(other), 3) == runs(words(one), 3)
    assert not expected or near.find(words(other)) == 0


@given(st.text())
def test_normalised_texts_are_their_own(text: str):
    assert normalised(normalised(text)) == normalised(text)


def test_what_is_the_same_after_normalisation():
    assert normalised("  Don't  STOP—now!\n") == normalised("don t stop now")
    assert normalised("ﬁne ２") == "fine 2"
    assert normalised("!?") == ""


@given(st.lists(st.sampled_from("abc"), max_size=12), st.integers(1, 5))
def test_hashed_runs_are_equal_where_the_runs_are(found: list[str], size: int):
    hashes = NgramHasher(size)(found)
    windows = [tuple(found[i : i + size]) for i in range(len(found) - size + 1)]
    assert len(hashes) == len(windows)
    assert len(set(hashes.tolist())) == len(set(windows))


def copy(row: LabelledPassage, number: int, **changes: str) -> LabelledPassage:
    return replace(row, id=f"copy{number}", query_id=f"copy{number}", **changes)


def test_the_first_stays_and_a_query_stays_whole():
    rows = clean_rows(6)
    again = copy(rows[0], 1, passage=rows[9].passage)
    other_query = [replace(row, id=f"o{i}", query_id="o") for i, row in enumerate(rows[4:8])]
    filtered = Duplicates()([*rows, again, *other_query])
    assert filtered.kept == rows
    reasons = {one.item: one.reason for one in filtered.rejected}
    assert reasons["copy1"] == f"its query is that of {rows[0].id!r}"
    assert all(reasons[f"o{i}"] == f"its query is that of {rows[4].id!r}" for i in range(4))
    assert [one.item for one in Duplicates()([again, *rows]).rejected][:4] == [row.id for row in rows[:4]]


def test_what_was_rejected_takes_nothing_with_it():
    rows = clean_rows(3)
    # Its passage is a copy, so its query, which the next one repeats, is not in the set.
    gone = copy(rows[4], 1, passage=rows[0].passage)
    next_one = copy(rows[5], 2, query=gone.query)
    filtered = Duplicates()([rows[0], gone, next_one])
    assert [row.id for row in filtered.kept] == [rows[0].id, "copy2"]


def test_texts_without_words_are_compared_as_they_are():
    row = clean_rows(1)[0]
    formulas = [
        copy(row, 0, passage="∑ = ∫"),
        replace(copy(row, 0), id="b", passage="∑ ≠ ∫"),
        replace(copy(row, 0), id="c", passage="∑ = ∫ "),
    ]
    assert [one.item for one in Duplicates()(formulas).rejected] == ["c"]


def test_shared_runs_with_an_evaluation_are_those_of_brute_force():
    rng = random.Random(1)
    rows = clean_rows(40, seed=2)
    texts = []
    for number in range(30):
        source = rng.choice(rows).passage.split()
        at, size = rng.randrange(20), rng.randrange(4, 25)
        texts.append(
            EvaluationText(f"e{number}", " ".join([*(["zzz"] * rng.randrange(3)), *source[at : at + size]]))
        )
    limits = Decontamination(tuple(texts))

    def holds(text: str) -> bool:
        found = words(text)
        for one in texts:
            theirs = words(one.text)
            size = min(13, len(theirs))
            if size >= 8 and runs(found, size) & runs(theirs, size):
                return True
        return False

    expected = {row.id for row in rows if holds(row.passage) or holds(row.query)}
    found = {one.item for one in limits(rows).rejected}
    assert found == expected
    assert 5 < len(found) < len(rows) / 2


def test_an_evaluation_named_in_the_reason():
    row = clean_rows(1)[0]
    short = EvaluationText("e: 1", "Is it TRUE?")
    near = EvaluationText("e: 2", edited(row.passage, 0.02, random.Random(1)))
    assert Decontamination((short,))([row]).kept == [row]
    exact = Decontamination((short, EvaluationText("e: 3", row.query.upper())))([row]).rejected
    assert exact[0].reason == "its query is one of the evaluation: 'e: 3'"
    assert (
        Decontamination((short,))([replace(row, passage="is it true")]).rejected[0].reason.endswith("'e: 1'")
    )
    nearly = Decontamination((near,), run=200, whole=200)([row]).rejected
    assert nearly[0].reason == "its passage is nearly one of the evaluation: 'e: 2'"


def test_files_of_an_evaluation(tmp_path: Path):
    queries, corpus = tmp_path / "queries.tsv", tmp_path / "corpus.jsonl"
    queries.write_text("1\twhat is it\n", "utf-8")
    corpus.write_text('{"_id": "d", "title": "Title", "text": "body"}\n', "utf-8")
    assert read_evaluation([queries, corpus]) == (
        ("queries.tsv: 1", "what is it"),
        ("corpus.jsonl: d", "Title body"),
    )
    corpus.write_text("", "utf-8")
    with pytest.raises(InputError, match="holds no texts"):
        read_evaluation([corpus])
    with pytest.raises(InputError, match="there is no file"):
        read_evaluation([tmp_path / "none.tsv"])


@given(st.lists(st.sampled_from("ab"), min_size=1, max_size=14), st.lists(st.sampled_from("ab"), max_size=14))
def test_leaked_runs_are_those_of_brute_force(query: list[str], passage: list[str]):
    row = replace(clean_rows(1)[0], query=" ".join(query), passage=" ".join(passage) or "x")
    size = min(5, len(query))
    windows = {tuple(passage[i : i + size]) for i in range(len(passage) - size + 1)}
    leaks = len(query) >= 3 and any(
        tuple(query[i : i + size]) in windows for i in range(len(query) - size + 1)
    )
    assert bool(Leakage(run=5, whole=3)([row]).rejected) == leaks
