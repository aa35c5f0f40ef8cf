"""RefRank: every document against one reference, by brute force on a tiny model and by rule."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import chats
import pytest
import tiny
import torch
from scripts import full_backend, passages_of, unit

from limrank_plugins import Document, Reranker, ScriptedFailure, load_recipe
from limrank_plugins.backends.protocols import LabelReading
from limrank_plugins.backends.transformers import TransformersBackend
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import load_template
from limrank_plugins.segments import Prompt

QUERY = "why does milk curdle?"
PASSAGES = [
    "acid curdles milk",
    "bread rises when yeast makes gas",
    "rivers carve valleys",
    "",
    "light bends",
]


@pytest.mark.parametrize("orders", [1, 2])
@pytest.mark.parametrize("reference", [1, 3, 99])
def test_the_scores_are_those_of_full_forward_passes(
    orders: int, reference: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny, "CORPUS", [*tiny.CORPUS, *[": A B"] * 50])
    tokens = tiny.qwen_tokenizer()
    tokens.chat_template = chats.CHAT
    place = tiny.build(tmp_path / "model", tokens=tokens, max_position_embeddings=2048)
    model = tiny.model(tokens=tokens, max_position_embeddings=2048)
    letters = [tokens(f" {letter}", add_special_tokens=False)["input_ids"] for letter in "AB"]
    assert [len(letter) for letter in letters] == [1, 1]
    template = load_template("pairwise")

    def lead(first: str, second: str) -> float:
        """The logit of the first passage's letter less that of the second's."""
        rendered = template.render(QUERY, [first, second], labels=("[A]", "[B]"))
        text = tokens.apply_chat_template(
            [{"role": "user", "content": rendered.text.removesuffix(template.prefill)}],
            tokenize=False,
            add_generation_prompt=True,
        )
        ids = tokens(text + template.prefill, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            last = model(torch.tensor([ids]), use_cache=False).logits[0, -1].double()
        return float(last[letters[0][0]] - last[letters[1][0]])

    against = PASSAGES[min(reference, len(PASSAGES)) - 1]
    expected = {}
    for i, passage in enumerate(PASSAGES):
        d = lead(passage, against)
        if orders == 2:
            d = (d - lead(against, passage)) / 2
        expected[i] = 0.5 if passage == against else 1 / (1 + math.exp(-d))
    made = Reranker(f"refrank:reference={reference},orders={orders}", backend=TransformersBackend(str(place)))
    ranking = made.rank(QUERY, PASSAGES)
    found = {hit.index: hit.score for hit in ranking}
    assert [found[i] for i in expected] == pytest.approx(list(expected.values()), abs=1e-5)
    assert max(expected.values()) - min(expected.values()) > 1e-3, "the model does tell them apart"
    assert [hit.score for hit in ranking] == sorted(found.values(), reverse=True)
    assert ranking.usage.calls == orders * (len(PASSAGES) - 1)


def pairs(backend: Any) -> list[list[str]]:
    return [passages_of(request.prompt) for request in backend.requests]


def test_each_is_asked_about_both_ways_round_and_all_at_once():
    backend = full_backend()
    Reranker("refrank:reference=2", backend=backend).rank(QUERY, ["a", "b", "c"])
    assert pairs(backend) == [["a", "b"], ["b", "a"], ["c", "b"], ["b", "c"]]
    assert len(backend.batches) == 1
    backend = full_backend()
    Reranker("refrank:orders=1", backend=backend).rank(QUERY, ["a", "b", "c"])
    assert pairs(backend) == [["b", "a"], ["c", "a"]]


def test_a_model_that_prefers_a_place_prefers_nothing():
    backend = full_backend(read_labels=lambda prompt: (9.0, 1.0))
    ranking = Reranker("refrank", backend=backend).rank(QUERY, PASSAGES)
    assert [hit.score for hit in ranking] == [0.5] * len(PASSAGES)
    assert ranking.ids == [str(i) for i in range(len(PASSAGES))]


def test_what_reads_as_the_reference_does_is_not_compared_with_it():
    backend = full_backend()
    ranking = Reranker("refrank:orders=1", backend=backend).rank(QUERY, ["a", "b", "a"])
    assert pairs(backend) == [["b", "a"]]
    scores = {hit.index: hit.score for hit in ranking}
    assert scores[0] == scores[2] == 0.5
    titled = full_backend()
    Reranker("refrank:orders=1", backend=titled).rank(
        QUERY, [Document("a", id="0"), Document("a", id="1", title="t")]
    )
    assert pairs(titled) == [["t a", "a"]]


def test_the_best_first_with_any_reference():
    texts = [f"passage number {i}" for i in range(9)]
    best = sorted(range(9), key=lambda i: -unit(texts[i]))
    for reference in range(1, 10):
        ranking = Reranker(f"refrank:reference={reference}", backend=full_backend()).rank(QUERY, texts)
        assert ranking.ids == [str(i) for i in best]


def test_failures():
    def broken(prompt: Prompt) -> tuple[float, ...]:
        if passages_of(prompt) == ["a", "b"]:
            raise ScriptedFailure("the model is out")
        return (1.0, 0.0)

    ranking = Reranker("refrank", backend=full_backend(read_labels=broken)).rank(QUERY, ["a", "b", "c"])
    assert ranking.failures == (("1", "the model is out"),), "one of its two questions is not enough"
    assert {hit.id for hit in ranking if hit.score is not None} == {"0", "2"}

    def out(prompt: Prompt) -> tuple[float, ...]:
        raise ScriptedFailure("the model is out")

    everything = Reranker("refrank", backend=full_backend(read_labels=out)).rank(QUERY, ["a", "b", "c"])
    assert len(everything.failures) == 3, "nobody was compared with the reference"
    odd = Reranker("refrank", backend=full_backend(read_labels=lambda prompt: (math.nan, 0.0)))
    assert "nan" in odd.rank(QUERY, ["a", "b"]).failures[0].reason


def test_tokens_left_out_are_told_of_both():
    class Cuts:
        name = identity = "cuts"

        def read_labels(self, requests: list[Any]) -> list[LabelReading]:
            return [LabelReading((1.0, 0.0), cut_tokens=7) for _ in requests]

    ranking = Reranker("refrank:orders=1", backend=Cuts()).rank(
        QUERY, ["a long reference", "b", "much longer" * 9]
    )
    assert {hit.id: hit.cut_tokens for hit in ranking} == {"0": 7, "1": 0, "2": 7}


@pytest.mark.parametrize("wrong", ["reference=0", "orders=3", "orders=0", "reference=top"])
def test_bad_options(wrong: str):
    with pytest.raises(InputError, match=wrong.partition("=")[0]):
        load_recipe(f"refrank:{wrong}")
