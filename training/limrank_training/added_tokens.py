"""The tokens a plan needs: added as ordinary tokens, as LimRank's and Qwen3's `<think>` are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def add_tokens(tokenizer: Any, tokens: Sequence[str]) -> list[str]:
    """Make each a token of its own; returns those that were not before."""
    from tokenizers import AddedToken

    known = tokenizer.get_vocab()
    new = [token for token in tokens if token not in known]
    if new:
        tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in new])
    return new


def add_markers(tokenizer: Any, markers: Sequence[str]) -> list[str]:
    """Make each a special token, which no text can become; returns those that were not before."""
    from tokenizers import AddedToken

    known = tokenizer.get_added_vocab()
    new = [marker for marker in markers if marker not in known]
    if new:
        tokenizer.add_tokens(
            [AddedToken(m, normalized=False, special=True) for m in new], special_tokens=True
        )
    return new


def fit_embeddings(model: Any, tokenizer: Any) -> bool:
    """Let the model know every token; True where its matrices had to grow.

    Checkpoints often have more rows than tokens (Qwen2.5: 152,064 for 151,665): then new tokens take
    rows that were never trained, and nothing grows. Otherwise new rows are the mean of the known ones,
    which no draw of a random number decides.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) <= rows:
        return False
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    for matrix in {id(m): m for m in (model.get_input_embeddings(), model.get_output_embeddings())}.values():
        weight = matrix.weight.data
        weight[rows:] = weight[:rows].float().mean(dim=0).to(weight.dtype)
    return True
