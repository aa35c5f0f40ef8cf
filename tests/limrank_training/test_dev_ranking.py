"""nDCG in training: of the live model, logged as it goes; early stopping, the best kept, the warning."""

from __future__ import annotations

import json
import random
import warnings
from dataclasses import replace
from math import log2
from pathlib import Path
from typing import Any

import chats
import pytest
import tiny
import torch

from limrank_plugins import Reranker
from limrank_plugins.errors import InputError
from limrank_training import dev_ranking
from limrank_training.adapters import with_adapters
from limrank_training.benchmarks import named_benchmark
from limrank_training.curves import draw_curves
from limrank_training.dev_ranking import MEASURE, best_step, dev_queries, rank_live, watcher
from limrank_training.history import append, read_history, rewind
from limrank_training.plans import Plan
from limrank_training.plans.shared_settings import LoraSettings, OptimiserSettings, WatchSettings
from limrank_training.training_data import prepare
from limrank_training.training_run import train

torch.set_num_threads(1)
WORDS = ["milk", "acid", "bread", "light", "rivers", "iron", "yeast", "gas"]


def written(folder: Path, name: str = "rows.jsonl", **more: str) -> Path:
    rows = [
        {
            "query": f"why {word}",
            "passage": f"{other} it is",
            "trace": "So.",
            "relevant": word == other,
            **more,
        }
        for word in WORDS
        for other in random.Random(word).sample(WORDS, len(WORDS))
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / name


def plan_for(base: Path, **watch: object) -> Plan:
    return Plan(
        "watched",
        base=str(base),
        reasoning=False,
        lora=LoraSettings(r=4, alpha=8),
        optimiser=OptimiserSettings(rate=2e-2, schedule="constant", warmup=0.0, epochs=4, batch=8, part=8),
        precision="float32",
        cutoff=300,
        dev=0.4,
        watch=WatchSettings(**watch),
    )


def test_kept_out_queries_are_whole_and_never_learned_from(tmp_path: Path):
    rows, plan = written(tmp_path), plan_for(tiny.build(tmp_path / "base"))
    found = dev_queries(plan, rows)
    assert 1 <= len(found) < len(WORDS)
    for one in found:
        assert sum(one.grades) == 1
        assert one.documents[one.grades.index(1.0)].text == f"{one.query.text.split()[1]} it is"
    data = prepare(plan, rows)
    assert len(data.examples) == (len(WORDS) - len(found)) * len(WORDS)
    assert len(dev_queries(replace(plan, watch=WatchSettings(queries=1)), rows)) == 1
    with pytest.raises(InputError, match="raise dev"):
        dev_queries(replace(plan, dev=1e-9), rows)


def test_a_base_that_can_chat_is_ranked_with_the_prompt_it_learns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rows, plan = written(tmp_path), plan_for(chats.build(tmp_path / "base"))
    asked_with: list[str] = []

    class Seen(Reranker):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            asked_with.append(self.template.name if self.template else "")

    monkeypatch.setattr(dev_ranking, "Reranker", Seen)
    tokens = chats.tokenizer()
    rank_live(with_adapters(tiny.model(tokens=tokens), plan), tokens, plan, dev_queries(plan, rows))
    assert asked_with == ["limrank"]


def test_the_live_model_is_ranked_with_and_left_as_it_was(tmp_path: Path):
    rows, plan = written(tmp_path), plan_for(tiny.build(tmp_path / "base"))
    queries = dev_queries(plan, rows)
    model = with_adapters(tiny.model(), plan)
    model.train()
    model.get_base_model().lm_head.eval()
    modes = {name: module.training for name, module in model.named_modules()}
    drawn = torch.random.get_rng_state()
    value = rank_live(model, tiny.tokenizer(), plan, queries)
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert torch.equal(drawn, torch.random.get_rng_state())
    loaded = Reranker("limrank", model=plan.base, reasoning="none", device="cpu")
    expected = []
    for one in queries:
        ranking = loaded.rank(one.query, list(one.documents))
        place = [float(one.grades[int(name)]) for name in ranking.ids].index(1.0)
        expected.append(1 / log2(place + 2))
    assert value == pytest.approx(sum(expected) / len(expected), abs=1e-9)


def test_a_run_logs_ndcg_and_exports_its_best_checkpoint(tmp_path: Path):
    rows, plan = written(tmp_path), plan_for(tiny.build(tmp_path / "base"))
    queries = dev_queries(plan, rows)
    trained = train(plan, prepare(plan, rows), tmp_path / "run", watched=queries)
    entries = read_history(tmp_path / "run" / "history.jsonl")
    values = {int(entry["step"]): entry[MEASURE] for entry in entries if MEASURE in entry}
    steps = {int(p.name.split("-")[1]) for p in (tmp_path / "run/checkpoints").iterdir()}
    assert set(values) == steps
    report = json.loads((tmp_path / "run/report.json").read_text())["metrics"]
    best = max(values.values())
    assert report["best_step"] == min(step for step, value in values.items() if value == best)
    # What is exported ranks as the best checkpoint did.
    exported = Reranker.from_pretrained(str(tmp_path / "run/final"), device="cpu")
    places = []
    for one in queries:
        ranking = exported.rank(one.query, list(one.documents))
        places.append([one.grades[int(name)] for name in ranking.ids].index(1.0))
    assert sum(1 / log2(p + 2) for p in places) / len(places) == pytest.approx(best, abs=1e-9)
    assert trained.steps == max(steps)
    page = (tmp_path / "run/curves.html").read_text()
    assert "nDCG@10" in page
    assert (tmp_path / "run/curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_that_gets_no_better_stops_and_stays_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rows, plan = written(tmp_path), plan_for(tiny.build(tmp_path / "base"), patience=2)
    values = iter([0.5, 0.7, 0.7, 0.6, 0.9])
    monkeypatch.setattr("limrank_training.dev_ranking.rank_live", lambda *_: next(values))
    data = prepare(plan, rows)
    every = -(-len(data.examples) // 8)
    plan = replace(plan, optimiser=replace(plan.optimiser, epochs=6))
    trained = train(plan, data, tmp_path / "run", watched=dev_queries(plan, rows))
    assert trained.steps == 4 * every
    assert best_step(tmp_path / "run") == (2 * every, 0.7)


def test_spread_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(InputError, match="spread over processes"):
        watcher(plan_for(tmp_path), None, [], tmp_path).on_train_begin(None, None, None)


@pytest.mark.parametrize(
    ("path", "ids", "name"),
    [
        ("data/bright/biology.jsonl", [], "BRIGHT"),
        ("data/dev.jsonl", ["q1", "beir-7"], "BEIR"),
        ("data/trec-dl19.jsonl", [], "TREC Deep Learning 2019"),
        ("trec_covid.jsonl", [], "BEIR's TREC-COVID"),
        ("/home/bright/a/b/c/rows.jsonl", [], None),
        ("brightness.jsonl", ["beirut-1"], None),
    ],
)
def test_benchmarks_are_known_by_whole_words(path: str, ids: list[str], name: str | None):
    assert named_benchmark(path, ids) == name


def test_a_file_named_like_a_benchmark_is_warned_about(tmp_path: Path):
    base = tiny.build(tmp_path / "base")
    with pytest.warns(UserWarning, match="BRIGHT.*Rank1"):
        dev_queries(plan_for(base), written(tmp_path / "bright"))
    with pytest.warns(UserWarning, match="TREC Deep Learning 2020"):
        dev_queries(plan_for(base), written(tmp_path / "ids", id="dl20-3"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dev_queries(plan_for(base), written(tmp_path / "plain"))


def test_a_history_outlives_a_kill(tmp_path: Path):
    file = tmp_path / "history.jsonl"
    for step in (1, 2, 3):
        append(file, {"step": step, "loss": 1 / step})
    with file.open("ab") as out:
        out.write(b'{"step": 4, "lo')
    assert [entry["step"] for entry in read_history(file)] == [1, 2, 3]
    rewind(file, 2)
    append(file, {"step": 3, "loss": 0.25})
    assert [entry["step"] for entry in read_history(file)] == [1, 2, 3]
    assert draw_curves(tmp_path, "<b>run</b>")
    assert "<b>" not in (tmp_path / "curves.html").read_text()
    assert draw_curves(tmp_path / "none", "nothing") == []
