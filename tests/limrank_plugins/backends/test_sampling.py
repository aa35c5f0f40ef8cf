"""Sampled texts: reproducible, independent of the batch, and as likely as they should be."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from plain import END, LABELS, TEMPLATE, Loop, eager_to_stop

from limrank_plugins.backends.protocols import Generate
from limrank_plugins.backends.transformers import TransformersBackend

PASSAGES = ["acid curdles milk because the proteins clump", "bread rises", "", "a </think> true", "acid"]
PROMPTS = [TEMPLATE.render("why does milk curdle in tea", [passage]) for passage in PASSAGES]


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "qwen"
    eager_to_stop("qwen2", 2.5, 1.5).save_pretrained(path)
    tiny.tokenizer().save_pretrained(path)
    return path


def test_sampled_texts_do_not_depend_on_the_batch(qwen: Path) -> None:
    backend = TransformersBackend(str(qwen))
    requests = [
        Generate(prompt, ("</think>",), 20, temperature=0.9, top_p=0.9, seed=3, sample=sample, labels=LABELS)
        for prompt in PROMPTS
        for sample in range(3)
    ]
    together = backend.generate(requests)
    order = random.Random(1).sample(range(len(requests)), len(requests))
    shuffled = backend.generate([requests[i] for i in order])
    alone = [backend.generate([request])[0] for request in requests]
    mixed = backend.generate([*requests[:5], *(replace(r, temperature=0.0) for r in requests[:5])])
    for i, reply in enumerate(together):
        assert (reply.text, reply.finish) == (alone[i].text, alone[i].finish)
        place = order.index(i)
        assert (reply.text, reply.finish) == (shuffled[place].text, shuffled[place].finish)
    assert [reply.text for reply in mixed[:5]] == [reply.text for reply in together[:5]]
    assert len({reply.text for reply in together}) > len(PROMPTS)  # samples differ
    others = backend.generate([replace(request, seed=4) for request in requests])
    assert [reply.text for reply in others] != [reply.text for reply in together]


def test_tokens_are_drawn_as_often_as_the_nucleus_says(qwen: Path) -> None:
    backend = TransformersBackend(str(qwen))
    loop = Loop(backend)
    draws, temperature, size = 2000, 2.0, 3
    chances = torch.softmax(loop.logits(loop.encoder.encode(PROMPTS[0]).ids).double() / temperature, dim=0)
    ordered, order = chances.sort(descending=True)
    top_p = float(ordered[:size].sum() - ordered[size - 1] / 2)  # reached by the third token, not before
    request = Generate(PROMPTS[0], (), 1, temperature=temperature, top_p=top_p)
    replies = backend.generate([replace(request, sample=sample) for sample in range(draws)])
    counts = Counter(reply.text for reply in replies)

    nucleus: Counter[str] = Counter()
    for token, chance in zip(order[:size].tolist(), ordered[:size].tolist(), strict=True):
        nucleus[loop.text([token]) if token != END else ""] += chance / float(ordered[:size].sum())
    assert len(nucleus) == size
    assert min(nucleus.values()) > 0.05
    assert set(counts) <= set(nucleus)
    for text, chance in nucleus.items():
        spread = (draws * chance * (1 - chance)) ** 0.5
        assert abs(counts[text] - draws * chance) <= 5 * spread + 1, text
