"""mteb's predictions files: written as mteb reads them, read as mteb writes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limrank_evals.predictions import write_predictions
from limrank_evals.runs import RunLine, arranged, read_run_lines, run_lines_of
from limrank_plugins.errors import InputError

RUN = {"q1": {"a": 2.5, "b": 1.0}, "q2": {"c": -1.0}}


def test_what_is_written_is_read_again(tmp_path: Path):
    path = write_predictions(
        tmp_path / "new", "Tiny", {"default": {"test": run_lines_of(RUN)}}, model="bm25s"
    )
    assert path == tmp_path / "new" / "Tiny_predictions.json"
    assert json.loads(path.read_text()) == {
        "mteb_model_meta": {"model_name": "bm25s", "revision": "unknown"},
        "default": {"test": RUN},
    }
    assert read_run_lines(path) == read_run_lines(path, subset="default", split="test") == run_lines_of(RUN)


def test_a_split_of_several_is_named(tmp_path: Path):
    other = {"q9": {"z": 1.0}}
    runs = {
        "en": {"test": run_lines_of(RUN), "dev": run_lines_of(other)},
        "de": {"test": run_lines_of(other)},
    }
    path = write_predictions(tmp_path, "Tiny", runs, model="m", revision="r")
    assert read_run_lines(path, subset="en", split="test") == run_lines_of(RUN)
    assert read_run_lines(path, split="dev") == read_run_lines(path, subset="de") == run_lines_of(other)
    for named in ({}, {"subset": "en"}, {"split": "test"}, {"subset": "fr"}):
        with pytest.raises(InputError, match="holds en/test, en/dev, de/test: name the subset"):
            read_run_lines(path, **named)


RANKED = st.lists(
    st.tuples(st.integers(0, 2).map(float), st.integers(0, 9).map(float)), min_size=1, max_size=8
)


@given(RANKED)
def test_equal_scores_stand_in_the_order_of_their_ranks(tmp_path_factory: pytest.TempPathFactory, made):
    rows = {"q": [RunLine(f"d{i}", score, rank) for i, (score, rank) in enumerate(made)]}
    folder = tmp_path_factory.mktemp("predictions")
    path = write_predictions(folder, "Tiny", {"default": {"test": rows}}, model="m")
    held = json.loads(path.read_text())["default"]["test"]["q"]
    # As mteb's convert_to_reranking does: by score, and Python's sort is stable.
    theirs = sorted(held, key=lambda document: held[document], reverse=True)
    places = {document: (-score, rank) for document, score, rank in rows["q"]}
    assert [places[document] for document in theirs] == sorted(places.values())
    assert arranged(read_run_lines(path), "rank")["q"] == theirs


def test_bad_calls_and_files(tmp_path: Path):
    for runs in (
        {},
        {"default": {}},
        {"default": {"test": {}}},
        {"mteb_model_meta": {"x": run_lines_of(RUN)}},
    ):
        with pytest.raises(InputError, match="at least one run"):
            write_predictions(tmp_path, "Tiny", runs, model="m")
    plain = tmp_path / "score.json"
    plain.write_text(json.dumps(RUN))
    with pytest.raises(InputError, match="no predictions file of mteb 2"):
        read_run_lines(plain, split="test")
    trec = tmp_path / "x.run"
    trec.write_text("q Q0 a 1 1 x\n")
    with pytest.raises(InputError, match="no subsets and splits"):
        read_run_lines(trec, subset="default")
    empty = tmp_path / "Tiny_predictions.json"
    empty.write_text('{"mteb_model_meta": {}}')
    with pytest.raises(InputError, match="holds nothing"):
        read_run_lines(empty)
    empty.write_text('{"mteb_model_meta": {}, "default": {"test": {"q": {"a": NaN}}}}')
    with pytest.raises(InputError, match="is nan"):
        read_run_lines(empty)
    empty.write_text('{"mteb_model_meta": {}, "default": {"test": [1]}}')
    with pytest.raises(InputError, match="no score file"):
        read_run_lines(empty)
