"""Images as they stand in queries and documents: encoded bytes, never decoded here."""

from __future__ import annotations

import base64
import binascii
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from limrank_plugins.errors import InputError
from limrank_plugins.pipes import is_pipe, refuse_address, shown_address

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
MAX_IMAGE_BYTES = 64 << 20
"""The largest image file that is read unless told otherwise."""
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


class ImageError(InputError):
    """An image that a model cannot be shown. Its document fails, never a whole list."""


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
    def open(cls, path: str | os.PathLike[str], *, max_bytes: int = MAX_IMAGE_BYTES) -> Self:
        """Read a file.

        Args:
            path: the file; no pipe and no device, which could be read for ever.
            max_bytes: a larger file is refused.

        Raises:
            InputError: there is no such file, it is an address, no image, or too large.
        """
        refuse_address(os.fspath(path), "the image")
        shown = f"the image {os.fspath(path)!r}"
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise InputError(f"{shown} cannot be read: it is no file")
            with Path(path).open("rb") as stream:
                data = stream.read(max_bytes + 1)
        except OSError as error:
            raise InputError(f"{shown} cannot be read: {error.strerror}") from error
        except ValueError as error:  # a name no file can have
            if isinstance(error, InputError):
                raise
            raise InputError(f"{shown} cannot be read: {error}") from error
        if len(data) > max_bytes:
            raise InputError(f"{shown} is larger than {max_bytes:,} bytes: make it smaller")
        try:
            return cls(data)
        except InputError as error:
            raise InputError(f"{os.fspath(path)}: {error}") from error

    @classmethod
    def from_text(cls, text: str) -> Self:
        """From base64, with or without the head of a `data:` URL. Nothing is fetched.

        Raises:
            InputError: it is another address, no base64, or no image.
        """
        head, comma, encoded = text.partition(",")
        if not (comma and head.lower().startswith("data:") and head.lower().endswith(";base64")):
            if _ADDRESS.match(text):
                raise InputError(
                    f"{shown_address(text)} is an address, which is not fetched: give the image's bytes"
                )
            encoded = text
        try:
            # Line breaks, as `base64` on the command line makes them, are no damage.
            return cls(base64.b64decode("".join(encoded.split()), validate=True))
        except (binascii.Error, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"its base64 cannot be read: {error}") from error

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
        InputError: it is no list of names, or one is an address (nothing is fetched), or leads out of the
            file's folder, by itself or by a link, or is none that a file can have, or names a folder, pipe
            or device.
    """
    if names is None:
        return []
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise InputError(f"{where}: 'images' must be a list of file names, but is {str(names)[:80]}")
    folder = Path() if is_pipe(beside) else Path(beside).parent
    for name in names:
        refuse_address(name, f"{where}: the image")
        # Whoever wrote the collection must not choose which other images of this machine are shown.
        if os.path.isabs(name) or os.path.normpath(name).split(os.sep)[0] == os.pardir:
            raise InputError(
                f"{where}: the image {name!r} must be in the folder of {Path(beside).name} or below: name it "
                f"relative to that folder"
            )
        if "\0" in name or any("\ud800" <= c <= "\udfff" for c in name):
            raise InputError(f"{where}: the image {name!r} is no name that a file can have: rename it")
        _check_inside(folder, name, where)
    return [folder / name for name in names]


def _check_inside(folder: Path, name: str, where: str) -> None:
    """A link must not lead where a name may not, and nothing but a file can be read to its end."""
    file = folder / name
    try:
        if not file.resolve().is_relative_to(folder.resolve()):
            raise InputError(
                f"{where}: the image {name!r} is a link out of the folder: put the image itself there"
            )
        if file.exists() and not file.is_file():
            raise InputError(f"{where}: the image {name!r} is no file")
    except (OSError, RuntimeError) as error:  # a circle of links, a name that is too long
        raise InputError(f"{where}: the image {name!r} cannot be read: {error}") from error


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
