"""A vision-language model as a reranker needs it: one prompt at a time, and single steps behind it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from limrank_plugins.backends.local.probe import cache_argument
from limrank_plugins.errors import require


class VisionNetwork:
    """A loaded model for images and text. Only one prompt may be under way at a time.

    Qwen2-VL and its relatives keep where a prompt's images were in the model itself, not in the
    cache. It is forgotten before every prompt, or a text would be read at the positions of the
    images before it.

    Args:
        model: an image-text-to-text model of the `transformers` library, in eval mode.
    """

    def __init__(self, model: Any) -> None:
        self._torch = require("torch", "vision", "VisionBackend")
        self._new_cache = require("transformers", "vision", "VisionBackend").DynamicCache
        self._cache = cache_argument(model)
        self._model = model
        self._device = model.get_input_embeddings().weight.device
        self._precision = model.get_input_embeddings().weight.dtype
        self._remembers = [module for module in model.modules() if hasattr(module, "rope_deltas")]
        # Of thousands of image tokens' logits, only the last token's are asked for.
        last = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._last: dict[str, Any] = {"logits_to_keep": 1} if last else {}

    def begin(
        self,
        ids: Sequence[int],
        marks: Mapping[str, Sequence[int]],
        tensors: Mapping[str, Any],
        *,
        keep: bool = False,
    ) -> tuple[Any, Any]:
        """Compute a prompt.

        Args:
            ids: its tokens, at least one.
            marks: what goes along with each token, by the name of the model's argument.
            tensors: the images, by the name of the model's argument.
            keep: also return keys and values, for `step`.

        Returns:
            The last position's logits, float32, shape (1, vocabulary); keys and values, or None.
        """
        for module in self._remembers:
            module.rope_deltas = None
        past = self._new_cache() if keep else None
        tokens = self._tensor([list(ids)])
        features = {name: self._tensor([list(row)]) for name, row in marks.items()}
        features |= {name: self._moved(value) for name, value in tensors.items()}
        features["attention_mask"] = self._torch.ones_like(tokens)
        return self._logits(tokens, past, features), past

    def step(self, past: Any, token: int) -> Any:
        """Append one token to what `begin` kept; the logits there."""
        # Without a mask: Qwen2-VL takes one for the positions of all tokens, not of the new one.
        return self._logits(self._tensor([[token]]), past, {})

    def label_logits(self, logits: Any, ids: Sequence[int]) -> list[float]:
        """The logits of these tokens."""
        chosen: list[float] = logits[0, self._tensor(list(ids))].tolist()
        return chosen

    def _logits(self, ids: Any, past: Any, features: dict[str, Any]) -> Any:
        with self._torch.inference_mode():
            known = {self._cache: past, "use_cache": past is not None}
            out = self._model(input_ids=ids, **known, **features, **self._last)
        return out.logits[:, -1].float()

    def _tensor(self, rows: list[Any]) -> Any:
        return self._torch.tensor(rows, device=self._device)

    def _moved(self, value: Any) -> Any:
        if not hasattr(value, "to"):
            return value
        moved = value.to(self._device)
        return moved.to(self._precision) if moved.is_floating_point() else moved
