"""A run's order: what tools do with equal scores, and that a file's line order is not among it."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from limrank_evals.runs import RunLines, arranged, cut, read_run_lines, run_lines_of, tied
from limrank_plugins.errors import InputError

RUN = {"q": {"a": 0.5, "c": 0.5, "b": 0.5, "z": 0.1, "best": 0.9}}


def test_equal_scores_go_by_the_rule_that_was_chosen():
    rows = run_lines_of(RUN)
    assert arranged(rows)["q"] == ["best", "c", "b", "a", "z"]
    assert arranged(rows, "rank")["q"] == ["best", "a", "c", "b", "z"]
    first = {"q": ["b", "a"]}
    assert arranged(rows, "first-stage", first)["q"] == ["best", "b", "a", "c", "z"]
    assert tied(rows) == 3


IDS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Zs", "Zl", "Zp")), min_size=1, max_size=3
)
SCORES = st.one_of(
    st.integers(0, 3).map(float),
    st.floats(-5, 5),
    st.sampled_from([1.0, 1.0 + 1e-12, 1.0 - 1e-12, 1e39, 9e38, -1e39, 1e-46, 0.0, -0.0]),
)


@given(st.dictionaries(IDS, SCORES, min_size=1, max_size=8))
def test_the_trec_eval_rule_is_trec_evals(scores: dict[str, float]):
    order = arranged(run_lines_of({"q": scores}))["q"]
    for document in scores:
        theirs = pytrec_eval.RelevanceEvaluator({"q": {document: 1}}, {"recip_rank"}).evaluate({"q": scores})
        assert order.index(document) + 1 == round(1 / theirs["q"]["recip_rank"])


@given(st.dictionaries(IDS, st.integers(0, 2).map(float), min_size=1, max_size=8), st.randoms())
def test_the_order_of_the_lines_changes_nothing(scores: dict[str, float], dice: random.Random):
    rows = run_lines_of({"q": scores})
    # Ranks may be equal, too: some tools write 0 everywhere.
    rows = {"q": [row._replace(rank=dice.choice([0, row.rank])) for row in rows["q"]]}
    shuffled = {"q": dice.sample(rows["q"], len(rows["q"]))}
    first = {"q": dice.sample(sorted(scores), len(scores) // 2)}
    for ties in ("trec_eval", "rank"):
        assert arranged(rows, ties) == arranged(shuffled, ties)
    assert arranged(rows, "first-stage", first) == arranged(shuffled, "first-stage", first)


def written(path: Path, *lines: str) -> Path:
    content = "".join(line + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


LINES = ("q1 Q0 a 1 2.5 x", "q1 Q0 b 2 2.5 x", "q2\tQ0\ta\t1\t-1e-3\tx")


@pytest.mark.parametrize("name", ["x.run", "x.run.gz"])
def test_files_plain_and_packed(tmp_path: Path, name: str):
    rows = read_run_lines(written(tmp_path / name, *LINES))
    assert rows == {"q1": [("a", 2.5, 1), ("b", 2.5, 2)], "q2": [("a", -0.001, 1)]}


def test_our_own_jsonl_goes_by_the_order_of_its_hits(tmp_path: Path):
    row = {"query_id": "q", "hits": [{"id": "a", "score": 0.1}, {"id": "b", "score": None}]}
    empty = {"query_id": "r", "hits": []}
    rows = read_run_lines(written(tmp_path / "x.jsonl", json.dumps(row), json.dumps(empty)))
    assert arranged(rows) == arranged(rows, "rank") == {"q": ["a", "b"]}
    assert tied(rows) == 0


def test_a_score_file_as_bright_and_mteb_write_them(tmp_path: Path):
    rows = read_run_lines(written(tmp_path / "score.json.gz", '{"q": {"a": 1,', ' "b": 1.0}, "r": {}}'))
    assert rows == {"q": [("a", 1, 1), ("b", 1, 2)], "r": []}
    assert arranged(rows, "rank") == {"q": ["a", "b"], "r": []}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a whole JSON file"),
        ("[]", "no score file"),
        ('{"q": ["a"]}', "no score file"),
        ('{"q": {"a": "1"}}', "no score file"),
        ('{"q": {"a": true}}', "no score file"),
        ('{"q": {"a": NaN}}', "is nan"),
        ('{"q": {"a": 1, "a": 2}}', "these repeat: 'a'"),
        ('{"q": {"a": 1}, "q": {"b": 1}}', "these repeat: 'q'"),
        ('{"q": {}}', "empty run"),
        ("{}", "empty run"),
    ],
)
def test_bad_score_files(tmp_path: Path, text: str, message: str):
    with pytest.raises(InputError, match=message):
        read_run_lines(written(tmp_path / "score.json", text))


BAD = {
    "nan": ["q Q0 a 1 nan x"],
    "'inf'": ["q Q0 a 1 inf x"],
    "score must be": ["q Q0 a 1 high x"],
    "rank must be": ["q Q0 a first 1 x"],
    "line 2: a run line has 6 columns": ["q Q0 a 1 1 x", "q Q0 b 2 1"],
    "but this has 7": ["q Q0 a 1 1 x y"],
    "line 3: document 'a' is there twice for query 'q'": ["q Q0 a 1 3 x", "q Q0 b 2 2 x", "q Q0 a 3 1 x"],
    "empty run": [],
}


@pytest.mark.parametrize("message", BAD)
def test_bad_lines_are_named(tmp_path: Path, message: str):
    with pytest.raises(InputError, match=message):
        read_run_lines(written(tmp_path / "x.run", *BAD[message]))


def test_a_query_twice_in_jsonl_is_an_error(tmp_path: Path):
    line = json.dumps({"query_id": "q", "hits": [{"id": "a"}]})
    with pytest.raises(InputError, match="line 2: query id 'q' was there before"):
        read_run_lines(written(tmp_path / "x.jsonl", line, line.replace('"a"', '"b"')))


def test_other_bad_input():
    rows: RunLines = run_lines_of(RUN)
    with pytest.raises(InputError, match="needs the first stage's run"):
        arranged(rows, "first-stage")
    with pytest.raises(InputError, match="decides nothing"):
        arranged(rows, "rank", {})
    with pytest.raises(InputError, match="'random'"):
        arranged(rows, "random")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="depth must be a whole number >= 1, but got"):
        cut({"q": ["a"]}, 0)
    with pytest.raises(InputError, match="nan"):
        run_lines_of({"q": {"a": float("nan")}})
    assert cut({"q": ["a", "b"]}, 1) == {"q": ["a"]}
