"""What is computed does not depend on torch's default precision.

`transformers` changes it for the whole process while a model is loaded, in whatever thread: a request to
another model that is answered meanwhile must get the same scores.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'limrank[transformers]'")
pytest.importorskip("sentence_transformers", reason="pip install 'limrank[mini]'")

import tiny  # noqa: E402
import tiny_encoders  # noqa: E402
import tiny_seq2seq  # noqa: E402

from limrank_plugins import Reranker  # noqa: E402

TEXTS = ["Bread rises.", "Acid curdles milk.", "Rivers carve valleys."]


def language_model(folder: Path) -> Reranker:
    options = {"template": "limrank", "reasoning": "full", "samples": 2, "max_reasoning_tokens": 6}
    return Reranker("limrank", str(tiny.build(folder, "qwen2")), "transformers", device="cpu", **options)


def cross_encoder(folder: Path) -> Reranker:
    return Reranker("cross-encoder", str(tiny_encoders.cross_encoder(folder)), device="cpu")


def encoder(folder: Path) -> Reranker:
    return Reranker("mini", str(tiny_encoders.encoder(folder)), device="cpu")


def seq2seq(folder: Path) -> Reranker:
    return Reranker("monot5", str(tiny_seq2seq.build(folder)), device="cpu")


def hits(reranker: Reranker) -> list[tuple[object, ...]]:
    return [(hit.id, hit.score, hit.explanation, hit.failure) for hit in reranker.rank("lumpy milk", TEXTS)]


@pytest.mark.parametrize("build", [language_model, cross_encoder, encoder, seq2seq])
def test_scores_are_the_same_while_another_model_is_loaded(build: Callable[[Path], Reranker], tmp_path: Path):
    with closing(build(tmp_path)) as reranker:
        before = hits(reranker)
        assert not any(failure for *_, failure in before)
        for dtype in (torch.bfloat16, torch.float16):
            torch.set_default_dtype(dtype)
            try:
                meanwhile = hits(reranker)
            finally:
                torch.set_default_dtype(torch.float32)
            assert meanwhile == before
