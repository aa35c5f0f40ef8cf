"""Encoders of texts and images: one vector space for both (CLIP, MM-Embed, embedding VLMs)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from limrank_plugins.backends.counting import note
from limrank_plugins.backends.local.hub import hub_or_cache
from limrank_plugins.backends.local.image_tokens import decode
from limrank_plugins.backends.local.loading import (
    model_name,
    no_progress_bar,
    pretrained,
    refuse_own_modules,
)
from limrank_plugins.backends.local.loading_errors import loading_errors
from limrank_plugins.backends.local.placement import Placement, placement
from limrank_plugins.backends.local.requests import Replies
from limrank_plugins.backends.local.shared_model import SharedModel
from limrank_plugins.backends.protocols import Arrived, Embedded, Encode, Failed, Reply
from limrank_plugins.backends.remote.markers import break_markers, marker_pattern
from limrank_plugins.checks import whole_number
from limrank_plugins.data import Usage
from limrank_plugins.errors import BackendError, InputError, one_sentence, require
from limrank_plugins.segments import Prompt, Segment, clean_text

_WHY = "MultimodalEncoderBackend"
_FAR = 1 << 30


class MultimodalEncoderBackend:
    """Turns texts, images, or both into vectors. Safe to use from many threads: a lock guards the model.

    Every item is encoded on its own, so that a vector does not depend on what else is encoded.

    Args:
        model: folder or hub name of a sentence-transformers model that takes images, or, with
            `own_encode`, of a model that brings an `encode` of its own.
        own_encode: the model's class has `encode([{"txt": …, "img": …}], is_query=…, instruction=…,
            max_length=…)`, as `nvidia/MM-Embed` (CC-BY-NC-4.0) has. Needs `trust_remote_code`.
        trust_remote_code: run Python code that comes with the model. Default: no.
        fusion: what is done where a model takes text or one image, but not both together (CLIP), or
            not several: `"refuse"` (default) fails the item; `"mean"` takes the mean of the parts' unit
            vectors, as score fusion does.
        device: `"cpu"`, `"cuda"`, …; default: a GPU where there is one.
        dtype: `"float32"` (default), `"bfloat16"` or `"float16"`.
        revision: branch, tag or commit of a hub model.
        query_instruction: for queries: `encode`'s instruction, or a sentence-transformers prompt.
        max_length: tokens of an item for a model's own `encode`; default 4,096.

    A marker such as `<image>` in a text is broken by a space, so that it can stand for no image, and a
    text that reads as a path or an address of an image stays text. A text longer than the model reads is cut
    at its end, and the reply says by how many tokens.

    Raises:
        InputError: a value that cannot be used.
        BackendError: the model cannot be loaded, or does not do what it should.
        MissingExtra: sentence-transformers, transformers or Pillow is not installed.
    """

    name = "multimodal-encoder"
    shows_images = True

    def __init__(
        self,
        model: str,
        *,
        own_encode: bool = False,
        trust_remote_code: bool = False,
        fusion: str = "refuse",
        device: str | None = None,
        dtype: str = "float32",
        revision: str | None = None,
        query_instruction: str = "",
        max_length: int = 4096,
    ) -> None:
        if own_encode and not trust_remote_code:
            raise InputError(
                f"own_encode runs code that comes with {model!r}: give trust_remote_code=True if you trust it"
            )
        if fusion not in ("refuse", "mean"):
            raise InputError(f"fusion must be 'refuse' or 'mean', but got {fusion!r}")
        whole_number("max_length", max_length, least=1)
        torch = require("torch", "vision", _WHY)
        require("PIL", "vision", _WHY)
        self.model = model
        self._arguments: dict[str, Any] = {
            "model": model,
            "own_encode": own_encode,
            "fusion": fusion,
            "dtype": dtype,
            "revision": revision,
            "query_instruction": query_instruction,
            "max_length": max_length,
        }
        self._fusion, self._instruction = fusion, query_instruction
        if device is None and not torch.cuda.is_available():
            device = "cpu"
        place = placement(device, dtype, "vision", _WHY)
        kind = _OwnEncoder if own_encode else _SentenceEncoder
        with loading_errors(model), no_progress_bar(), hub_or_cache(model):
            encoder: _Encoder = kind(model, place, revision, trust_remote_code, max_length)
        self._model: SharedModel[_Encoder] = SharedModel(f"the encoder {model!r}", encoder)
        self._markers = marker_pattern(encoder.markers)
        named = model_name(model, revision, recursive=True)
        parts = [self.name, named, str(own_encode), fusion, dtype, str(max_length), query_instruction]
        self.identity = "|".join(part.replace("\\", "\\\\").replace("|", "\\|") for part in parts)

    @property
    def arguments(self) -> dict[str, Any]:
        """What makes this backend again, as JSON; see `EncoderBackend.arguments`."""
        return dict(self._arguments)

    def encode(self, requests: Sequence[Encode], arrived: Arrived | None = None) -> list[Reply]:
        """Answer each request with its vector, float32, or `Failed`; see `Encodes`."""
        for request in requests:
            if request.role not in ("query", "passage"):
                raise InputError(f"an encoding role must be 'query' or 'passage', but got {request.role!r}")
        replies = Replies(arrived)
        with self._model.turn() as encoder:
            for i, request in enumerate(requests):
                replies[i] = self._embedded(encoder, request)
        return replies.in_order()

    def close(self) -> None:
        """Release the model. May be called twice; encoding after it is a `BackendError`."""
        self._model.close()

    # ---- inside ---------------------------------------------------------------------------------

    def _embedded(self, encoder: _Encoder, request: Encode) -> Embedded | Failed:
        read = Prompt((Segment(clean_text(request.text), trusted=False),))
        text, broken = break_markers(read, self._markers)
        note(Usage(neutralised=broken))
        instruction = self._instruction if request.role == "query" else ""
        try:
            images = [decode(image, number) for number, image in enumerate(request.images, start=1)]
            # An empty text beside an image says nothing, and would be half of a mean.
            words = [text] if text.strip() or not images else []
            parts = [(words, images)]
            if not encoder.takes(bool(words), len(images)):
                if self._fusion == "refuse":
                    return Failed(
                        f"the encoder {self.model!r} takes a text or an image, not "
                        f"{len(words)} text and {len(images)} images together: give fusion='mean', or an "
                        f"encoder that reads them together"
                    )
                parts = [([word], []) for word in words] + [([], [image]) for image in images]
                if not all(encoder.takes(bool(words), len(images)) for words, images in parts):
                    return Failed(f"the encoder {self.model!r} takes no images at all")
            vectors = [encoder.vector(part, request.role, instruction) for part in parts]
            shown = [instruction + word for texts, _ in parts for word in texts]
            cut = sum(max(0, encoder.size(text) - encoder.limit) for text in shown)
        except (InputError, ValueError) as error:
            return Failed(f"it cannot be encoded: {one_sentence(error)}")
        vector = vectors[0] if len(vectors) == 1 else np.mean([_unit(v) for v in vectors], axis=0)
        if not np.isfinite(vector).all():
            return Failed("the encoder gave a vector that is not finite")
        return Embedded(np.ascontiguousarray(vector, dtype=np.float32), cut_tokens=cut)


_Item = tuple[list[str], list[Any]]
"""Texts (none or one) and images."""


class _SentenceEncoder:
    """A sentence-transformers model; which kinds of input it takes is for it to say."""

    def __init__(
        self, model: str, place: Placement, revision: str | None, trust: bool, max_length: int
    ) -> None:
        library = require("sentence_transformers", "mini", _WHY)
        refuse_own_modules(model, trust)
        self._model = library.SentenceTransformer(
            model,
            device=str(place.device),
            revision=revision,
            trust_remote_code=trust,
            model_kwargs={"dtype": place.dtype},
        )
        self._model.eval()
        self._kinds = {kind if isinstance(kind, str) else tuple(kind) for kind in _modalities(self._model)}
        if "image" not in self._kinds and "message" not in self._kinds:
            raise BackendError(f"{model!r} takes no images: use EncoderBackend for an encoder of texts")
        self._tokenizer = getattr(self._model, "tokenizer", None)
        self.limit = int(getattr(self._model, "max_seq_length", None) or _FAR)
        self.markers = _markers(self._tokenizer)

    def size(self, text: str) -> int:
        """How many tokens the text has, the special ones included."""
        return _size(self._tokenizer, text)

    def takes(self, text: bool, images: int) -> bool:
        """Whether it takes these together."""
        if "message" in self._kinds:
            return True
        if text and images:
            return images == 1 and bool({("image", "text"), ("text", "image")} & self._kinds)
        return ("text" if text else "image") in self._kinds and images <= 1

    def vector(self, item: _Item, role: str, instruction: str) -> Any:
        """The item's vector. Kinds are named, so that no text is taken for the path of an image."""
        words, images = item
        inputs: dict[str, Any] = {"text": words[0]} if words else {}
        if images:
            inputs["image"] = images[0] if len(images) == 1 else images
        vectors = self._model.encode(
            [inputs], prompt=instruction or None, show_progress_bar=False, convert_to_numpy=False
        )
        return vectors[0].float().cpu().numpy()


class _OwnEncoder:
    """A model with an `encode` of its own."""

    def __init__(
        self, model: str, place: Placement, revision: str | None, trust: bool, max_length: int
    ) -> None:
        options = {"revision": revision, "trust_remote_code": trust, "dtype": place.dtype}
        loaded = pretrained("AutoModel", model, extra="vision", **options)
        if not callable(getattr(loaded, "encode", None)):
            raise BackendError(f"{model!r} has no encode of its own: leave own_encode out")
        self._model = loaded.to(place.device).eval()
        self._length = max_length
        self._torch = require("torch", "vision", _WHY)
        processor = getattr(loaded, "processor", None)
        self.limit = max_length
        self._tokenizer = getattr(loaded, "tokenizer", None) or getattr(processor, "tokenizer", None)
        self.markers = _markers(self._tokenizer)

    def size(self, text: str) -> int:
        """How many tokens the text has, the special ones included."""
        return _size(self._tokenizer, text)

    def takes(self, text: bool, images: int) -> bool:
        """Text, an image, or both."""
        return images <= 1

    def vector(self, item: _Item, role: str, instruction: str) -> Any:
        """The item's vector."""
        words, images = item
        inputs: dict[str, Any] = {"txt": words[0]} if words else {}
        if images:
            inputs["img"] = images[0]
        options = {"is_query": True, "instruction": instruction} if role == "query" else {}
        with self._torch.inference_mode():
            output = self._model.encode([inputs], max_length=self._length, **options)
        rows = output["hidden_states"] if isinstance(output, dict) else output
        row = rows[0]
        vector = row.float().cpu().numpy() if hasattr(row, "cpu") else np.asarray(row, dtype=np.float32)
        if vector.ndim != 1:
            raise BackendError(f"the model's encode gave an array of shape {vector.shape} for one item")
        return vector


_Encoder = _SentenceEncoder | _OwnEncoder


def _modalities(model: Any) -> list[Any]:
    kinds = getattr(model, "modalities", None)
    if kinds is None:
        raise BackendError(
            "images need a newer sentence-transformers: pip install -U 'sentence-transformers>=5.4'"
        )
    return list(kinds)


def _size(tokenizer: Any, text: str) -> int:
    """0 where the model has no tokenizer that could be asked."""
    if not callable(tokenizer):
        return 0
    return len(tokenizer(text, truncation=False, verbose=False)["input_ids"])


def _markers(tokenizer: Any) -> list[str] | None:
    """The strings that this tokenizer turns into special or added tokens; None where it does not say."""
    known = getattr(tokenizer, "added_tokens_decoder", None)
    return None if known is None else [token.content for token in known.values() if token.content.strip()]


def _unit(vector: Any) -> Any:
    length = np.linalg.norm(vector)
    return vector / length if length > 0 else vector
