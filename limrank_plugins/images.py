"""Pictures as they stand in queries and documents: encoded bytes, never decoded here."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from limrank_plugins.errors import InputError

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


@dataclass(frozen=True, slots=True)
class Image:
    """A picture. Equal bytes are equal images.

    Attributes:
        data: the file's bytes: PNG, JPEG, GIF or WebP.
        media_type: found out from the bytes.

    Raises:
        InputError: the bytes are none of these formats.
    """

    data: bytes = field(repr=False)
    media_type: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.data, bytes):
            raise InputError(f"Image.data must be bytes, but got {type(self.data).__name__}")
        known = next((kind for start, kind in _SIGNATURES if self.data.startswith(start)), None)
        if known is None and self.data[:4] == b"RIFF" and self.data[8:12] == b"WEBP":
            known = "image/webp"
        if known is None:
            raise InputError(
                f"an image must be PNG, JPEG, GIF or WebP, but these {len(self.data)} bytes begin with "
                f"{self.data[:8]!r}"
            )
        object.__setattr__(self, "media_type", known)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file.

        Raises:
            InputError: there is no such file, or it is no image.
        """
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise InputError(f"the image {os.fspath(path)!r} cannot be read: {error.strerror}") from error
        try:
            return cls(data)
        except InputError as error:
            raise InputError(f"{os.fspath(path)}: {error}") from error

    @property
    def url(self) -> str:
        """The picture as a `data:` URL, which is how OpenAI-style messages carry it."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode('ascii')}"
