"""A sentence-transformers model for texts and images as a module that is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limrank_plugins.backends.local.image_tokens import decode
from limrank_plugins.backends.local.loading import loading, refuse_own_modules
from limrank_plugins.backends.remote.markers import break_markers, marker_pattern
from limrank_plugins.errors import BackendError, InputError, require
from limrank_plugins.images import Image
from limrank_plugins.segments import Prompt, Segment
from limrank_training.data.multimodal_rows import Content


def vector_module(base: str) -> Any:
    """A module whose vectors are those of `MultimodalEncoderBackend(base, fusion="mean")`, at length 1.

    Where the model takes a text or an image, but not both (CLIP), an item of both is the mean of their
    unit vectors. A marker in a text is broken by a space, as at inference.

    Raises:
        InputError: there is no such folder, and it is no hub name.
        BackendError: it cannot be loaded, or takes no images.
    """
    torch = require("torch", "training", "training")
    library = require("sentence_transformers", "training", "vectors of texts and images")
    with loading(base) as source:
        refuse_own_modules(source, False)
        model = library.SentenceTransformer(source, device="cpu", model_kwargs={"dtype": torch.float32})
    kinds = {kind if isinstance(kind, str) else tuple(kind) for kind in getattr(model, "modalities", ())}
    together = "message" in kinds or bool({("image", "text"), ("text", "image")} & kinds)
    if "image" not in kinds and "message" not in kinds:
        raise BackendError(f"{base} takes no images: give a sentence-transformers model that does")
    added = getattr(model.tokenizer, "added_tokens_decoder", None)
    markers = None if added is None else [token.content for token in added.values() if token.content.strip()]
    pattern = marker_pattern(markers)

    class VectorModule(torch.nn.Module):  # type: ignore[misc, name-defined]  # the library is not typed here
        """Vectors of length 1."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def features(self, items: Sequence[Content]) -> tuple[list[Any], list[Any]]:
            """What the model reads, by kind of input, and for each the items that its rows belong to.

            Raises:
                InputError: an image cannot be read, or several are in an item of a model that takes one.
            """
            parts: dict[tuple[str, ...], list[tuple[int, dict[str, Any]]]] = {}
            for number, item in enumerate(items):
                for inputs in _parts(item, together, pattern):
                    parts.setdefault(tuple(sorted(inputs)), []).append((number, inputs))
            features, owners = [], []
            for of_kind in parts.values():
                features.append(dict(model.preprocess([inputs for _, inputs in of_kind])))
                owners.append(torch.tensor([number for number, _ in of_kind]))
            return features, owners

        def forward(self, features: list[Any], owners: list[Any]) -> Any:
            """Shape (items, size), float32."""
            count = 1 + max(int(places.max()) for places in owners)
            sums: Any = None
            for inputs, places in zip(features, owners, strict=True):
                rows = torch.nn.functional.normalize(self.model(dict(inputs))["sentence_embedding"].float())
                sums = rows.new_zeros((count, rows.shape[1])) if sums is None else sums
                sums = sums.index_add(0, places.to(rows.device), rows)
            return torch.nn.functional.normalize(sums)

        def write(self, place: Path) -> None:
            """Write what `MultimodalEncoderBackend` reads."""
            self.model.save_pretrained(str(place), create_model_card=False)

    return VectorModule().eval()


def _parts(item: Content, together: bool, pattern: Any) -> list[dict[str, Any]]:
    text = (
        break_markers(Prompt((Segment(item.text, trusted=False),)), pattern)[0] if item.text.strip() else ""
    )
    images = [decode(Image.open(file)) for file in item.files]
    if together and len(images) > 1:
        raise InputError(f"{item.files[1].name}: an item of several images cannot be trained on")
    if together and text and images:
        return [{"image": images[0], "text": text}]
    return [*({"text": text} for _ in range(bool(text))), *({"image": image} for image in images)]
