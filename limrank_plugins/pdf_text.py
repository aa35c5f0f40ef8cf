"""The pages of a PDF file as text, by pypdf."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from limrank_plugins.errors import InputError, one_sentence, require
from limrank_plugins.segments import clean_text

_NO_TITLES = ("microsoft ", "untitled", "word document")
_NO_TITLES = ("microsoft ", "untitled", "word document")
_DIVIDED = re.compile(r"([^\W\d_])[-­]\n([^\W\d_])")


def pdf_pages(path: Path) -> tuple[str, list[str]]:
    """The title that a PDF says it has, or "", and the text of every page.

    Raises:
        InputError: it has a password, is damaged, or holds no text.
        MissingExtra: pypdf is not installed.
    """
    pypdf = require("pypdf", "files", f"reading {path.name}")
    with _quiet():
        try:
            reader = pypdf.PdfReader(path)
            if reader.is_encrypted and not reader.decrypt(""):
                raise InputError(f"{path} has a password: save it without one")
            pages = [_joined(clean_text(page.extract_text())).strip() for page in reader.pages]
            title = reader.metadata.title if reader.metadata is not None else None
        except InputError:
            raise
        except Exception as error:  # damaged files fail in any way
            raise InputError(f"{path} is no PDF that can be read ({one_sentence(error)})") from error
    if not any(pages):
        raise InputError(f"{path} holds no text, perhaps images of it: run it through OCR")
    return plain_title(title), pages


def _joined(text: str) -> str:
    """The text with the words whole that are divided at the end of a line."""
    return _DIVIDED.sub(lambda match: match[1] + match[2] if match[2].islower() else match[0], text)


def plain_title(title: object) -> str:
    """The title in a file's properties, unless programs put it there: the name of a file, or nothing much."""
    text = " ".join(clean_text(title).split()) if isinstance(title, str) else ""
    is_title = " " in text and not text.lower().startswith(_NO_TITLES) and len(text) <= 300
    return text if is_title else ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Without pypdf's remarks on what it repairs."""
    log = logging.getLogger("pypdf")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
