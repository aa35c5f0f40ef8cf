"""Answers how well labels fit a text, with our own model or with released weights."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

from limrank_plugins.backends.gliclass.model import GLiClass
from limrank_plugins.backends.gliclass.released import ReleasedGLiClass
from limrank_plugins.backends.local.encoder_inputs import EncoderInput, in_turn
from limrank_plugins.backends.local.loading import checked_source, loading_errors
from limrank_plugins.backends.local.weights import read_config
from limrank_plugins.backends.protocols import Classify, Failed, Numbers
from limrank_plugins.data import Usage
from limrank_plugins.errors import BackendError, InputError

_RELEASED = "GLiClass"


class GLiClassBackend:
    """Gives one logit per label. Safe to use from many threads: a lock guards the model.

    On a CPU every question is computed on its own: its float32 logits do not depend on what else was
    asked, bit for bit. A question's own labels do depend on each other, and on their order.

    Args:
        model: folder or hub name: one that `GLiClass.save_pretrained` wrote, or a released one, which
            needs the extra `gliclass`.
        device: `"cpu"`, `"cuda"`, `"cuda:1"`, `"mps"`; default: a GPU where there is one.
        dtype: `"float32"`, `"bfloat16"` or `"float16"`; default: float32 on a CPU, else bfloat16.
        revision: branch, tag or commit of a hub model.
        batch_size: most questions in one forward pass on a GPU, at least 1; default 8.
        max_length: most tokens of a question; default: what the model was made for.

    Raises:
        InputError: a value that cannot be used.
        MissingExtra: a package that the model needs is not installed.
        BackendError: the model cannot be loaded.
    """

    name = "gliclass"

    def __init__(
        self,
        model: str = "knowledgator/gliclass-modern-base-v3.0",
        *,
        device: str | None = None,
        dtype: str | None = None,
        revision: str | None = None,
        batch_size: int = 8,
        max_length: int | None = None,
    ) -> None:
        for name, value in (("batch_size", batch_size), ("max_length", max_length)):
            given = value is not None or name == "batch_size"
            if given and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise InputError(f"{name} must be a whole number > 0, but got {value!r}")
        self.model = model
        self.batch_size = batch_size
        with loading_errors(model):
            kind = read_config(checked_source(model), revision).get("model_type")
        made = ReleasedGLiClass if kind == _RELEASED else GLiClass.load
        loaded: GLiClass | ReleasedGLiClass = made(model, device=device, dtype=dtype, revision=revision)
        self._model: GLiClass | ReleasedGLiClass | None = loaded
        self._limit = loaded.limit if max_length is None else min(loaded.limit, max_length)
        self._identity = f"{loaded.identity}:{self._limit}"
        self._lock = threading.Lock()

    @property
    def identity(self) -> str:
        """Model, revision or fingerprint, precision and length: what stored logits depend on."""
        return self._identity

    def classify(self, requests: Sequence[Classify]) -> list[Numbers | Failed]:
        """Answer each request with one logit per label, or `Failed`; see `Classifies`."""
        with self._lock:
            if self._model is None:
                raise BackendError(f"the GLiClass {self.model!r} is closed; make a new one")
            return self._classified(self._model, requests)

    def close(self) -> None:
        """Release the model. May be called twice; asking after it is a `BackendError`."""
        with self._lock:
            self._model = None

    # ---- inside ---------------------------------------------------------------------------------

    def _classified(
        self, model: GLiClass | ReleasedGLiClass, requests: Sequence[Classify]
    ) -> list[Numbers | Failed]:
        replies: list[Numbers | Failed] = [Failed("there are no labels to choose from")] * len(requests)
        rows: list[tuple[int, EncoderInput]] = []
        for position, request in enumerate(requests):
            if request.labels:
                row = model.inputs.row(request.text, request.labels, self._limit)
                if isinstance(row, str):
                    replies[position] = Failed(row)
                else:
                    rows.append((position, row))
        alone = model.place.type == "cpu" or not model.batched
        for batch in in_turn([len(row.ids) for _, row in rows], self.batch_size, alone=alone):
            for i, values in zip(batch, model.read([rows[i][1] for i in batch]), strict=True):
                position, row = rows[i]
                replies[position] = _reply(values, row, len(requests[position].labels))
        return replies


def _reply(values: list[float], row: EncoderInput, labels: int) -> Numbers | Failed:
    usage = Usage(prompt_tokens=len(row.ids))
    if len(values) != labels:
        return Failed(f"the model gave {len(values)} logits for {labels} labels", usage)
    if not all(math.isfinite(value) for value in values):
        return Failed(f"the label logits are {values[:5]}, which are not all finite", usage)
    return Numbers(tuple(values), usage, row.cut)
