"""Qwen3-Reranker as its model card has it, by the libraries alone: the prompt's tokens, and the score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

QUERY = "why does milk curdle in tea?"
DEFAULT = "Given a web search query, retrieve relevant passages that answer the query"
# The card's two constants, put together from its description of the prompt rather than from our template.
SYSTEM = (
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
    'Note that the answer can only be "yes" or "no".'
)
PREFIX = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n"
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"


def official_ids(
    tokens: Any, passage: str, task: str = DEFAULT, query: str = QUERY, most: int = 8192
) -> list[int]:
    """Frame and pair tokenised apart and put together, as the card's code does."""
    before = tokens.encode(PREFIX, add_special_tokens=False)
    behind = tokens.encode(SUFFIX, add_special_tokens=False)
    pair = f"<Instruct>: {task}\n<Query>: {query}\n<Document>: {passage}"
    room = most - len(before) - len(behind)
    middle = tokens(pair, truncation=True, max_length=room, add_special_tokens=False)["input_ids"]
    return [*before, *middle, *behind]


def official_score(folder: Path, ids: Sequence[int]) -> float:
    """exp(log_softmax) of "yes" against "no" at the last position, in float32."""
    tokens = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        last = model(torch.tensor([list(ids)])).logits[0, -1]
    pair = torch.stack([last[tokens.convert_tokens_to_ids("no")], last[tokens.convert_tokens_to_ids("yes")]])
    return float(torch.nn.functional.log_softmax(pair, dim=0)[1].exp())
