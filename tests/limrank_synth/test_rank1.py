"""Rank1-style files: every layout reads alike, and what does not parse is named."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest
from synthetic_rows import rank1_record

from limrank_plugins.errors import InputError
from limrank_synth import rank1
from limrank_synth.pointwise_layout import completion, pointwise_prompt
from limrank_synth.rank1 import read_rank1
from limrank_synth.records import LabelledPassage, Rejection

RECORDS = [rank1_record(n, relevant=n % 2 == 0) for n in range(5)]


def written(folder: Path, name: str) -> Path:
    path = folder / name
    if name.endswith(".parquet"):
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(RECORDS), path)
        return path
    text = (
        json.dumps(RECORDS, indent=1) if "array" in name else "".join(f"{json.dumps(r)}\n" for r in RECORDS)
    )
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.jsonl.gz", "array.json", "array.json.gz", "lines.json", "a.parquet"]
)
def test_every_layout_reads_alike(tmp_path: Path, name: str) -> None:
    rows = list(read_rank1(str(written(tmp_path, name))))
    assert [row.query for row in rows if isinstance(row, LabelledPassage)] == [
        f"what is number {n}" for n in range(5)
    ]
    assert [row.relevant for row in rows if isinstance(row, LabelledPassage)] == [
        True,
        False,
        True,
        False,
        True,
    ]
    first = rows[0]
    assert isinstance(first, LabelledPassage)
    assert first.passage == "Number 0 is a number (true)."
    assert first.trace == "Okay, the query asks about 0. So it is true."
    assert first.sources[0].commercial is False


def test_a_row_is_the_text_the_file_trains_on(tmp_path: Path) -> None:
    row = next(iter(read_rank1(str(written(tmp_path, "a.jsonl")))))
    assert isinstance(row, LabelledPassage)
    record = RECORDS[0]
    trained = f"{record['instruction']}\n{record['input']}{record['output']}"
    assert trained == pointwise_prompt(row.query, row.passage) + completion(row.trace, row.relevant)


@pytest.mark.parametrize(
    "record",
    [
        {"instruction": rank1_record()["instruction"] + "\n" + rank1_record()["input"], "input": ""},
        {"input": rank1_record()["input"].removesuffix("\n")},
        {"input": rank1_record()["input"] + "<think>"},
    ],
)
def test_other_ways_to_cut_the_prompt_read_alike(tmp_path: Path, record: dict[str, str]) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(rank1_record() | record))
    row = next(iter(read_rank1(str(path))))
    assert isinstance(row, LabelledPassage)
    assert (row.query, row.passage) == ("what is number 0", "Number 0 is a number (true).")


BROKEN: dict[str, Any] = {
    "no object": 7,
    "no text": rank1_record() | {"output": None},
    "missing": {"instruction": "a", "output": "b"},
    "other wording": rank1_record(instruction="Is it relevant?"),
    "two passages": rank1_record(input="Query: a\nPassage: b\nPassage: c\n"),
    "empty query": rank1_record(input="Query:  \nPassage: b\n"),
    "no verdict": rank1_record(output="<think>a</think>"),
    "two thoughts": rank1_record(output="<think>a</think> true</think> false"),
}


def test_what_does_not_parse_is_counted_and_named_by_its_line(tmp_path: Path) -> None:
    lines = [json.dumps(record) for record in BROKEN.values()] + ["{not json", json.dumps(rank1_record())]
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(lines))
    found = list(read_rank1(str(path)))
    assert len(found) == len(lines)
    rejected = [one for one in found if isinstance(one, Rejection)]
    assert [one.item for one in rejected] == [f"mine.jsonl, line {n}" for n in range(1, len(lines))]
    assert all(one.reason and one.text for one in rejected)


def test_an_array_is_read_whatever_its_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "array.json")
    for block in (1, 2, 7, 64, 1000):
        monkeypatch.setattr(rank1, "_BLOCK", block)
        assert sum(isinstance(row, LabelledPassage) for row in read_rank1(str(path))) == 5
    whole = path.read_text()
    for _ in range(20):
        cut = random.Random(0).randrange(1, len(whole.rstrip()) - 1)
        path.write_text(whole[:cut])
        with pytest.raises(InputError, match="broken after item"):
            list(read_rank1(str(path)))
    path.write_text("[]")
    assert list(read_rank1(str(path))) == []


def test_the_hub_is_asked_through_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked: list[tuple[str, str]] = []

    def load_dataset(name: str, split: str) -> Any:
        asked.append((name, split))
        return datasets.Dataset.from_list(RECORDS)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert len(list(read_rank1("hub:jhu-clsp/rank1-training-data"))) == 5
    assert len(list(read_rank1("hub:other/set:dev"))) == 5
    assert asked == [("jhu-clsp/rank1-training-data", "train"), ("other/set", "dev")]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"text": "a"}]), tmp_path / "other.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"no")
    (tmp_path / "a.csv").write_text("a,b")
    for name, said in (
        ("none.jsonl", "there is no file"),
        ("other.parquet", "no column 'instruction'"),
        ("bad.parquet", "no parquet file"),
        ("a.csv", "are read from"),
    ):
        with pytest.raises(InputError, match=said):
            list(read_rank1(str(tmp_path / name)))
