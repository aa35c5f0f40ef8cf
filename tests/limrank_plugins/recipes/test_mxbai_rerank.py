"""mxbai-rerank v2: the release's tokens and scores on a tiny random Qwen2, with and without instruction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import chats
import pytest
import tiny
import torch
import transformers
from scripts import full_backend

from limrank_plugins import Query, Reranker
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.prompts import load_template

QUERY = "why does milk curdle in tea?"
TASK = "Prefer passages that name the cause."
PASSAGES = ["acid curdles milk", "bread rises\n\nwhen yeast makes gas ", "rivers carve valleys.", "1, 0"]
# The release's constants, put together from its code rather than from our template.
FRAME = (
    "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n",
    "<|im_end|>\n<|im_start|>assistant\n",
)
JUDGING = (
    "You are a search relevance expert who evaluates how well documents match search queries. For each "
    "query-document pair, carefully analyze the semantic relationship between them, then provide your binary "
    "relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:"
)


def released_ids(tokens: Any, passage: str, task: str | None = None) -> list[int]:
    """Every piece tokenised apart and put together, as `MxbaiRerankV2.prepare_inputs` does."""
    asked = f"query: {QUERY}" if task is None else f"instruction: {task}\nquery: {QUERY}"
    pieces = (FRAME[0], asked, "\n", f"document: {passage}", "\n", JUDGING, FRAME[1])
    return [number for piece in pieces for number in tokens.encode(piece, add_special_tokens=False)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokens = tiny.qwen_tokenizer(words="1\n0\n1\n0")
    tokens.chat_template = chats.CHAT
    place = tmp_path_factory.mktemp("models") / "mxbai-rerank-base-v2"
    return tiny.build(place, "qwen2", tokens=tokens, max_position_embeddings=4096)


@pytest.fixture(scope="module")
def tokens(folder: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("template", ["mxbai-rerank", "mxbai-rerank-chat"])
@pytest.mark.parametrize("task", [None, TASK])
def test_the_tokens_are_the_releases(template: str, task: str | None, tokens: Any):
    backend = full_backend()
    Reranker("mxbai-rerank", backend=backend, template=template, instruction=task).rank(QUERY, PASSAGES)
    found = [PromptEncoder(tokens).encode(request.prompt).ids for request in backend.requests]
    assert found == [released_ids(tokens, passage, task) for passage in PASSAGES]


@pytest.mark.parametrize("task", [None, TASK])
def test_scores_are_the_sigmoid_of_the_releases(folder: Path, tokens: Any, task: str | None):
    """The release gives logit(1) - logit(0); P(1) is its sigmoid, so that thresholds mean something."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    expected = []
    for passage in PASSAGES:
        with torch.no_grad():
            last = model(torch.tensor([released_ids(tokens, passage, task)])).logits[0, -1]
        one, zero = (tokens.encode(label, add_special_tokens=False)[0] for label in "10")
        expected.append(float(torch.sigmoid(last[one] - last[zero])))
    assert max(expected) - min(expected) > 0.01, "the model does tell them apart"
    made = Reranker("mxbai-rerank", str(folder), device="cpu", dtype="float32", instruction=task)
    assert made.template == load_template("mxbai-rerank")
    found = {hit.index: hit.score for hit in made.rank(QUERY, PASSAGES)}
    assert [found[i] for i in range(len(PASSAGES))] == pytest.approx(expected, abs=1e-6)


def test_a_querys_own_instruction_stands_in_its_line():
    backend = full_backend()
    Reranker("mxbai-rerank", backend=backend).rank(Query(QUERY, instruction=TASK), PASSAGES[:1])
    (request,) = backend.requests
    assert f"\ninstruction: {TASK}\nquery: {QUERY}\ndocument: " in request.prompt.text


def test_without_an_instruction_there_is_no_line_for_it():
    for name in ("mxbai-rerank", "mxbai-rerank-chat"):
        text = load_template(name).render(QUERY, ["d"]).text
        assert "instruction" not in text
        assert f"query: {QUERY}\ndocument: d\nYou are a search" in text
