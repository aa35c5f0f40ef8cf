"""What a backend says it would leave out is what its replies say was left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_encoders
import tiny_seq2seq
import torch

from limrank_plugins import Document, Query, Reranker
from limrank_plugins.backends.asking import ask
from limrank_plugins.backends.protocols import CountsCuts
from limrank_plugins.readouts import Settings

PASSAGES = ["milk", "acid curdles milk because the proteins clump together. " * 40, "bread rises " * 200]


def chat(folder: Path) -> Path:
    tokens = tiny.qwen_tokenizer(words="\nYes\nNo\ntrue\nfalse true false")
    return tiny.build(folder, tokens=tokens)


def gliclass(folder: Path) -> Path:
    from limrank_plugins.backends.gliclass import GLiClass

    torch.manual_seed(5)
    GLiClass.create(str(tiny_encoders.encoder(folder / "encoder"))).save_pretrained(folder / "model")
    return folder / "model"


@pytest.mark.parametrize(
    ("recipe", "build", "options", "reasoning"),
    [
        ("limrank", chat, {"max_length": 260}, "none"),
        ("limrank", chat, {"max_length": 400}, "full"),
        ("qlm", chat, {"max_length": 100}, None),
        ("monot5", tiny_seq2seq.build, {"max_length": 60}, None),
        ("cross-encoder", tiny_encoders.cross_encoder, {}, None),
        ("gliclass", gliclass, {}, None),
    ],
)
def test_cuts_are_those_of_the_replies(
    recipe: str, build: Any, options: dict[str, Any], reasoning: Any, tmp_path: Path
):
    template = {"template": "limrank"} if recipe == "limrank" else {}
    made = Reranker(
        recipe, str(build(tmp_path / "m")), device="cpu", reasoning=reasoning, **template | options
    )
    settings = Settings(reasoning="full" if reasoning == "full" else "none", max_reasoning_tokens=8)
    backend = made.backend
    assert isinstance(backend, CountsCuts)
    assert made.recipe.readout is not None
    requests = []
    for passage in PASSAGES:
        program = made.recipe.readout.ask(Query("why milk"), [Document(passage)], made.template, settings)
        requests += next(program)
    replies: Any = ask(getattr(backend, requests[0].method), requests, None)
    cuts = backend.cuts(requests)
    assert cuts == [reply.cut_tokens for reply in replies]
    assert cuts[0] == 0 < cuts[1]
