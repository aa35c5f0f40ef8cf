"""Other libraries that read yes or no from a language model's next token: each on our prompt and labels.

Each is used as it comes: its own tokenising, order, batches and padding.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from limrank_evals.bench.causal import PlainModel
from limrank_plugins import Reranker
from limrank_plugins.backends.local.loading import no_progress_bar
from limrank_plugins.backends.protocols import Backend
from limrank_plugins.errors import BackendError, require
from limrank_plugins.prompts import load_template
from limrank_plugins.segments import Prompt, Segment

TEMPLATE = "limrank"
WHY = "limrank bench scoring"
_LLAMA_LENGTH = 8192

Scores = npt.NDArray[np.floating[Any]]
Scorer = Callable[[Sequence[str]], Scores]
"""P(true) of passages, for one query."""


@dataclass(frozen=True, slots=True)
class Judging:
    """What every library is given.

    Attributes:
        plain: the model.
        query: what passages are read for.
        labels: the tokens of "true" and "false".
        precision: of the weights, as `dtype` names it.
        gguf: the same weights for llama.cpp, if there is such a file.
    """

    plain: PlainModel
    query: str
    labels: tuple[int, int]
    precision: str
    gguf: Path | None = None

    def dtype(self) -> Any:
        """Of torch."""
        return getattr(require("torch", "transformers", WHY), self.precision)


def prompts(query: str, passages: Sequence[str]) -> list[Prompt]:
    """What is read: the recipe's prompt, without reasoning."""
    template = load_template(TEMPLATE)
    return [template.render(query, [text]).then(Segment(template.no_think)) for text in passages]


def frame() -> tuple[str, str, str]:
    """The prompt's text before the query, between query and passage, and behind the passage."""
    text = "".join(segment.text for segment in prompts("\ue010", ["\ue011"])[0].segments)
    before, _, rest = text.partition("\ue010")
    between, _, behind = rest.partition("\ue011")
    return before, between, behind


def probabilities(logits: Any) -> Scores:
    """P(true) of rows of two logits, true before false."""
    pairs = np.asarray(logits, np.float64)
    return np.asarray(1 / (1 + np.exp(pairs[:, 1] - pairs[:, 0])))


def sentence_transformers(judging: Judging) -> Scorer:
    """`CrossEncoder.predict`: batches of 32, sorted by length; our prompt is its chat template."""
    library = require("sentence_transformers", "mini", WHY)
    modules = import_module("sentence_transformers.cross_encoder.modules")
    layers = import_module("sentence_transformers.base.modules")
    torch = require("torch", "transformers", WHY)
    with no_progress_bar():
        reader = layers.Transformer(
            str(judging.plain.folder),
            transformer_task="text-generation",
            model_kwargs={"dtype": judging.dtype()},
            processor_kwargs={"chat_template": _chat_template()},
        )
    model = library.CrossEncoder(modules=[reader, modules.LogitScore(*judging.labels)], device="cpu")
    sigmoid = torch.nn.Sigmoid()

    def score(passages: Sequence[str]) -> Scores:
        pairs = [(judging.query, text) for text in passages]
        predicted = model.predict(pairs, activation_fn=sigmoid, show_progress_bar=False)
        return np.asarray(predicted, np.float64)

    return score


def _chat_template() -> str:
    """Our prompt in the form in which sentence-transformers takes one: two messages, query and document."""
    before, between, behind = frame()
    query, document = (
        f"((messages | selectattr('role', 'eq', '{role}') | first).content)" for role in ("query", "document")
    )
    pieces = [json.dumps(before), query, json.dumps(between), document, json.dumps(behind)]
    return "{{ " + " ~ ".join(pieces) + " }}"


def rerankers(judging: Judging) -> Scorer:
    """`MxBaiV2Ranker.rank`: batches of 16. No other ranker there compares two labels of a causal model."""
    module = import_module("rerankers.models.mxbai_v2")
    before, between, behind = map(_escaped, frame())
    with no_progress_bar():
        ranker = module.MxBaiV2Ranker(
            str(judging.plain.folder), device="cpu", dtype=judging.dtype(), verbose=0
        )
    ranker.chat_template = {"prefix": "", "suffix": ""}
    ranker.query_prompt = before + "{query}"
    ranker.doc_prompt = between.removeprefix(ranker.sep) + "{document}"
    ranker.task_prompt = behind.removeprefix(ranker.sep)
    ranker._prepare_tokenized_templates()
    ranker.pos_id, ranker.neg_id = judging.labels

    def score(passages: Sequence[str]) -> Scores:
        ranked = ranker.rank(judging.query, list(passages), doc_ids=list(range(len(passages))))
        logits = {result.document.doc_id: result.score for result in ranked.results}
        return probabilities([[logits[i], 0.0] for i in range(len(passages))])

    return score


