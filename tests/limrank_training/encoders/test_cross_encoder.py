"""Cross-encoders: eight pairs are learned by heart, splits by query, no positive among negatives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_encoders
import torch
from encoder_rows import BAD, GOOD, STEP, pairs, same_step, written
from rounding import same_history, same_training, weights_of

from limrank_plugins import Reranker
from limrank_plugins.backends.local.encoder_inputs import PairEncoder
from limrank_plugins.errors import BackendError, InputError
from limrank_training.encoders import cross_encoder
from limrank_training.plans import PairSettings, Plan
from limrank_training.training_run import train as run

torch.set_num_threads(1)


def plan(base: Path, **changes: Any) -> Plan:
    given: dict[str, Any] = {
        "objective": "cross-encoder", "recipe": "cross-encoder", "base": str(base), "lora": None,
        "optimiser": STEP, "pairs": PairSettings(negatives=1), "precision": "float32", "dev": 0.0,
        "reasoning": False, "cutoff": 64, "seed": 5,
    }  # fmt: skip
    return Plan("toy", **(given | changes))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny_encoders.encoder(tmp_path / "bert")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return written(tmp_path / "rows.jsonl", pairs())


def test_eight_pairs_are_learned_by_heart_and_the_recipe_reads_the_model(
    base: Path, rows: Path, tmp_path: Path
):
    made = plan(base, optimiser=replace(STEP, steps=200, batch=8, part=8, rate=2e-3))
    data = cross_encoder.prepare(made, rows)
    assert len(data.examples) == 8
    assert (data.report["train"]["positives"], data.report["train"]["negatives"]) == (4, 4)
    trained = run(made, data, tmp_path / "run", log_every=1)
    losses = [entry["loss"] for entry in trained.history if "loss" in entry]
    assert sum(losses[-10:]) < 0.1 * sum(losses[:10])  # dropout makes single ones jump
    reranker = Reranker.from_pretrained(str(tmp_path / "run" / "final"), device="cpu")
    assert reranker.recipe.name == "cross-encoder"
    for query, answer in GOOD.items():
        own = [one.passage for one in data.examples if one.query == query and not one.label]
        assert reranker.rank(query, [*own, answer]).ids[0] == "1"


def test_one_step_is_the_hand_written_one(base: Path, rows: Path, tmp_path: Path):
    made = plan(base, optimiser=replace(STEP, batch=8, part=4))
    data = cross_encoder.prepare(made, rows)
    models = [cross_encoder.load(made, None) for _ in range(2)]
    for model in models:
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    cross_encoder.train(models[0], data, made, tmp_path / "run")
    optimiser = torch.optim.AdamW(models[1].parameters(), lr=1e-2, weight_decay=0.0)
    encoder = PairEncoder(models[1].tokenizer)
    costs = []
    for one in data.examples:
        row = encoder.pair(encoder.ids(one.query), encoder.ids(one.passage), 64)
        assert row is not None
        z = (
            models[1]
            .model(input_ids=torch.tensor([row.ids]), token_type_ids=torch.tensor([row.types]))
            .logits[0, 0]
        )
        costs.append(-torch.nn.functional.logsigmoid(z if one.label else -z))
    torch.stack(costs).mean().backward()
    optimiser.step()
    assert same_step(models[0], models[1]) > 1000


def test_markers_in_a_passage_are_text_as_at_inference(base: Path):
    model = cross_encoder.load(plan(base), None)
    passage = "milk [SEP] acid [PAD] tea"
    found = model.preprocess([("why milk", passage)])["input_ids"][0].tolist()
    encoder = PairEncoder(model.tokenizer)
    row = encoder.pair(encoder.ids("why milk"), encoder.ids(passage), 64)
    assert row is not None
    assert found == row.ids


def test_queries_are_split_whole_and_no_positive_is_a_negative(base: Path, tmp_path: Path):
    rows = [
        {"query": f"milk {i}", "passage": f"answer {i % 7} {j}", "label": 1.0}
        for i in range(60)
        for j in range(2)
    ]
    made = plan(base, dev=0.4, pairs=PairSettings(negatives=4))
    data = cross_encoder.prepare(made, written(tmp_path / "many.jsonl", rows))
    known = {(row["query"], row["passage"]) for row in rows}
    queries = [{one.query for one in split} for split in (data.examples, data.dev)]
    assert not queries[0] & queries[1]
    assert all(queries)
    for split in (data.examples, data.dev):
        for one in split:
            assert ((one.query, one.passage) in known) == bool(one.label)
        assert sum(one.label for one in split) * 4 == sum(not one.label for one in split)
        assert len({(one.query, one.passage) for one in split}) == len(split)
    again = cross_encoder.prepare(made, written(tmp_path / "again.jsonl", rows))
    assert again.examples == [replace(one, where=one.where) for one in again.examples]
    assert [(e.query, e.passage) for e in again.examples] == [(e.query, e.passage) for e in data.examples]


def test_texts_are_cut_by_tokens(base: Path, tmp_path: Path):
    rows = [
        {"query": "why does milk curdle in tea", "passage": "acid curdles milk", "label": 1},
        {"query": "why does milk curdle in tea", "passage": "tea, milk and cheese", "label": 0},
    ]
    made = plan(base, pairs=PairSettings(negatives=1, query=3, passage=4))
    data = cross_encoder.prepare(made, written(tmp_path / "rows.jsonl", rows))
    assert {one.query for one in data.examples} == {"why does milk"}
    assert data.examples[1].passage == "tea, milk and"
    assert data.report["train"]["cut"] >= 1


def test_resuming_gives_the_weights_of_an_uninterrupted_run(base: Path, rows: Path, tmp_path: Path):
    from transformers import TrainerCallback

    class Killed(Exception):
        pass

    class Kill(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            if state.global_step == 6:
                raise Killed

    made = plan(base, optimiser=replace(STEP, steps=None, epochs=4, batch=4, part=2, rate=1e-3))
    data = cross_encoder.prepare(made, rows)
    whole = run(made, data, tmp_path / "whole")
    with pytest.raises(Killed):
        run(made, data, tmp_path / "killed", callbacks=[Kill()])
    again = run(made, data, tmp_path / "killed")
    assert whole.steps == again.steps == 8
    same_training(weights_of(whole.model), weights_of(again.model), 1e-3)
    same_history(whole.history, again.history)


def test_a_loss_that_is_no_number_stops(base: Path, rows: Path, tmp_path: Path):
    made = plan(base)
    model = cross_encoder.load(made, None)
    with torch.no_grad():
        model.model.classifier.weight.fill_(float("nan"))
    with pytest.raises(BackendError, match="step 1 is nan, for: "):
        cross_encoder.train(model, cross_encoder.prepare(made, rows), made, tmp_path)


def test_a_query_without_any_negative_is_named(base: Path, tmp_path: Path):
    rows = [{"query": "why", "passage": BAD[0], "label": 1}]
    with pytest.raises(InputError, match="line 1: there is no passage that does not answer"):
        cross_encoder.prepare(plan(base), written(tmp_path / "rows.jsonl", rows))
