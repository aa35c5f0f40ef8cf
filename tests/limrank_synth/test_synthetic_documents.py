"""Synthetic documents: every answer accounted for, splits apart, no positive among the negatives."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synth_writer import OWN, WORDS, Writer, seeds

from limrank_plugins.backends.protocols import Generate
from limrank_plugins.backends.scripted import ScriptedFailure
from limrank_plugins.errors import InputError
from limrank_plugins.io import read_documents, read_queries
from limrank_synth.collection import make_documents, write_collection
from limrank_synth.quotas import largest_remainder
from limrank_synth.records import Seed
from limrank_synth.settings import Role, SynthSettings
from limrank_synth.synthetic_documents import (
    SPLITS,
    QueryAnswers,
    SyntheticAnswer,
    SyntheticCollection,
    collect,
    negatives,
    split,
)

SETTINGS = SynthSettings(roles={"writer": Role("writer-1")}, attempts=2, concurrency=4)


def collection(texts: dict[str, list[str]], queries: list[Seed] | None = None) -> SyntheticCollection:
    known = queries if queries is not None else [Seed(name, f"about {name}", OWN) for name in texts]
    return collect(
        QueryAnswers(
            query,
            tuple(SyntheticAnswer(query.id, text, i, "m", (OWN,)) for i, text in enumerate(texts[query.id])),
        )
        for query in known
    )


def test_answers_become_documents_with_their_provenance(tmp_path: Path) -> None:
    writer = Writer(lambda query, request: f"It does\n{query}\tand {request.sample}.")
    outcome = make_documents(seeds(20), SETTINGS, tmp_path, backends={"writer": writer}, samples=2)
    assert outcome.report["documents"] == 40
    assert outcome.report["calls"]["writer"]["calls"] == 40
    documents = {one.id: one for one in read_documents(tmp_path / "corpus.jsonl")}
    queries = {one.id: one for one in read_queries(tmp_path / "queries.jsonl")}
    assert len(documents) == 40
    assert set(queries) == {f"q{n}" for n in range(20)}
    for one in documents.values():
        (origin,) = one.meta["answers"]
        # Line ends and tabs stay what they are: nothing is glued together.
        assert one.text == f"It does\n{queries[origin['query_id']].text}\tand {origin['sample']}."
        assert origin["model"] == "writer-1"
        assert origin["sources"][0] == ["our queries", "CC0-1.0"]
    # Started again, nobody is asked, and the files are the same.
    before = {file.name: file.read_bytes() for file in tmp_path.glob("*.jsonl")}
    again = Writer(lambda query, request: "never")
    make_documents(seeds(20), SETTINGS, tmp_path, backends={"writer": again}, samples=2)
    assert again.asked == []
    assert {file.name: file.read_bytes() for file in tmp_path.glob("*.jsonl")} == before


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("", "wrote no answer"),
        (" \n", "wrote no answer"),
        ("I'm sorry, but I can't help with that.", "refused"),
        ("<think>Let me see.</think> ", "no answer"),
    ],
)
def test_empty_answers_and_refusals_are_failures_that_the_next_run_asks_again(
    tmp_path: Path, said: str, reason: str
) -> None:
    writer = Writer(lambda query, request: said if query.endswith("number 0 do") else f"About {query}.")
    outcome = make_documents(seeds(3), SETTINGS, tmp_path, backends={"writer": writer})
    assert (outcome.report["answered"], outcome.report["rejected"]) == (2, 0)
    assert list(outcome.report["failed"]) == ["q0/0"]
    assert reason in outcome.report["failed"]["q0/0"]
    assert len(writer.asked) == 4  # twice for the first
    assert "q0" not in {one.id for one in read_queries(tmp_path / "queries.jsonl")}
    writer = Writer(lambda query, request: f"About {query}.")
    outcome = make_documents(seeds(3), SETTINGS, tmp_path, backends={"writer": writer})
    assert (outcome.report["answered"], outcome.report["failed"]) == (3, {})
    assert len(writer.asked) == 1, "what was there is not asked again"


def test_an_answer_that_cannot_be_used_is_asked_for_again_and_then_rejected(tmp_path: Path) -> None:
    said = "What does milk number 0  do"
    writer = Writer(lambda query, request: said if query.endswith("number 0 do") else f"About {query}.")
    outcome = make_documents(seeds(3), SETTINGS, tmp_path, backends={"writer": writer})
    assert (outcome.report["answered"], outcome.report["rejected"], outcome.report["failed"]) == (2, 1, {})
    (rejected,) = [json.loads(line) for line in (tmp_path / "rejected.jsonl").read_text().splitlines()]
    assert (rejected["item"], len(writer.asked)) == ("q0/0", 4)
    assert "is the query" in rejected["reason"]


def test_a_thought_before_an_answer_is_not_part_of_the_document(tmp_path: Path) -> None:
    writer = Writer(lambda query, request: f"<think>Hm.</think>\n\nAbout {query}.")
    make_documents(seeds(2), SETTINGS, tmp_path, backends={"writer": writer})
    assert {one.text for one in read_documents(tmp_path / "corpus.jsonl")} == {
        f"About {one.text}." for one in seeds(2)
    }


def test_a_query_without_an_answer_is_unfinished_and_answered_by_the_next_run(tmp_path: Path) -> None:
    def refuse(query: str, request: Generate) -> str:
        if "number 1 " in query:
            raise ScriptedFailure("the server is down")
        return f"About {query}."

    outcome = make_documents(seeds(3), SETTINGS, tmp_path, backends={"writer": Writer(refuse)})
    assert set(outcome.unfinished) == {"q1"}
    writer = Writer(lambda query, request: f"About {query}.")
    outcome = make_documents(seeds(3), SETTINGS, tmp_path, backends={"writer": writer})
    assert outcome.unfinished == {}
    assert len(writer.asked) == 1
    assert outcome.report["documents"] == 3


def test_equal_answers_are_one_document_for_both_queries_and_no_negative_of_either() -> None:
    made = collection({"a": ["same  text", "own a"], "b": ["same text"], "c": ["own c"]})
    assert len(made.documents) == 3
    assert made.duplicates == 1
    (shared,) = set(made.relevant["a"]) & set(made.relevant["b"])
    assert [entry["query_id"] for entry in made.provenance[shared]] == ["a", "b"]
    drawn = negatives(made, 10)
    assert all(set(drawn[query]).isdisjoint(made.relevant[query]) for query in "abc")
    assert set(drawn["c"]) == set(made.documents) - set(made.relevant["c"])


@settings(deadline=None)
@given(
    st.dictionaries(
        st.text("abcdef", min_size=1, max_size=3),
        st.lists(st.sampled_from([f"{word} acts" for word in WORDS]), min_size=1, max_size=3),
        min_size=1,
    ),
    st.integers(0, 6),
    st.sampled_from(["random", "bm25"]),
    st.integers(0, 3),
)
def test_no_positive_is_ever_a_negative(texts: dict[str, list[str]], count: int, how: str, seed: int) -> None:
    made = collection(texts)
    drawn = negatives(made, count, how, seed)  # type: ignore[arg-type]
    for query, others in drawn.items():
        assert len(set(others)) == len(others)
        assert set(others).isdisjoint(made.relevant[query])
        assert len(others) == min(count, len(made.documents) - len(made.relevant[query]))
    assert drawn == negatives(made, count, how, seed)  # type: ignore[arg-type]


def test_queries_with_one_text_share_their_positives() -> None:
    twins = [Seed("a", "Why is it so?", OWN), Seed("b", "why  is it so?", OWN), Seed("c", "other", OWN)]
    made = collection({"a": ["one"], "b": ["two"], "c": ["three"]}, twins)
    assert [made.documents[i] for i in negatives(made, 5)["a"]] == ["three"]


def test_bm25_negatives_are_the_nearest_of_the_others() -> None:
    texts = {"q0": ["acid curdles milk", "milk and acid"], "q1": ["milk has acid proteins"],
             "q2": ["bread rises"], "q3": ["iron rusts"]}  # fmt: skip
    queries = [Seed(name, "acid in milk" if name == "q0" else f"query {name}", OWN) for name in texts]
    made = collection(texts, queries)
    assert [made.documents[i] for i in negatives(made, 1, "bm25")["q0"]] == ["milk has acid proteins"]
    assert len(negatives(made, 3, "bm25")["q0"]) == 3  # filled up at random


@settings(deadline=None)
@given(st.lists(st.sampled_from([f"text {n}" for n in range(40)]), max_size=60), st.integers(0, 5))
def test_splits_are_disjoint_by_query_text_and_as_large_as_asked(texts: list[str], seed: int) -> None:
    queries = [Seed(f"q{n}", text.upper() if n % 2 else text, OWN) for n, text in enumerate(texts)]
    place = split(queries, seed=seed)
    by_text: dict[str, set[str]] = {}
    for query in queries:
        by_text.setdefault(query.text.casefold(), set()).add(place[query.id])
    assert all(len(names) == 1 for names in by_text.values())
    sizes = {name: sum(name in names for names in by_text.values()) for name in SPLITS}
    assert sizes == largest_remainder(len(by_text), SPLITS)
    assert place == split(list(reversed(queries)), seed=seed)


def test_pairs_have_the_ratio_asked_for_and_stay_in_their_split(tmp_path: Path) -> None:
    made = collection({f"q{n}": [f"answer {n} a", f"answer {n} b"] for n in range(100)})
    counts = write_collection(made, tmp_path, per_positive=4)
    assert sum(one["queries"] for one in counts.values()) == 100
    seen: dict[str, set[str]] = {}
    for name in SPLITS:
        lines = [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        assert sum(one["label"] for one in lines) == counts[name]["positives"] == 2 * counts[name]["queries"]
        if counts[name]["queries"] > 8:
            assert counts[name]["negatives"] == 4 * counts[name]["positives"]
        seen[name] = {one["passage"] for one in lines}
        qrels = (tmp_path / f"qrels/{name}.tsv").read_text().splitlines()
        assert len(qrels) == 1 + counts[name]["positives"]
        for one in lines:
            number = one["query"].removeprefix("about q")
            assert (one["label"] == 1.0) == one["passage"].startswith(f"answer {number} ")
    assert seen["train"].isdisjoint(seen["test"])


def test_senseless_requests_are_refused(tmp_path: Path) -> None:
    writer = Writer(lambda query, request: "x")
    with pytest.raises(InputError, match="samples must be > 0"):
        make_documents(seeds(1), SETTINGS, tmp_path, backends={"writer": writer}, samples=0)
    with pytest.raises(InputError, match="white space"):
        make_documents([replace(seeds(1)[0], id="a b")], SETTINGS, tmp_path, backends={"writer": writer})
    with pytest.raises(InputError, match="must be unique"):
        make_documents([*seeds(1), *seeds(1)], SETTINGS, tmp_path, backends={"writer": writer})
    with pytest.raises(InputError, match="'random' or 'bm25'"):
        negatives(collection({"a": ["b"]}), 1, "hard")  # type: ignore[arg-type]


def test_begun_anew_a_run_with_failures_replaces_nothing(tmp_path: Path) -> None:
    writer = Writer(lambda query, request: f"About {query}.")
    make_documents(seeds(2), SETTINGS, tmp_path, backends={"writer": writer})
    before = (tmp_path / "corpus.jsonl").read_bytes()
    refuses = Writer(lambda query, request: "I cannot help with that.")
    outcome = make_documents(seeds(2), SETTINGS, tmp_path, backends={"writer": refuses}, fresh=True)
    assert len(outcome.report["failed"]) == 2
    assert (tmp_path / "corpus.jsonl").read_bytes() == before
