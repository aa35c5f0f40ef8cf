"""Files of a repository by name, and benchmarks that come with lists."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
from benchmark_layouts import put_table, put_text

from limrank_evals.loaders.benchmark import Benchmark
from limrank_evals.loaders.dataset_rows import file_rows
from limrank_evals.loaders.repository import repository_file
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import BackendError, InputError


def test_a_folder_has_the_first_of_the_names_that_is_there(tmp_path: Path):
    put_text(tmp_path / "b.txt", "b")
    assert repository_file(tmp_path, "a.txt", "b.txt") == tmp_path / "b.txt"
    put_text(tmp_path / "a.txt.gz", "a")
    assert repository_file(tmp_path, "a.txt", "b.txt") == tmp_path / "a.txt.gz"
    with pytest.raises(InputError, match=r"holds none of c\.txt, d\.txt \(or \.gz\)"):
        repository_file(tmp_path, "c.txt", "d.txt")


def test_the_hub_is_asked_for_the_first_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[tuple[object, ...]] = []

    def download(repository: str, name: str, *, repo_type: str) -> str:
        asked.append((repository, name, repo_type))
        return str(tmp_path / "cached")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert repository_file("some/set", "x/a.json", "b.json") == tmp_path / "cached"
    assert asked == [("some/set", "x/a.json", "dataset")]
    monkeypatch.undo()
    with pytest.raises(
        BackendError, match=r"a\.json of some/set cannot be read .*hf auth login.*give a folder"
    ):
        repository_file("some/set", "a.json")


def test_some_columns_of_a_table(tmp_path: Path):
    table = put_table(tmp_path / "x.parquet", [{"a": i, "b": str(i), "c": 0.5} for i in range(5)])
    assert list(file_rows(table, ["b", "a"], at_once=2)) == [{"a": i, "b": str(i)} for i in range(5)]
    assert next(file_rows(table)) == {"a": 0, "b": "0", "c": 0.5}
    with pytest.raises(InputError, match=r"x\.parquet has no column 'd'; it has a, b, c"):
        list(file_rows(table, ["a", "d"]))


def test_lists_belong_to_their_benchmark():
    benchmark = Benchmark("x", "test", (Query("q", "1"),), (Document("d", "a"),), {"1": {"a": 1}})
    assert benchmark.are_ranked
    assert replace(benchmark, candidates={"1": ["a"]}, are_ranked=False).candidates == {"1": ["a"]}
    with pytest.raises(InputError, match="x test: '2' has a list of candidates, but is no query"):
        replace(benchmark, candidates={"2": ["a"]})
    with pytest.raises(
        InputError, match=r"x test: 2 documents listed for query '1' are not in the corpus, .*'b'"
    ):
        replace(benchmark, candidates={"1": ["a", "b", "c"]})
