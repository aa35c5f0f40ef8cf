"""Seeds and personas from files and from datasets of the hub (in memory), and what is wrong with them."""

from __future__ import annotations

import gzip
import random
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pytest

from limrank_plugins.errors import InputError
from limrank_synth.records import Seed, Source
from limrank_synth.stages import personas as reading
from limrank_synth.stages.personas import PERSONA_HUB, read_personas, sample, shipped_personas
from limrank_synth.stages.seeds import MS_MARCO, drawn, read_seeds


def put(path: Path, text: str) -> str:
    path.write_text(text, "utf-8")
    return str(path)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    rows: dict[str, Any] = {}

    def load(name: str, config: str | None = None, *, split: str, **more: Any) -> datasets.Dataset:
        if name not in rows:
            raise FileNotFoundError(f"no dataset {name}")
        return datasets.Dataset.from_list(rows[name])

    monkeypatch.setattr(datasets, "load_dataset", load)
    return rows


def test_seeds_of_files(tmp_path: Path):
    tsv = put(tmp_path / "q.tsv", "1\twhat is\x85yeast\n2\ta\ttab\n")
    assert [(one.id, one.text) for one in read_seeds(tsv)] == [("1", "what is\x85yeast"), ("2", "a\ttab")]
    assert read_seeds(tsv)[0].source == Source("q.tsv")
    assert read_seeds(tsv, source=MS_MARCO)[0].source.commercial is False
    jsonl = put(tmp_path / "q.jsonl", '{"_id": "a", "text": "x"}\n')
    assert read_seeds(jsonl) == [Seed("a", "x", Source("q.jsonl"))]
    with gzip.open(tmp_path / "z.tsv.gz", "wt") as stream:
        stream.write("1\twhat\n")
    assert len(read_seeds(str(tmp_path / "z.tsv.gz"))) == 1


@pytest.mark.parametrize("text", ["", "no tab\n", "1\t\n", "1\ta\n1\tb\n"])
def test_seeds_that_are_none(tmp_path: Path, text: str):
    with pytest.raises(InputError, match=r"q\.tsv"):
        read_seeds(put(tmp_path / "q.tsv", text))


def test_seeds_of_the_hub(hub: dict[str, Any]):
    hub["org/queries"] = [{"query": "one", "_id": 7}, {"query": "two", "_id": 9}]
    assert [(one.id, one.text) for one in read_seeds("hub:org/queries:dev")] == [("7", "one"), ("9", "two")]
    with pytest.raises(InputError, match="no column 'text'; there are"):
        read_seeds("hub:org/queries", column="text")
    with pytest.raises(InputError, match="dataset 'org/none' cannot be had"):
        read_seeds("hub:org/none")
    hub["org/holes"] = [{"query": "x"}, {"query": None}]
    with pytest.raises(InputError, match="row 1: 'query' is not a text"):
        read_seeds("hub:org/holes")


def test_drawn_seeds():
    seeds = [Seed(str(i), "x", Source("t")) for i in range(50)]
    assert drawn(seeds, None, 0) == seeds
    chosen = drawn(seeds, 20, 3)
    assert chosen == drawn(seeds, 20, 3) == sorted(chosen, key=lambda one: int(one.id))
    assert len({one.id for one in chosen}) == 20
    assert chosen != drawn(seeds, 20, 4)
    for count in (0, 51):
        with pytest.raises(InputError, match="seeds are wanted"):
            drawn(seeds, count, 0)


def test_shipped_personas():
    people = shipped_personas()
    assert len(people) >= 60
    assert len({one.text for one in people}) == len({one.id for one in people}) == len(people)
    assert all(one.source.commercial and len(one.text.split()) >= 6 for one in people)
    assert read_personas() == list(people)


def test_personas_of_files(tmp_path: Path, hub: dict[str, Any]):
    text = put(tmp_path / "p.txt", "a baker\n\n a judge \n")
    assert [one.text for one in read_personas(text)] == ["a baker", "a judge"]
    lines = put(tmp_path / "persona-hub.jsonl", '{"persona": "a baker"}\n')
    assert read_personas(lines)[0].source == PERSONA_HUB
    hub["proj-persona/PersonaHub"] = [{"persona": "a cook"}]
    assert read_personas("hub:proj-persona/PersonaHub:persona")[0].source == PERSONA_HUB
    hub["org/people"] = [{"name": "x"}]
    with pytest.raises(InputError, match="no column 'persona'"):
        read_personas("hub:org/people")
    for name, content in (
        ("a.jsonl", "x\n"),
        ("b.jsonl", '{"persona": 3}\n'),
        ("c.jsonl", "[1]\n"),
        ("d.txt", ""),
    ):
        with pytest.raises(InputError, match=name):
            read_personas(put(tmp_path / name, content))


def test_every_persona_is_equally_likely():
    people, rng = list(shipped_personas())[:6], random.Random(0)
    counts = Counter(sample(people, rng).id for _ in range(6000))
    assert len(counts) == 6
    assert all(850 < number < 1150 for number in counts.values())
    assert reading.OURS.commercial
