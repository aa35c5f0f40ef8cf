"""The declarations of benchmarks: splits, options, what is refused."""

from __future__ import annotations

from pathlib import Path

import benchmark_folders as made
import pytest

from limrank_evals import load_task
from limrank_evals.tasks import task_names
from limrank_evals.tasks.beir import BEIR_SETS, load_beir
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import instructions


def test_every_name_is_its_task():
    for name in task_names():
        assert load_task(name).name == name
    with pytest.raises(InputError, match="no benchmark 'glue'; there are: beir, bright"):
        load_task("glue")


def test_the_splits_asked_for_or_all():
    bright = load_task("bright")
    assert bright.choose_splits([], "x", {}) == list(bright.splits)
    assert bright.choose_splits(["pony", "aops"], "x", {}) == ["pony", "aops"]
    assert len(bright.choose_splits([], "x", {"long": True})) == 8
    with pytest.raises(InputError, match="no split 'x'; it has biology"):
        bright.choose_splits(["x"], "x", {})
    with pytest.raises(InputError, match="named twice"):
        bright.choose_splits(["pony", "pony"], "x", {})


def test_a_folders_splits_are_its_judgements(tmp_path: Path):
    task = load_task("folder")
    source = str(made.beir(tmp_path / "set"))
    (tmp_path / "set" / "qrels" / "dev.trec.gz").touch()
    assert task.choose_splits([], source, {}) == ["dev", "test"]
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "qrels.trec").touch()
    assert task.choose_splits([], str(tmp_path / "plain"), {}) == ["test"]


def test_brights_instructions_are_the_tasks_own_where_there_is_one(tmp_path: Path):
    made.bright(tmp_path, "pony", "biology")
    load = load_task("bright").load
    parts = [load(split, str(tmp_path), strict=False) for split in ("pony", "biology")]
    assert [part.instruction for part in parts] == ["bright/pony", "bright"]
    assert len({part.prompts for part in parts}) == 1, "one set, so that a mean over splits has a setting"


def test_every_instruction_of_beir_belongs_to_a_set():
    named = {name.removeprefix("beir/") for name in instructions() if name.startswith("beir/")}
    assert named <= set(BEIR_SETS)


def test_beirs_splits_are_judged_where_they_are_published(tmp_path: Path):
    folder = made.beir(tmp_path / "msmarco")
    with pytest.raises(InputError, match=r"holds none of qrels/dev\.tsv"):
        load_beir("msmarco", tmp_path, strict=False)
    (folder / "qrels" / "test.tsv").rename(folder / "qrels" / "dev.tsv")
    found = load_beir("msmarco", tmp_path, strict=False)
    assert (found.name, found.split, found.variant) == ("BEIR", "msmarco", "dev")
    with pytest.raises(InputError, match="3, but 6,980 were published"):
        load_beir("msmarco", tmp_path)
    with pytest.raises(InputError, match="no set 'robust04'"):
        load_beir("robust04", tmp_path)


def test_a_wording_that_lacks_a_query_is_refused(tmp_path: Path):
    made.bright(tmp_path, "pony")
    made.put(tmp_path, "gpt4_reason", "pony", [{"id": "1", "query": "thinking"}])
    with pytest.raises(InputError, match="no wording of query '2'"):
        load_task("bright").load("pony", str(tmp_path), strict=False, queries="gpt4_reason")
