"""The text of a Word file (.docx), by python-docx: its paragraphs and tables, in their order."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from limrank_plugins.errors import InputError, one_sentence, require
from limrank_plugins.files import MAX_LINE_BYTES
from limrank_plugins.pdf_text import plain_title
from limrank_plugins.segments import clean_text

_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_PARAGRAPH, _RUN, _ROW, _TABLE, _MOVED = (f"{_WORD}{name}" for name in ("p", "r", "tr", "tbl", "moveFrom"))
# What stands a second time, for programs that draw no shapes.
_SECOND = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_FORMULA = "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"
_NOT_SHOWN = tuple(f"{_WORD}rPr/{_WORD}{name}" for name in ("vanish", "strike", "dstrike"))
_MOST_UNPACKED = 2 * MAX_LINE_BYTES
_OF_PARAGRAPHS = 1  # python-docx's WD_STYLE_TYPE.PARAGRAPH
_COMPOUND_FILE = bytes.fromhex("d0cf11e0a1b11ae1")  # begins an old .doc, and what holds one with a password


def docx_text(path: Path) -> tuple[str, str]:
    """The title and the text of a Word file; the title may be "".

    The title is the first paragraph that is styled as a title or a heading, else the one in its properties.
    Cells of a table's row stand in one line. Headers, footers, tables of contents and what is struck out are
    not read.

    Raises:
        InputError: it has a password, is damaged or no Word file, is too long, or holds no text.
        MissingExtra: python-docx is not installed.
    """
    docx = require("docx", "files", f"reading {path.name}")
    _check_archive(path)
    try:
        document = docx.Document(str(path))
        title, text = _read(document)
    except Exception as error:  # damaged files fail in any way
        raise InputError(f"{path} is no Word file that can be read ({one_sentence(error)})") from error
    if not text:
        raise InputError(f"{path} holds no text, perhaps images of it: save it as PDF and run it through OCR")
    return title, text


def _check_archive(path: Path) -> None:
    with path.open("rb") as stream:
        if stream.read(len(_COMPOUND_FILE)) == _COMPOUND_FILE:
            raise InputError(f"{path} has a password, or is an older Word file: save it as .docx without one")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise InputError(f"{path} is no Word file that can be read ({one_sentence(error)})") from error
    texts = sum(entry.file_size for entry in entries if entry.filename.endswith((".xml", ".rels")))
    # All that belongs to a document is unpacked with it, its pictures, too.
    for size, most in ((texts, MAX_LINE_BYTES), (sum(entry.file_size for entry in entries), _MOST_UNPACKED)):
        if size > most:
            raise InputError(f"{path} unpacks to more than {most:,} bytes, the most that is read: split it")


def _read(document: Any) -> tuple[str, str]:
    """The title and the text of an opened file."""
    heading, parts, row_before, table_before = "", list[str](), None, None
    names: dict[str | None, str] = {}  # of styles, in English in every language's Word
    for paragraph in _paragraphs(document.element.body):
        line, style = clean_text(_text_of(paragraph)).strip(), paragraph.style
        if style not in names:
            names[style] = (document.styles.get_by_id(style, _OF_PARAGRAPHS).name or "").lower()
        if not line or names[style].startswith("toc "):
            continue
        if names[style].startswith(("title", "heading")):
            heading = heading or " ".join(line.split())
        row, table = (next(paragraph.iterancestors(tag), None) for tag in (_ROW, _TABLE))
        if row is not None and row is row_before:
            parts.append(" ")
        elif parts:
            parts.append("\n" if table is not None and table is table_before else "\n\n")
        parts.append(line)
        row_before, table_before = row, table
    return heading or plain_title(document.core_properties.title), "".join(parts)


def _paragraphs(body: Any) -> Iterator[Any]:
    """All paragraphs, in tables, text boxes and content controls, too."""
    for paragraph in body.iter(_PARAGRAPH):
        if not any(above.tag == _SECOND for above in paragraph.iterancestors()):
            yield paragraph


def _text_of(paragraph: Any) -> str:
    runs = (run for run in paragraph.iter(_RUN, _FORMULA) if _is_shown(run, paragraph))
    return "".join(run.text or "" for run in runs)


def _is_shown(run: Any, paragraph: Any) -> bool:
    """Whether a run is the paragraph's own, and neither hidden nor struck out; what was inserted is shown."""
    if any(_is_on(run.find(name)) for name in _NOT_SHOWN):
        return False
    for above in run.iterancestors():
        if above is paragraph:
            return True
        if above.tag in (_PARAGRAPH, _MOVED, _SECOND):
            return False
    return False


def _is_on(setting: Any) -> bool:
    return setting is not None and setting.get(f"{_WORD}val", "1") not in ("0", "false", "off")
