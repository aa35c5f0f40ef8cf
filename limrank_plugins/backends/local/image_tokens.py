"""What the processor of a vision-language model makes of images."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from limrank_plugins.errors import BackendError, require
from limrank_plugins.images import Image, ImageError

# Between two placeholders; a private-use character, which no image is ever expanded to.
_BETWEEN = "\ue004"


@dataclass(frozen=True)
class ImageTokens:
    """What a processor makes of a prompt's images.

    Attributes:
        ids: for each image, the tokens that stand for it.
        marks: by name, for each image, what else goes along with its tokens (token types).
        tensors: what the model is given besides: pixels, grids, sizes.
    """

    ids: list[list[int]] = field(default_factory=list)
    marks: dict[str, list[list[int]]] = field(default_factory=dict)
    tensors: dict[str, Any] = field(default_factory=dict)


class ImageTokenizer:
    """What a processor does to images, apart from any text.

    The processor is only ever shown placeholders, never a query or a passage, so that nothing in them
    can become one. What it makes of each placeholder is put into the prompt's tokens afterwards.

    Args:
        processor: of the `transformers` library.
        prefix: tokens the tokenizer puts before every text.
        max_pixels: larger images are made smaller first; None: never.

    Raises:
        BackendError: the processor has no placeholder for images, or one that is not one token.
    """

    def __init__(self, processor: Any, prefix: Sequence[int], max_pixels: int | None = None) -> None:
        self._processor = processor
        self._max_pixels = max_pixels
        self._prefix = list(prefix)
        tokenizer = processor.tokenizer
        # Gemma 3 writes one token for an image and turns it into others.
        names = [getattr(processor, name, None) for name in ("boi_token", "image_token")]
        known = [name for name in names if isinstance(name, str) and name]
        if not known:
            raise BackendError(
                f"{type(processor).__name__} names no placeholder for images (image_token): this model "
                f"cannot be used here; a server that knows it can (backend='openai')"
            )
        self.placeholder = known[0]
        ids = tokenizer(self.placeholder, add_special_tokens=False)["input_ids"]
        if len(ids) != 1:
            raise BackendError(f"the placeholder {self.placeholder!r} is not one token but {len(ids)}")
        self.token = int(ids[0])
        pair = tokenizer(f"{self.placeholder}{_BETWEEN}{self.placeholder}", add_special_tokens=False)
        self._between: list[int] = list(pair["input_ids"])[1:-1]

    def tokenize(self, images: Sequence[Image]) -> ImageTokens:
        """What the model is given for these images.

        Raises:
            ImageError: an image cannot be decoded, or is too small or too large for the processor.
            BackendError: the processor does not do what processors do.
        """
        if not images:
            return ImageTokens()
        decoded = [self._smaller(decode(image, number)) for number, image in enumerate(images, start=1)]
        text = "".join(f"{self.placeholder}{_BETWEEN}" for _ in images)
        try:
            features = dict(self._processor(text=[text], images=decoded, return_tensors="pt"))
        except (ValueError, TypeError) as error:  # a side of one pixel, an absurd aspect ratio
            raise ImageError(f"the model's processor cannot take the prompt's images: {error}") from error
        ids = features.pop("input_ids")
        features.pop("attention_mask", None)
        alike = [name for name, value in features.items() if getattr(value, "shape", None) == ids.shape]
        spans = self._spans(ids[0].tolist(), len(images))
        marks = {name: features.pop(name)[0].tolist() for name in alike}
        whole = ids[0].tolist()
        return ImageTokens(
            [whole[a:b] for a, b in spans],
            {name: [row[a:b] for a, b in spans] for name, row in marks.items()},
            features,
        )

    def _smaller(self, image: Any) -> Any:
        width, height = image.size
        if self._max_pixels is None or width * height <= self._max_pixels:
            return image
        share = (self._max_pixels / (width * height)) ** 0.5
        return image.resize((max(1, int(width * share)), max(1, int(height * share))))

    def _spans(self, ids: list[int], count: int) -> list[tuple[int, int]]:
        """Where each image's tokens are: what stands between the separators."""
        start = len(self._prefix) if ids[: len(self._prefix)] == self._prefix else 0
        spans: list[tuple[int, int]] = []
        width, at = len(self._between), start
        while at + width <= len(ids) and len(spans) < count:
            if ids[at : at + width] == self._between:
                spans.append((start, at))
                start = at = at + width
            else:
                at += 1
        if len(spans) != count or any(a == b for a, b in spans):
            raise BackendError(
                f"{type(self._processor).__name__} made {len(spans)} runs of tokens of {count} images: "
                f"this model cannot be used here; a server that knows it can (backend='openai')"
            )
        return spans


def decode(image: Image, number: int = 1) -> Any:
    """The image as an RGB `PIL.Image`, upright as its EXIF data says; of an animation, the first frame.

    Raises:
        ImageError: it is damaged, or so large that decoding it would be an attack (Pillow's limit).
        MissingExtra: Pillow is not installed.
    """
    pillow = require("PIL.Image", "vision", "an image")
    operations = require("PIL.ImageOps", "vision", "an image")
    try:
        with pillow.open(io.BytesIO(image.data)) as opened:
            return operations.exif_transpose(opened).convert("RGB")
    # Its readers raise whatever a damaged header leads them to: struct.error, KeyError, zlib.error, …
    except Exception as error:
        raise ImageError(
            f"image {number} of the prompt ({image.media_type}) cannot be read: {error}"
        ) from error
