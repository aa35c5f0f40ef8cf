"""Images as they stand in queries and documents: encoded bytes, never decoded here."""

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
    """An image as its file's bytes. Equal bytes are equal images.

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
        """The image as a `data:` URL, which is how OpenAI-style messages carry it."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode('ascii')}"


def image_files(names: object, beside: str | os.PathLike[str], where: str) -> list[Path]:
    """The image files that a line of a JSONL file names, relative to its folder; they need not be there.

    Args:
        names: the line's field `images`; None for none.
        beside: the JSONL file.
        where: file and line, for messages.

    Raises:
        InputError: it is no list of names, or one leads out of the file's folder.
    """
    if names is None:
        return []
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise InputError(f"{where}: 'images' must be a list of file names, but is {str(names)[:80]}")
    folder = Path(beside).parent
    for name in names:
        # Whoever wrote the collection must not choose which other images of this machine are shown.
        if os.path.isabs(name) or os.path.normpath(name).split(os.sep)[0] == os.pardir:
            raise InputError(
                f"{where}: the image {name!r} must be in the folder of {Path(beside).name} or below: name it "
                f"relative to that folder"
            )
    return [folder / name for name in names]


def read_images(names: object, beside: str | os.PathLike[str], where: str) -> tuple[Image, ...]:
    """The images themselves; see `image_files`.

    Raises:
        InputError: as there; or a file is missing or is no image.
    """
    try:
        return tuple(Image.open(file) for file in image_files(names, beside, where))
    except InputError as error:
        message = str(error)
        raise InputError(message if message.startswith(where) else f"{where}: {message}") from error
