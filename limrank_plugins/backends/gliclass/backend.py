"""Answers how well labels fit a text, with our own model or with released weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

from limrank_plugins.backends.gliclass.model import GLiClass
from limrank_plugins.backends.gliclass.released_model import ReleasedGLiClass
from limrank_plugins.backends.local.encoder_inputs import EncoderInput, in_turn
from limrank_plugins.backends.local.loading import loading
from limrank_plugins.backends.local.requests import Replies
from limrank_plugins.backends.local.shared_model import SharedModel
from limrank_plugins.backends.local.weights import read_config
from limrank_plugins.backends.protocols import Arrived, Classify, Failed, Numbers, Reply
from limrank_plugins.checks import whole_number
from limrank_plugins.data import Usage

_RELEASED = "GLiClass"


class GLiClassBackend:
    """Gives one logit per label. Safe to use from many threads: a lock guards the model.

    On a CPU every request is computed on its own, whatever else is asked: its float32 logits are the
    same, but for rounding (1e-5 of their size). A request's own labels do depend on each other, and on
    their order.

    Args:
        model: folder or hub name: one that `GLiClass.save_pretrained` wrote, or a released one, which
            needs the extra `gliclass`.
        device: `"cpu"`, `"cuda"`, `"cuda:1"`, `"mps"`; default: a GPU where there is one.
        dtype: `"float32"`, `"bfloat16"` or `"float16"`; default: float32 on a CPU, else bfloat16.
        revision: branch, tag or commit of a hub model.
        batch_size: most requests in one forward pass on a GPU, at least 1; default 8.
        max_length: most tokens of a request; default: what the model was made for.

    Attributes:
        reads_at_most: the most tokens of a request, its labels included.

    Raises:
        InputError: a value that cannot be used.
        MissingExtra: a package that the model needs is not installed.
        BackendError: the model cannot be loaded.
    """

    name = "gliclass"
    shows_images = False

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
        whole_number("batch_size", batch_size, least=1)
        if max_length is not None:
            whole_number("max_length", max_length, least=1)
        self.model = model
        self.batch_size = batch_size
        with loading(model) as source:
            kind = read_config(source, revision).get("model_type")
        load = ReleasedGLiClass if kind == _RELEASED else GLiClass.load
        loaded: GLiClass | ReleasedGLiClass = load(model, device=device, dtype=dtype, revision=revision)
        self._model: SharedModel[GLiClass | ReleasedGLiClass] = SharedModel(f"the GLiClass {model!r}", loaded)
        self.reads_at_most = loaded.limit if max_length is None else min(loaded.limit, max_length)
        self.identity = f"{loaded.identity}:{self.reads_at_most}"

    def classify(self, requests: Sequence[Classify], arrived: Arrived | None = None) -> list[Reply]:
        """Answer each request with one logit per label, or `Failed`; see `Classifies`."""
        with self._model.turn() as model:
            return self._classified(model, requests, Replies(arrived))

    def cuts(self, requests: Sequence[Classify]) -> list[int]:
        """The tokens that each request would leave out; see `CountsCuts`."""
        with self._model.turn() as model:
            rows = [
                model.inputs.row(request.text, request.labels, self.reads_at_most) for request in requests
            ]
        return [0 if isinstance(row, str) else row.cut for row in rows]

    def close(self) -> None:
        """Release the model. May be called twice; asking after it is a `BackendError`."""
        self._model.close()

    # ---- inside ---------------------------------------------------------------------------------

    def _classified(
        self, model: GLiClass | ReleasedGLiClass, requests: Sequence[Classify], replies: Replies
    ) -> list[Reply]:
        rows: list[tuple[int, EncoderInput]] = []
        for position, request in enumerate(requests):
            if not request.labels:
                replies[position] = Failed("there are no labels to choose from")
                continue
            row = model.inputs.row(request.text, request.labels, self.reads_at_most)
            if isinstance(row, str):
                replies[position] = Failed(row)
            else:
                rows.append((position, row))
        alone = model.device.type == "cpu" or not model.batched
        for batch in in_turn([len(row.ids) for _, row in rows], self.batch_size, alone=alone):
            read = model.read([rows[i][1] for i in batch])
            with replies.together():
                for i, values in zip(batch, read, strict=True):
                    position, row = rows[i]
                    replies[position] = _reply(values, row, len(requests[position].labels))
        return replies.in_order()


def _reply(values: list[float], row: EncoderInput, labels: int) -> Numbers | Failed:
    usage = Usage(prompt_tokens=len(row.ids))
    if len(values) != labels:
        return Failed(f"the model gave {len(values)} logits for {labels} labels", usage)
    if not all(math.isfinite(value) for value in values):
        return Failed(f"the label logits are {values[:5]}, which are not all finite", usage)
    return Numbers(tuple(values), usage, row.cut)
