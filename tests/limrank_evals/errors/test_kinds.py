"""Kinds from lines, from a synthesis's rows and from grades; what is wrong with them is named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from limrank_evals.errors.kinds import (
    FALSE_CLAIM,
    agreeing,
    kinds_from_grades,
    read_kinds,
    read_wishes,
    sort_of,
)
from limrank_evals.judgements import read_judgements
from limrank_plugins.errors import InputError
from limrank_synth import records
from limrank_synth.exports import ExportOptions, trec


def put(path: Path, *lines: str) -> Path:
    content = "".join(line + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def row(
    number: int, intent: str, passage: str = "", query: str = "q1", **changed: object
) -> records.LabelledPassage:
    relevant = records.INTENTS[intent].relevant if intent else True
    fields = {
        "id": f"r{number}",
        "query_id": query,
        "query": f"the text of {query}",
        "passage": passage or f"passage {number}",
        "trace": "",
        "relevant": relevant,
        "intent": intent,
        "false_claim": intent == FALSE_CLAIM,
        "kind": "expert",
        "domain": "law",
        "difficulty": "",
        "votes": (relevant,),
    }
    return records.LabelledPassage(**(fields | changed))


def test_the_synthesizer_s_names_are_known():
    assert FALSE_CLAIM in records.INTENTS
    for name, intent in records.INTENTS.items():
        assert (sort_of(name) != "negative") == intent.relevant


def test_lines(tmp_path: Path):
    lines = ["q1 a direct", "q1\tb  indirect:supporting", "q2 a negative"]
    wanted = {"q1": {"a": "direct", "b": "indirect:supporting"}, "q2": {"a": "negative"}}
    assert read_kinds(put(tmp_path / "kinds.txt.gz", *lines)) == wanted
    objects = [
        json.dumps(dict(zip(("query", "document", "kind"), line.split(), strict=True))) for line in lines
    ]
    assert read_kinds(put(tmp_path / "kinds.jsonl", *objects)) == wanted


def test_a_synthesis_s_rows_beside_its_export(tmp_path: Path):
    """Passages with equal texts are one document there; kinds meet the judgements all the same."""
    rows = [
        row(1, "direct"),
        row(2, "indirect:refuting", "said twice"),
        row(3, "negative:outdated", "said twice", query="q2"),
        row(4, FALSE_CLAIM, query="q2"),
        row(5, "", query="q2"),
    ]
    trec.write(rows, tmp_path, ExportOptions())
    file = put(tmp_path / "rows.jsonl", *(json.dumps(one.as_json()) for one in rows))
    qrels = read_judgements(tmp_path / "qrels.txt")
    assert qrels == {"q1": {"r1": 2, "r2": 1}, "q2": {"r2": 0, "r4": 0, "r5": 1}}
    assert read_kinds(file, qrels) == {
        "q1": {"r1": "direct", "r2": "indirect:refuting"},
        "q2": {"r2": "negative:outdated", "r4": FALSE_CLAIM},
    }
    assert read_kinds(file)["q2"] == {"r3": "negative:outdated", "r4": FALSE_CLAIM}


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("k", ["q a"], "line 1: expected query, document and kind, but got 'q a'"),
        ("k", ["q a direct", "q b good"], r"line 2: a kind begins with direct, indirect, negative"),
        ("k", ["q a direct", "q a negative"], "line 2: document 'a' has a kind for query 'q' already"),
        ("k", [], "names no kind of any document"),
        ("k.jsonl", ["{"], "line 1: not JSON"),
        ("k.jsonl", ['{"query": "q", "document": "a"}'], "line 1: expected a row of a synthesis"),
        ("k.jsonl", ['{"query": "q", "document": 3, "kind": "direct"}'], "line 1: expected a row"),
        ("k.jsonl", ["[]"], "line 1: expected a JSON object"),
        ("k.jsonl", [json.dumps(row(1, "").as_json())], "names no kind of any document"),
    ],
)
def test_bad_kinds(tmp_path: Path, name: str, lines: list[str], message: str):
    with pytest.raises(InputError, match=message):
        read_kinds(put(tmp_path / name, *lines))


def test_grades_as_kinds():
    qrels = {"q": {"a": 3, "b": 2, "c": 1, "d": 0, "e": -1}}
    assert kinds_from_grades(qrels, 3) == {
        "q": {
            "a": "direct",
            "b": "indirect:grade-2",
            "c": "indirect:grade-1",
            "d": "negative:grade-0",
            "e": "negative:grade--1",
        }
    }
    assert kinds_from_grades(qrels, 2)["q"]["b"] == "direct"
    for direct, missing in ((4, "direct"), (2, "indirect")):
        with pytest.raises(InputError, match=rf"--direct-grade {direct} no passage is {missing}.*grades are"):
            kinds_from_grades({"q": {"a": 2, "b": 0}}, direct)
    with pytest.raises(InputError, match="must be 2 or more, but is 1"):
        kinds_from_grades(qrels, 1)


def test_kinds_that_the_judgements_contradict_are_counted():
    kinds = {"q": {"a": "direct", "b": "negative", "c": "indirect", "d": "direct", "e": "negative"}}
    kept, against = agreeing(kinds, {"q": {"a": 1, "b": 0, "c": 0, "e": 2}})
    assert (kept, against) == ({"q": {"a": "direct", "b": "negative", "d": "direct"}}, 2)


def test_wishes(tmp_path: Path):
    wanted = {"q1": "direct", "q2": "background", "q3": "either"}
    assert read_wishes(put(tmp_path / "w", *(f"{q} {w}" for q, w in wanted.items()))) == wanted
    for lines, message in (
        (["q1 indirect"], "line 1: expected a query and one of direct, background, either"),
        (["q1"], "line 1: expected"),
        (["q1 direct", "q1 direct"], "line 2: query 'q1' was there before"),
        ([], "says of no query"),
    ):
        with pytest.raises(InputError, match=message):
            read_wishes(put(tmp_path / "w", *lines))
