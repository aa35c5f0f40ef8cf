"""Cross-encoders through sentence-transformers: query and passage are read together, one number comes out.

On a CPU every pair is computed on its own: its score does not depend on what else was asked, bit for bit,
and a padded batch is no faster there.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limrank_plugins.backends.local.encoder_inputs import (
    EncoderInput,
    PairEncoder,
    as_tensors,
    in_turn,
    longest,
)
from limrank_plugins.backends.local.fingerprint import folder_fingerprint
from limrank_plugins.backends.local.loading import (
    checked_source,
    device_for,
    dtype_for,
    loading_errors,
    no_progress_bar,
)
from limrank_plugins.backends.protocols import Failed, Numbers, ScorePair
from limrank_plugins.data import Usage
from limrank_plugins.errors import BackendError, InputError, require

_WHY = "CrossEncoderBackend"


class CrossEncoderBackend:
    """Scores pairs by their raw logit. Safe to use from many threads: a lock guards the model.

    Args:
        model: folder or hub name of a `CrossEncoder` with one output.
        device: `"cpu"`, `"cuda"`, `"cuda:1"`, `"mps"`; default: a GPU where there is one.
        dtype: `"float32"`, `"bfloat16"` or `"float16"`; default: float32 on a CPU, else bfloat16.
        revision: branch, tag or commit of a hub model.
        trust_remote_code: run Python code that comes with the model. Default: no.
        batch_size: most pairs in one forward pass on a GPU, at least 1; default 32.
        max_length: most tokens of query and passage together; default: what the model was made for.

    The end of a passage that does not fit is left out and reported as `cut_tokens`; the query is never
    cut: one that fills the model alone is a failure. A logit that is not finite is a failure, too.

    Raises:
        InputError: a value that cannot be used.
        MissingExtra: sentence-transformers is not installed.
        BackendError: the model cannot be loaded, or is no cross-encoder with one output.
    """

    name = "cross-encoder"

    def __init__(
        self,
        model: str = "cross-encoder/ms-marco-MiniLM-L6-v2",
        *,
        device: str | None = None,
        dtype: str | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        batch_size: int = 32,
        max_length: int | None = None,
    ) -> None:
        for name, value in (("batch_size", batch_size), ("max_length", max_length)):
            given = value is not None or name == "batch_size"
            if given and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise InputError(f"{name} must be a whole number > 0, but got {value!r}")
        self.model = model
        self.batch_size = batch_size
        self._torch = require("torch", "mini", _WHY)
        library = require("sentence_transformers", "mini", _WHY)
        self._place = device_for(self._torch, device)
        self._dtype = dtype_for(self._torch, dtype, self._place)
        self._lock = threading.Lock()
        source = checked_source(model)
        with loading_errors(model), no_progress_bar():
            loaded = library.CrossEncoder(
                source,
                device=str(self._place),
                revision=revision,
                trust_remote_code=trust_remote_code,
                model_kwargs={"dtype": self._dtype},
            )
            _check(model, loaded)
        self._loaded: Any = loaded.eval()
        self._tokenizer = loaded.tokenizer
        self._pairs = PairEncoder(self._tokenizer)
        read = getattr(loaded, "max_seq_length", None) or getattr(loaded, "max_length", None)
        self._limit = longest(loaded.config, self._tokenizer, read, max_length)
        self._identity = self._identify(source, revision)

    @property
    def identity(self) -> str:
        """Model, revision or fingerprint, precision and length: what a stored score depends on."""
        return self._identity

    def score_pairs(self, requests: Sequence[ScorePair]) -> list[Numbers | Failed]:
        """Answer each request with the pair's logit, or `Failed`; see `ScoresPairs`."""
        with self._lock:
            if self._loaded is None:
                raise BackendError(f"the cross-encoder {self.model!r} is closed; make a new one")
            return self._scored(requests)

    def close(self) -> None:
        """Release the model. May be called twice; scoring after it is a `BackendError`."""
        with self._lock:
            self._loaded = None

    # ---- inside ---------------------------------------------------------------------------------

    def _scored(self, requests: Sequence[ScorePair]) -> list[Numbers | Failed]:
        queries: dict[str, list[int]] = {}
        replies: list[Numbers | Failed] = [Failed("the query alone fills the model")] * len(requests)
        rows: list[tuple[int, EncoderInput]] = []
        for position, request in enumerate(requests):
            if request.query not in queries:
                queries[request.query] = self._pairs.ids(request.query)
            query = queries[request.query]
            row = self._pairs.pair(query, self._pairs.ids(request.passage), self._limit)
            if row is None:
                replies[position] = Failed(
                    f"the query has {len(query)} tokens, which leave no room for a passage in the "
                    f"{self._limit} that {self.model} reads: shorten the query or the instruction"
                )
            else:
                rows.append((position, row))
        lengths = [len(row.ids) for _, row in rows]
        with self._torch.inference_mode():
            for batch in in_turn(lengths, self.batch_size, alone=self._place.type == "cpu"):
                features = as_tensors(self._torch, [rows[i][1] for i in batch], self._tokenizer, self._place)
                logits = self._logits(features).float().reshape(-1).tolist()
                for i, logit in zip(batch, logits, strict=True):
                    position, row = rows[i]
                    replies[position] = _reply(logit, row)
        return replies

    def _logits(self, features: dict[str, Any]) -> Any:
        if hasattr(self._loaded, "preprocess"):  # sentence-transformers 6
            return self._loaded(features)["scores"]
        return self._loaded.model(**features).logits

    def _identify(self, source: str, revision: str | None) -> str:
        folder = Path(source)
        if folder.is_dir():
            named = f"{folder.resolve().name}@{folder_fingerprint(folder, recursive=True)}"
        else:
            named = f"{source}@{getattr(self._loaded.config, '_commit_hash', None) or revision or 'main'}"
        return f"{self.name}:{named}:{str(self._dtype).removeprefix('torch.')}:{self._limit}"


def _check(model: str, loaded: Any) -> None:
    """One classifier with one output, made as such."""
    architectures = getattr(loaded.config, "architectures", None) or ["ForSequenceClassification"]
    modules = list(loaded.children())
    if len(modules) != 1 or "ForSequenceClassification" not in architectures[0]:
        raise BackendError(
            f"{model} is no cross-encoder but a {architectures[0]} ({len(modules)} modules): its score would "
            f"come from random weights or need another prompt; give a sequence classification model"
        )
    if loaded.num_labels != 1:
        raise BackendError(
            f"{model} has {loaded.num_labels} outputs, and which of them is relevance is not known: give a "
            f"cross-encoder with one output, such as cross-encoder/ms-marco-MiniLM-L6-v2"
        )


def _reply(logit: float, row: EncoderInput) -> Numbers | Failed:
    usage = Usage(prompt_tokens=len(row.ids))
    if not math.isfinite(logit):
        return Failed(f"the cross-encoder's score is {logit}", usage)
    return Numbers((logit,), usage, row.cut)