def flag_embedding(judging: Judging) -> Scorer:
    """`FlagLLMReranker.compute_score`: batches of 128, sorted by length, the first of them read twice."""
    library = import_module("FlagEmbedding")
    before, between, behind = frame()
    with no_progress_bar():
        reranker = library.FlagLLMReranker(
            str(judging.plain.folder),
            use_bf16=judging.precision == "bfloat16",
            query_instruction_for_rerank=before,
            passage_instruction_for_rerank=between.removeprefix("\n"),
            prompt=behind.removeprefix("\n"),
            devices="cpu",
        )
    reranker.tokenizer.bos_token = None  # our prompt has none
    reranker.yes_loc = list(judging.labels)  # the logits of both

    def score(passages: Sequence[str]) -> Scores:
        return probabilities(reranker.compute_score([(judging.query, text) for text in passages]))

    return score


def mteb(judging: Judging) -> Scorer:
    """`LlamaReranker.predict`: all that it is given is one batch, in the order that it comes in."""
    module = import_module("mteb.models.model_implementations.rerankers_monot5_based")
    datasets = import_module("datasets")
    loader = import_module("torch.utils.data").DataLoader
    before, between, behind = map(_escaped, frame())
    with no_progress_bar():
        model = module.LlamaReranker(str(judging.plain.folder), fp_options=judging.dtype())
    model.template = before + "{query}" + between + "{text}" + behind
    model.token_true_id, model.token_false_id = judging.labels

    def score(passages: Sequence[str]) -> Scores:
        inputs = [
            loader(datasets.Dataset.from_dict({name: texts}), batch_size=32)
            for name, texts in (("query", [judging.query] * len(passages)), ("text", list(passages)))
        ]
        predicted = model.predict(*inputs, task_metadata=None, hf_split="test", hf_subset="default")
        return np.asarray(predicted, np.float64)

    return score


def llama_cpp(judging: Judging) -> Scorer:
    """`Llama.eval` of llama-cpp-python: one prompt after the other, nothing kept, last logits only."""
    library = import_module("llama_cpp")
    threads = require("torch", "transformers", WHY).get_num_threads()
    length = min(judging.plain.length, _LLAMA_LENGTH)
    model = library.Llama(
        str(judging.gguf), n_ctx=length, n_threads=threads, n_threads_batch=threads, verbose=False
    )

    def logits(tokens: list[int]) -> list[float]:
        model.reset()
        model.eval(tokens)
        last = library.llama_get_logits_ith(model.ctx, -1)
        return [last[label] for label in judging.labels]

    def score(passages: Sequence[str]) -> Scores:
        rows = judging.plain.ids(prompts(judging.query, passages), length)
        return probabilities([logits(tokens) for tokens in rows])

    return score


def our_llama_cpp(judging: Judging) -> Scorer:
    """Our backend `llama-cpp` on the same file."""
    backends = import_module("limrank_plugins.backends.llama_cpp")
    return ranked_by(backends.LlamaCppBackend(str(judging.gguf), device="cpu"), judging.query)


def ranked_by(backend: Backend, query: str) -> Scorer:
    """What our reranker gives the passages, on this backend.

    Raises:
        BackendError: from the scorer, where a passage has no score.
    """
    reranker = Reranker("limrank", backend=backend, reasoning="none", template=TEMPLATE)

    def score(passages: Sequence[str]) -> Scores:
        judged = {hit.index: hit.score for hit in reranker.rank(query, passages) if hit.score is not None}
        if len(judged) < len(passages):
            raise BackendError("the model could not score a passage: name another with --model")
        return np.asarray([judged[i] for i in range(len(judged))])

    return score


@dataclass(frozen=True, slots=True)
class Peer:
    """A library that can be asked.

    Attributes:
        name: its row in the table.
        module: by which it is known to be installed.
        install: how it gets there.
        scorer: asks it.
        needs_gguf: it reads GGUF files alone.
    """

    name: str
    module: str
    install: str
    scorer: Callable[[Judging], Scorer]
    needs_gguf: bool = False

    def missing(self, gguf: Path | None) -> str | None:
        """Why it cannot be tried at all; None where it can."""
        if find_spec(self.module) is None:
            return f"not installed: {self.install}"
        if self.needs_gguf and gguf is None:
            return "reads GGUF files: name one of the same weights with --gguf"
        return None


PEERS = (
    Peer(
        "sentence-transformers, CrossEncoder with LogitScore",
        "sentence_transformers",
        "pip install 'sentence-transformers>=5.4'",
        sentence_transformers,
    ),
    Peer("rerankers, MxBaiV2Ranker", "rerankers", "pip install 'rerankers[transformers]'", rerankers),
    Peer("FlagEmbedding, FlagLLMReranker", "FlagEmbedding", "pip install FlagEmbedding", flag_embedding),
    Peer("mteb, LlamaReranker", "mteb", "pip install mteb", mteb),
    Peer("llama-cpp-python, Llama.eval", "llama_cpp", "pip install 'limrank[llama-cpp]'", llama_cpp, True),
    Peer("our backend llama-cpp", "llama_cpp", "pip install 'limrank[llama-cpp]'", our_llama_cpp, True),
)


def _escaped(text: str) -> str:
    """The text for `str.format`."""
    return text.replace("{", "{{").replace("}", "}}")
