"""Files of running text: plain, Markdown, HTML, PDF and Word, each read as one title and one text."""

from __future__ import annotations

import gzip
import os
import re
import zlib
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

from limrank_plugins.errors import InputError
from limrank_plugins.files import MAX_LINE_BYTES
from limrank_plugins.pipes import opened
from limrank_plugins.text_encoding import is_guess, text_encoding

KINDS = {
    ".txt": "text",
    ".text": "text",
    ".md": "Markdown",
    ".markdown": "Markdown",
    ".html": "HTML",
    ".htm": "HTML",
    ".xhtml": "HTML",
    ".pdf": "PDF",
    ".docx": "Word",
}
"""Endings of text files and what they hold; all but PDF and Word may be gzipped (`.txt.gz`)."""

READINGS = {"HTML": 2}
"""How often it has changed what is read of a kind: an index of what was read before is built again."""

_NEVER_PACKED = ("PDF", "Word")


@dataclass(frozen=True, slots=True)
class TextFile:
    """What a text file holds.

    Attributes:
        text: all of it.
        title: the first heading of Markdown and Word, the title of HTML and PDF; else the file's name.
        pages: of a PDF, where each page begins in the text, in characters.
        encoding: that it is read in where it says nothing of it and is not UTF-8; else "".
    """

    text: str
    title: str
    pages: tuple[int, ...] = ()
    encoding: str = ""

    def page_at(self, place: int) -> int | None:
        """The page, from 1, on which a character stands; None for a file without pages."""
        return bisect_right(self.pages, place) if self.pages else None


def text_kind(path: str | os.PathLike[str]) -> str:
    """What the name of a file says that it holds, as in `KINDS`; else ""."""
    name = os.fspath(path).lower()
    kind = KINDS.get(Path(name.removesuffix(".gz")).suffix, "")
    return "" if kind in _NEVER_PACKED and name.endswith(".gz") else kind


def plain_name(path: str | os.PathLike[str]) -> str:
    """The name of a file without its ending: the title of a text that has none."""
    return Path(path).name.removesuffix(".gz").rpartition(".")[0]


def read_text_file(path: Path) -> TextFile:
    """The title and the text of a file.

    Raises:
        InputError: it cannot be read, is empty, is no text, or has a password.
        MissingExtra: pypdf is not installed, for PDF, or python-docx, for Word.
    """
    name, kind = plain_name(path), text_kind(path)
    if kind == "PDF":
        from limrank_plugins.pdf_text import pdf_pages

        title, pages = pdf_pages(path)
        starts = tuple(sum(len(page) + 2 for page in pages[:number]) for number in range(len(pages)))
        return TextFile("\n\n".join(pages), title or name, starts)
    if kind == "Word":
        from limrank_plugins.docx_text import docx_text

        title, text = docx_text(path)
        return TextFile(text, title or name)
    encoding = _declared(path) if kind == "HTML" else ""
    encoding = encoding or text_encoding(path)
    text = _decoded(path, encoding)
    guess = encoding if is_guess(encoding) else ""
    if kind == "HTML":
        from limrank_plugins.html_text import html_text

        try:
            title, text = html_text(text)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        if not text:
            raise InputError(f"{path} shows no text: it is empty, or a script writes it")
        return TextFile(text, title or name, encoding=guess)
    return TextFile(text, (_heading(text) if kind == "Markdown" else "") or name, encoding=guess)


def _decoded(path: Path, encoding: str) -> str:
    try:
        with opened(path, encoding) as stream:
            data = stream.read(MAX_LINE_BYTES + 1)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not {encoding.upper()} ({error.reason}): write it as UTF-8") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path} is not a whole gzip file: {error}") from error
    if len(data) > MAX_LINE_BYTES:
        raise InputError(f"{path} is longer than {MAX_LINE_BYTES:,} bytes, the most that is read: split it")
    if b"\0" in data:
        raise InputError(f"{path} is no text, whatever its name says: it holds NUL bytes")
    try:
        text = str(data, "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {line}: not UTF-8 ({error.reason}); write it as UTF-8") from error
    if not text.strip():
        raise InputError(f"{path} is empty")
    return text.replace("\r\n", "\n")


def _declared(path: Path) -> str:
    """The encoding that an HTML file says it is in, if it is one that Python knows and not UTF-8."""
    with opened(path) as stream:
        try:
            begin = bytes(stream.read(2048))
        except (EOFError, gzip.BadGzipFile, zlib.error):
            return ""  # who reads it says what is wrong
    declared = _CHARSET.search(begin)
    if declared is None or begin.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        return ""
    name = declared[1].decode("ascii").lower()
    try:
        "".encode(name)
    except LookupError:
        return ""
    # Web pages that say latin-1 are in cp1252: browsers read them so (WHATWG Encoding Standard).
    western = {"iso-8859-1": "cp1252", "latin-1": "cp1252", "latin1": "cp1252", "us-ascii": "", "ascii": ""}
    return "" if name in ("utf-8", "utf8") else western.get(name, name)


def _heading(markdown: str) -> str:
    """The first heading; what is marked as code holds none."""
    outside = _CODE.sub("", markdown)
    found = _HEADING.search(outside)
    return found[1] if found else ""


_CHARSET = re.compile(rb"""<meta[^>]+charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)""", re.IGNORECASE)
_CODE = re.compile(r"^ {0,3}(```+|~~~+).*?(?:^ {0,3}\1|\Z)", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(\S.*?)(?:[ \t]+#+)?[ \t]*$", re.MULTILINE)
