"""TILDEv2's trainer: the index's score, a hand-written step, a loss that falls, and the real commands."""

from __future__ import annotations

import copy
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_encoders
import torch
from encoder_rows import BAD, GOOD, STEP, pairs, same_step, written
from limrank_command import run_limrank
from rounding import near, same_history, same_training, weights_of

from limrank_plugins import Reranker
from limrank_plugins.backends.tildev2 import TILDEv2, TILDEv2Index
from limrank_plugins.errors import InputError
from limrank_training.encoders import tildev2
from limrank_training.encoders.tildev2_module import cartesian
from limrank_training.plans import ContrastSettings, Plan
from limrank_training.training_run import train as run

torch.set_num_threads(1)


def plan(base: Path, **changes: Any) -> Plan:
    given: dict[str, Any] = {
        "objective": "tildev2", "recipe": "tildev2", "base": str(base), "lora": None, "optimiser": STEP,
        "contrast": ContrastSettings(group=3, query=16, passage=64), "precision": "float32", "dev": 0.0,
        "reasoning": False, "seed": 5,
    }  # fmt: skip
    return Plan("toy", **(given | changes))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny_encoders.encoder(tmp_path / "bert")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return written(tmp_path / "rows.jsonl", pairs())


def calm(model: Any) -> Any:
    """Without dropout, so that a step can be written by hand."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def test_the_trained_score_is_that_of_the_index(base: Path, rows: Path, tmp_path: Path):
    made = plan(base)
    data = tildev2.prepare(made, rows)
    model = tildev2.load(made, data.tokenizer)
    tildev2.train(model, data, made, tmp_path / "run")
    model.eval()
    held: TILDEv2 = model.held
    texts = [*GOOD.values(), *BAD, "milk milk milk", "the of in"]
    queries = [*GOOD, "milk milk acid", "the of in", "why ? [SEP] water"]
    index = TILDEv2Index.build(texts, held)
    size = max(len(held.terms.query(query)) for query in queries)
    tokens = [held.terms.query(query) for query in queries]
    numbers = torch.tensor([[*one, *[-1] * (size - len(one))] for one in tokens])
    some = 0.0
    for text in texts:
        (place,) = index.find([text])
        criterion = tildev2.TermCriterion(held, 2, {})
        one = tildev2.ContrastGroup((7,), (tuple(held.terms.tokens(text)),), (text,), frozenset(), "")
        batch = criterion.batch([one], 0)
        with torch.inference_mode():
            scores = criterion.logits(model, batch | {"queries": numbers})[:, 0]
        for query, score in zip(tokens, scores.tolist(), strict=True):
            (expected,) = index.rows.scores(query, [place])
            assert score == near(expected)
            some += score
    assert some > 0, "scores that are not all 0, or this shows nothing"


def test_repeated_words_count_and_padding_does_not(base: Path):
    weights = torch.tensor([[0.5, 2.0, 3.0, 9.0], [1.0, 0.0, 4.0, 0.25]])
    ids = torch.tensor([[11, 12, 12, 0], [12, 12, 11, 13]])
    queries = torch.tensor([[12, 12, 11], [13, -1, -1], [99, -1, -1]])
    expected = [[2 * 3.0 + 0.5, 2 * 1.0 + 4.0], [0.0, 0.25], [0.0, 0.0]]
    assert cartesian(weights, ids, queries).tolist() == expected


def test_one_step_is_the_hand_written_one(base: Path, rows: Path, tmp_path: Path):
    made = plan(base)
    data = tildev2.prepare(made, rows)
    model = calm(tildev2.load(made, data.tokenizer))
    by_hand = copy.deepcopy(model.module)
    tildev2.train(model, data, made, tmp_path / "run")
    optimiser = torch.optim.AdamW(by_hand.parameters(), lr=1e-2, weight_decay=0.0)
    terms = model.held.terms
    examples = data.examples
    assert len(examples) == 4
    costs = []
    documents = [text for one in examples for text in one.texts]
    for i, one in enumerate(examples):
        scores = []
        for j, text in enumerate(documents):
            if j != 3 * i and text in one.known:
                continue
            ids = data.tokenizer(text)["input_ids"]
            hidden = by_hand["bert"](torch.tensor([ids])).last_hidden_state
            weights = by_hand["tok_proj"](hidden)[0, :, 0].relu()
            total = torch.zeros(())
            for token in terms.query(list(GOOD)[i]):
                places = [k for k, t in enumerate(ids) if t == token]
                if places:
                    total = total + weights[places].max()
            scores.append((j == 3 * i, total))
        value = torch.stack([score for _, score in scores])
        right = [own for own, _ in scores].index(True)
        costs.append(-torch.log_softmax(value, dim=0)[right])
    torch.stack(costs).mean().backward()
    optimiser.step()
    assert same_step(model.module, by_hand) > 1000


def test_what_also_answers_is_no_negative(base: Path, tmp_path: Path):
    both = [
        {"query": "why milk", "passage": "acid curdles milk", "label": 1},
        {"query": "why milk", "passage": "proteins clump in milk", "label": 1},
        {"query": "why bread", "passage": "bread rises", "label": 1},
    ] + [{"query": "why bread", "passage": text, "label": 0} for text in BAD]
    made = plan(base, optimiser=replace(STEP, batch=3, part=3))
    data = tildev2.prepare(made, written(tmp_path / "both.jsonl", both))
    model = tildev2.load(made, data.tokenizer).eval()
    criterion = tildev2.TermCriterion(model.held, 3, {})
    batch = criterion.batch(data.examples, 0)
    logits = torch.zeros(3, 9, dtype=torch.float64)
    # Queries 0 and 1 are the same: each has the other's positive masked.
    expected = 2 * torch.tensor(8.0).log() + torch.tensor(9.0).log()
    assert criterion.total(logits, batch).item() == near(expected.item())
    drawn = [text for one in data.examples for text in one.texts[1:] if one.where == data.examples[0].where]
    assert not set(drawn) & {"acid curdles milk", "proteins clump in milk"}


def test_resuming_gives_the_weights_of_an_uninterrupted_run(base: Path, rows: Path, tmp_path: Path):
    from transformers import TrainerCallback

    class Killed(Exception):
        pass

    class Kill(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            if state.global_step == 3:
                raise Killed

    made = plan(base, optimiser=replace(STEP, steps=None, epochs=2, batch=2, part=2, rate=1e-3))
    data = tildev2.prepare(made, rows)
    whole = tildev2.train(tildev2.load(made, None), data, made, tmp_path / "whole")
    with pytest.raises(Killed):
        tildev2.train(tildev2.load(made, None), data, made, tmp_path / "killed", callbacks=[Kill()])
    again = tildev2.train(tildev2.load(made, None), data, made, tmp_path / "killed", resume=True)
    assert whole.steps == again.steps == 4
    same_training(weights_of(whole.model), weights_of(again.model), 1e-3)
    same_history(whole.history, again.history)


def test_it_learns_and_the_real_commands_read_it(base: Path, rows: Path, tmp_path: Path):
    made = plan(base, optimiser=replace(STEP, steps=40, rate=2e-3))
    data = tildev2.prepare(made, rows)
    trained = run(made, data, tmp_path / "run", log_every=1)
    losses = [entry["loss"] for entry in trained.history if "loss" in entry]
    assert losses[-1] < 0.5 * losses[0]
    texts = [{"_id": str(i), "text": text} for i, text in enumerate([*BAD, *GOOD.values()])]
    corpus = written(tmp_path / "corpus.jsonl", texts)
    final = tmp_path / "run" / "final"
    env = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "LIMRANK_CACHE": str(tmp_path / "c")}

    def limrank(*arguments: object) -> str:
        done = run_limrank(arguments, cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    built = json.loads(limrank("expand", corpus, "-o", tmp_path / "index", "--model", final, "--json"))
    assert built["documents"] == 8
    query = "why does milk curdle"
    asked = written(tmp_path / "queries.jsonl", [{"_id": "q", "text": query}])
    ways = ("--recipe", "tildev2", "--model", final, "--option", f"index={tmp_path / 'index'}")
    limrank("rerank", *ways, "--queries", asked, "--corpus", corpus, "--output", "run.trec")
    found = [line.split()[2] for line in (tmp_path / "run.trec").read_text().splitlines()]
    live = Reranker.from_pretrained(str(final), device="cpu").rank(query, [*BAD, *GOOD.values()])
    assert live.ids[0] == "4"
    assert found == [one for one in live.ids if one in found]
    assert found[0] == "4"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"query": "the of", "passage": "milk", "label": 1}], "line 1: no token of the query counts"),
        ([{"query": "milk", "passage": "milk", "label": 1}], "line 1: contrast.group=3 needs 2"),
    ],
)
def test_what_cannot_be_learned_is_said(base: Path, tmp_path: Path, rows: list[Any], said: str):
    with pytest.raises(InputError, match=said):
        tildev2.prepare(plan(base), written(tmp_path / "bad.jsonl", rows))
