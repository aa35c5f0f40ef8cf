"""Yes or no from a language model's next token: ours beside other libraries' default calls, on a CPU."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from limrank_evals.bench.causal import PlainModel, Work, left_padded, plain_model
from limrank_evals.bench.floor import Floor, floor
from limrank_evals.bench.interleaved import Contest
from limrank_plugins import Reranker
from limrank_plugins.backends.local.loading import no_progress_bar
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.mini_weights import native_bfloat16
from limrank_plugins.errors import BackendError, require
from limrank_plugins.prompts import load_template
from limrank_plugins.segments import Segment

PEER = "sentence-transformers"
ONE_BY_ONE = "transformers, one by one"
_WHY = "limrank bench scoring"
_TEMPLATE = "limrank"
_BATCH = 32
_OTHERS = {
    "rerankers": "rerankers",
    "FlagEmbedding": "FlagEmbedding",
    "mteb": "mteb",
    "llama-cpp-python": "llama_cpp",
}
"""Libraries that score so, too, and the module by which they are known to be installed."""


class Scoring:
    """The contests, and after them what had to be computed.

    Args:
        model: folder, hub name or GGUF file of a causal language model, or `"smollm2"`.
        work: what is read.

    Attributes:
        floors: one for each precision whose contests have been made.
    """

    def __init__(self, model: str, work: Work) -> None:
        self._model = model
        self._work = work
        self.floors: list[Floor] = []

    def contests(self) -> Iterator[Contest]:
        """One for each precision and peer, made one after the other."""
        for precision in ("float32", *(["bfloat16"] if native_bfloat16() else [])):
            with plain_model(self._model, precision) as plain:
                yield from self._contests(plain, precision)

    def _contests(self, plain: PlainModel, precision: str) -> Iterator[Contest]:
        template = load_template(_TEMPLATE)
        query, passages = self._work.query, self._work.passages
        prompts = [template.render(query, [text]).then(Segment(template.no_think)) for text in passages]
        rows = plain.ids(prompts)
        encoder = PromptEncoder(plain.tokenizer)
        labels = encoder.label_ids(template.labels, encoder.encode(prompts[0]).end)
        ours = _ours(plain, self._work)
        one_by_one = _in_batches(plain, rows, labels, 1)
        self.floors.append(floor(plain.model, rows, precision, one_by_one))
        peers: dict[str, Callable[[], Any]] = {
            ONE_BY_ONE: one_by_one,
            f"transformers, padded batches of {_BATCH}": _in_batches(plain, rows, labels, _BATCH),
        }
        if _without_logit_score() is None:
            peers[f"{PEER}, CrossEncoder with LogitScore"] = _cross_encoder(
                plain, self._work, labels, precision
            )
        for name, theirs in peers.items():
            yield Contest(f"{name}, {precision}", len(rows), ours, theirs)


def not_measured() -> dict[str, str]:
    """Of the libraries that score so, too: why one is not in the table."""
    reasons = {
        name: "not installed" if find_spec(module) is None else "no contest is written for it yet"
        for name, module in _OTHERS.items()
    }
    reason = _without_logit_score()
    return reasons if reason is None else reasons | {PEER: reason}


def _without_logit_score() -> str | None:
    """Why sentence-transformers cannot be asked; None where it can."""
    if find_spec("sentence_transformers") is None:
        return "not installed"
    try:
        import_module("sentence_transformers.cross_encoder.modules")
        import_module("sentence_transformers.base.modules")
    except ImportError:
        return f"has no LogitScore: pip install -U {PEER}"
    return None


def _ours(plain: PlainModel, work: Work) -> Callable[[], Any]:
    reranker = Reranker("limrank", backend=plain.ours(), reasoning="none", template=_TEMPLATE)

    def scores() -> Any:
        ranking = reranker.rank(work.query, work.passages)
        judged = {hit.index: hit.score for hit in ranking if hit.score is not None}
        if len(judged) < len(work.passages):
            raise BackendError("the model could not score a passage: name another with --model")
        return np.asarray([judged[i] for i in range(len(judged))])

    return scores


def _in_batches(
    plain: PlainModel, rows: Sequence[list[int]], labels: Sequence[int], size: int
) -> Callable[[], Any]:
    """Last logits of the library's own forward pass, in the order that the prompts come in."""
    torch = require("torch", "transformers", _WHY)
    pad = plain.tokenizer.pad_token_id
    filler = pad if pad is not None else 0
    positive, negative = labels

    def scores() -> Any:
        parts = []
        with torch.inference_mode():
            for start in range(0, len(rows), size):
                batch = left_padded(torch, rows[start : start + size], filler)
                logits = plain.model(**batch, logits_to_keep=1).logits[:, -1].float()
                parts.append(torch.sigmoid(logits[:, positive] - logits[:, negative]))
        return torch.cat(parts).double().numpy()

    return scores


def _cross_encoder(plain: PlainModel, work: Work, labels: Sequence[int], precision: str) -> Callable[[], Any]:
    """`CrossEncoder.predict` as it comes, with our prompt as its chat template."""
    library = require("sentence_transformers", "mini", _WHY)
    modules = import_module("sentence_transformers.cross_encoder.modules")
    layers = import_module("sentence_transformers.base.modules")
    torch = require("torch", "transformers", _WHY)
    with no_progress_bar():
        reader = layers.Transformer(
            str(plain.folder),
            transformer_task="text-generation",
            model_kwargs={"dtype": getattr(torch, precision)},
            processor_kwargs={"chat_template": _chat_template()},
        )
    model = library.CrossEncoder(modules=[reader, modules.LogitScore(*labels)], device="cpu")
    pairs = [(work.query, text) for text in work.passages]
    sigmoid = torch.nn.Sigmoid()
    return lambda: model.predict(pairs, activation_fn=sigmoid, show_progress_bar=False).astype(np.float64)


def _chat_template() -> str:
    """Our prompt in the form in which sentence-transformers takes one: two messages, query and document."""
    template = load_template(_TEMPLATE)
    text = "".join(
        segment.text
        for segment in template.render("\ue010", ["\ue011"]).then(Segment(template.no_think)).segments
    )
    before, _, rest = text.partition("\ue010")
    between, _, behind = rest.partition("\ue011")
    query, document = (
        f"((messages | selectattr('role', 'eq', '{role}') | first).content)" for role in ("query", "document")
    )
    pieces = [json.dumps(before), query, json.dumps(between), document, json.dumps(behind)]
    return "{{ " + " ~ ".join(pieces) + " }}"
