"""Raw traces are learned without their tags and verdict, or refused: never a second `</think>`."""

from __future__ import annotations

import json
from pathlib import Path

import chats
import pytest
import tiny

from limrank_plugins.errors import InputError
from limrank_training.data.passage_groups import Passage, PassageGroup
from limrank_training.data.passage_rows import read_passage_rows
from limrank_training.data.traces import group_trace, passage_trace
from limrank_training.plans import Plan
from limrank_training.training_data import prepare

ROW = {"query": "why does milk curdle", "passage": "acid curdles milk", "relevant": True}


@pytest.mark.parametrize(
    "trace",
    [
        "<think>\nIt names the cause.\n</think>\ntrue",
        "<think>It names the cause.</think>",
        "It names the cause.\n</think> True.",
        "< THINK > It names the cause. </ think > <answer>true</answer>",
    ],
)
def test_raw_output_is_learned_without_tags_and_verdict(trace: str):
    assert passage_trace(trace, True, "here") == ("It names the cause.", True)


@pytest.mark.parametrize(
    ("trace", "message"),
    [
        ("a </think> b", "says 'b', which is not the verdict true"),
        ("Not this. </think> false", "says 'false'"),
        ("<think>Cut off", "holds '<think>'"),
        ("a <think> b </think> true", "holds '<think>'"),
        ("<think>a</think> true </think> true", "holds '<think>'"),
        ("a </think> b </think> true", "holds '</think>'"),
        ("<think> </think> true", "no reasoning"),
        ("</think> true", "no reasoning"),
    ],
)
def test_any_other_tag_is_refused(trace: str, message: str):
    with pytest.raises(InputError, match=f"rows.jsonl, line 3: .*{message}"):
        passage_trace(trace, True, "rows.jsonl, line 3")


def test_other_tags_and_plain_traces_stay():
    for trace in ("It says true.", "An <answer> is there.", "Thinking of it."):
        assert passage_trace(trace, False, "here") == (trace, False)


def test_rows_are_repaired_and_counted(tmp_path: Path):
    rows = [{**ROW, "trace": "<think>It names the cause.</think> true"}, {**ROW, "trace": "It does."}]
    file = _file(tmp_path, rows)
    assert [(row.trace, row.repaired) for row in read_passage_rows(file)] == [
        ("It names the cause.", True),
        ("It does.", False),
    ]
    data = prepare(Plan("t", recipe="limrank", dev=0.0), file, tiny.tokenizer())
    assert data.report["train"]["traces_repaired"] == 1
    learned = data.layout.encoder.decode(list(data.examples[0].ids[data.examples[0].learned :]))
    assert learned == "\nIt names the cause.\n</think> true"
    # What is not learned is nobody's business.
    unread = list(read_passage_rows(_file(tmp_path, [{**ROW, "trace": "a </think> b"}]), traces=False))
    assert unread[0].trace == "a </think> b"


def test_a_stray_tag_refuses_the_file(tmp_path: Path):
    file = _file(tmp_path, [{**ROW, "trace": "It does."}, {**ROW, "trace": "a </think> b"}])
    with pytest.raises(InputError, match=r"rows\.jsonl, line 2: behind '</think>'"):
        prepare(Plan("t", recipe="limrank", dev=0.0), file, tiny.tokenizer())


def _group(trace: str) -> PassageGroup:
    passages = tuple(Passage(text) for text in ("a", "b", "c"))
    return PassageGroup("q", passages, (1, 2, 0), trace=trace, where="rows.jsonl, line 1")


@pytest.mark.parametrize("answer", ["", " <answer>[2]</answer>", " [2] > [3] > [1]"])
def test_groups_are_read_alike(answer: str):
    assert group_trace(_group(f"<think>[2] says it.</think>{answer}")) == ("[2] says it.", True)
    assert group_trace(_group("[2] says it.")) == ("[2] says it.", False)


@pytest.mark.parametrize(
    "trace", ["a </think> b", "<think>a</think> [1]", "<think>a</think> [2] > [1] > [3]"]
)
def test_groups_with_other_answers_are_refused(trace: str):
    with pytest.raises(InputError, match=r"rows\.jsonl, line 1: behind '</think>'"):
        group_trace(_group(trace))


def test_groups_are_repaired_and_counted(tmp_path: Path):
    passages = [{"text": text, "relevance": int(i == 1)} for i, text in enumerate(chats.TEXTS)]
    row = {
        "query": "why milk",
        "passages": passages,
        "trace": "<think>[2] says it.</think> <answer>[2]</answer>",
    }
    plan = Plan("t", objective="setwise-sft", recipe="rank-r1", reasoning=True, tokens=(), dev=0.0)
    data = prepare(plan, _file(tmp_path, [row]), chats.tokenizer())
    assert data.report["train"]["traces_repaired"] == 1
    learned = data.layout.encoder.decode(list(data.examples[0].ids[data.examples[0].learned :]))
    assert learned.count("think>") == 2
    assert "[2] says it." in learned


def _file(folder: Path, rows: list[dict[str, object]]) -> Path:
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file
