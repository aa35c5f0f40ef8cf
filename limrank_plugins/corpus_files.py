"""A corpus by name: which files it is made of, how they are read, and which of a folder are not, and why."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from limrank_plugins.data import Document
from limrank_plugins.errors import InputError
from limrank_plugins.fields import TEXT_FIELDS, TITLE_FIELD
from limrank_plugins.folder_reading import Reading
from limrank_plugins.index_folders import index_files, is_index, is_other_index
from limrank_plugins.pieces import PassageRule, check_splitter, has_splitter, passage_rule
from limrank_plugins.pipes import is_pipe, opened, refuse_address
from limrank_plugins.tables import KINDS as TABLES
from limrank_plugins.tables import table_kind
from limrank_plugins.text_files import KINDS as TEXTS
from limrank_plugins.text_files import plain_name, text_kind

USUAL_PASSAGES = PassageRule(180)
"""How files of running text are split unless told otherwise: into what the default recipe reads whole."""

_NEEDS = {"PDF": "pypdf", "Word": "docx", "Parquet": "pyarrow"}
_WORDS, _CELLS, _SLIDES = ".docx, .pdf or .txt", ".csv", ".pdf"
_SAVED_AS = {
    ".doc": _WORDS, ".odt": _WORDS, ".rtf": _WORDS, ".xls": _CELLS, ".xlsx": _CELLS, ".ods": _CELLS,
    ".ppt": _SLIDES, ".pptx": _SLIDES, ".odp": _SLIDES,
}  # fmt: skip
_KINDS = " ".join([*TABLES, *TEXTS])
_OPEN_IN_WORD = "~$"  # how Word names the file beside one that is open
_CORPUS_NAMES = [f"corpus{ending}{packed}" for ending in TABLES for packed in ("", ".gz")]
_QUERY_NAMES = {f"queries{ending}{packed}" for ending in TABLES for packed in ("", ".gz")}


@dataclass(frozen=True, slots=True)
class Corpus:
    """The name of a corpus, and how its files are read. Wherever a corpus is named, this may stand.

    Attributes:
        name: a file of rows or of running text, a folder of such files, a folder in BEIR's layout, the folder
            of a saved index, or the word `samples`. The texts of an index are as they were read for it.
        field: which field of a row holds the text; None: the first of `text`, `contents`, `content`, `body`
            and `passage` that it has. In a folder, rows without the field have one of these.
        title_field: which field of a row holds the title; None: `title`. In a folder, rows without the field
            have it under `title`.
        passages: how long texts are split into passages that are documents of their own: a length such as
            `"300 words"`, with an overlap as `"300 words, overlap 50"`, or `"whole"`. None: files of running
            text into passages of 180 words at most, rows not.

    Raises:
        InputError: `passages` is no such length.
        MissingExtra: `passages` is a length, and the splitter is not installed.
    """

    name: str
    field: str | None = None
    title_field: str | None = None
    passages: str | None = None

    def __post_init__(self) -> None:
        for option in ("field", "title_field"):
            if getattr(self, option) == "":
                raise InputError(f"{option} is empty: name a field, or leave it out")
        if self.passages is not None and passage_rule(self.passages).words is not None:
            check_splitter()

    def __str__(self) -> str:
        options = [("field", self.field), ("title field", self.title_field), ("passages", self.passages)]
        named = [f"{option} {value}" for option, value in options if value is not None]
        return f"{self.name} ({', '.join(named)})" if named else self.name

    def rule_for(self, file: Path) -> PassageRule:
        """How the texts of a file are split."""
        if self.passages is not None:
            return passage_rule(self.passages)
        return USUAL_PASSAGES if text_kind(file) and has_splitter() else PassageRule(None)


def source_record(document: Document) -> dict[str, Any]:
    """The file, and of a PDF the page, that a document was read from; empty for a row of a table."""
    return {name: document.meta[name] for name in ("file", "page") if name in document.meta}


def titled(document: Document) -> str:
    """What a document is called where people read it: its title, and where it stands or its id."""
    if "file" not in document.meta:
        known = dict.fromkeys(filter(None, (document.title, document.id)))
        return " ".join(f"({name})" if place else name for place, name in enumerate(known))
    page = document.meta.get("page")
    place = f"{document.id}{'' if page is None else f', page {page}'}"
    return place if document.title == plain_name(document.meta["file"]) else f"{document.title} ({place})"


def as_named(corpus: str | Corpus) -> Corpus:
    """Accept a plain name wherever a corpus is wanted."""
    return corpus if isinstance(corpus, Corpus) else Corpus(corpus)


def is_samples(name: str) -> bool:
    """Whether a name is the word `samples`, and no file or folder in the working directory has that name."""
    return name == "samples" and not Path(name).exists()


@dataclass(frozen=True, slots=True)
class CorpusFiles:
    """The files that a corpus is made of.

    Attributes:
        paths: in order.
        base: what the names of files are relative to.
        is_folder: they are what a folder holds, and one that cannot be read is left out; else it is an error.
    """

    paths: Sequence[Path]
    base: Path
    is_folder: bool = False

    def name_of(self, file: Path) -> str:
        """What ids and notes call a file."""
        return file.relative_to(self.base).as_posix()


def text_fields(corpus: Corpus, files: CorpusFiles) -> str | Sequence[str] | None:
    """What holds the text of a row; other tables of a folder may have it under one of the usual names."""
    if corpus.field is None or not files.is_folder:
        return corpus.field
    return (corpus.field, *TEXT_FIELDS)


def title_fields(corpus: Corpus, files: CorpusFiles) -> str | Sequence[str] | None:
    """What holds the title of a row; other tables of a folder may have the usual one."""
    if corpus.title_field is None or not files.is_folder:
        return corpus.title_field
    return (corpus.title_field, TITLE_FIELD)


def files_of(corpus: Corpus, reading: Reading) -> CorpusFiles:
    """The files of a corpus that can be read; of a folder's other files a note is taken.

    Raises:
        InputError: there is no such corpus, it may not be read, or the folder holds no file that can be read.
    """
    name, path = corpus.name, Path(corpus.name).expanduser()
    if is_samples(name):
        from limrank_plugins import samples

        return _alone(samples.corpus_path())
    _check_rights(path, name)
    if path.is_file() or is_pipe(path):
        if why := _of_other_programs(name) or _of_no_kind(path, name):
            raise InputError(why)
        return _alone(path)
    refuse_address(name, "the corpus")
    if not path.is_dir():
        raise InputError(
            f"there is no corpus {name!r}: give a file (.jsonl, .json, .csv, .tsv, .parquet, .txt, .md, "
            f".html, .pdf, .docx), a pipe of JSON lines, a folder of such files, or the word samples"
        )
    if is_index(path):
        check_as_indexed(corpus)
        return CorpusFiles(index_files(path), path)
    if reader := is_other_index(path):
        raise InputError(f"{name!r} is the folder of an index, not of texts: it is for {reader}")
    for file in _CORPUS_NAMES:
        if os.path.isfile(path / file):
            return _alone(path / file)
    files = [file for file in _walk(path, reading) if _can_be_read(file, path, reading)]
    if not files:
        why = "".join(f"; {sentence}" for sentence in reading.sentences(repr(name)))
        raise InputError(f"folder {name!r} holds no file that can be read ({_KINDS}){why}")
    return CorpusFiles(files, path, is_folder=True)


def check_as_indexed(corpus: Corpus) -> None:
    """Check that nothing is said about how the texts of an index are to be read.

    Raises:
        InputError: something is; it is named.
    """
    options = {"field": corpus.field, "title field": corpus.title_field, "passages": corpus.passages}
    for option, value in options.items():
        if value is not None:
            raise InputError(
                f"{corpus.name!r} is an index, and its texts are as they were read when it was built, but "
                f"the {option} is {value!r}: leave that out, or index the texts again with it"
            )


def _check_rights(path: Path, name: str) -> None:
    """Check that this user may look into a folder, and into the folders above what is named."""
    is_folder = os.path.isdir(path)
    try:
        os.stat(os.path.join(path, ".") if is_folder else path)
    except PermissionError as error:
        raise InputError(f"{'folder' if is_folder else 'corpus'} {name!r} may not be read") from error
    except (OSError, ValueError):
        return  # not there, which is said where it is looked for


def _alone(file: Path) -> CorpusFiles:
    return CorpusFiles([file], file.parent)


def _walk(folder: Path, reading: Reading) -> list[Path]:
    """The files of a folder and its folders but hidden ones; links to folders are not followed (loops)."""
    files: list[Path] = []

    def unreadable(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise InputError(f"folder {str(folder)!r} may not be read") from error
        place = Path(error.filename).relative_to(folder).as_posix()
        reading.skip(place, f"folder {place} cannot be read: {error.strerror}")

    for place, folders, names in os.walk(folder, onerror=unreadable):
        here = Path(place)
        try:
            os.stat(os.path.join(place, "."))  # names may be listed where files may not be opened
        except OSError as error:
            unreadable(error)
            folders.clear()
            continue
        if here != folder and (is_index(here) or is_other_index(here)):
            index = here.relative_to(folder).as_posix()
            reading.skip(index, f"{index} is the folder of an index, not of texts")
            folders.clear()
            continue
        for name in [name for name in folders if (here / name).is_symlink()]:
            linked = (here / name).relative_to(folder).as_posix()
            reading.skip(linked, f"{linked} is a link to a folder, which is not followed")
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [here / name for name in names if not name.startswith((".", _OPEN_IN_WORD))]
    return sorted(files)


def _is_for_evaluation(name: str) -> bool:
    """Whether a file beside passages holds what `limrank eval folder` asks about them."""
    return name in _QUERY_NAMES or name.startswith(("qrels.", "qrels/"))


def _of_other_programs(name: str) -> str:
    """Why a file of text or cells is not read, and what to do; "" for others."""
    saved_as = _SAVED_AS.get(Path(name).suffix.lower())
    return f"{name} is of a kind that is not read: save it as {saved_as}" if saved_as else ""


def _of_no_kind(path: Path, name: str) -> str:
    """Why a file is not read whose ending says nothing, unless it begins as JSON lines do; "" for others."""
    if is_pipe(path) or table_kind(path) or text_kind(path):
        return ""
    try:
        with opened(path) as stream:
            begin = stream.read(1024)
    except (InputError, EOFError, OSError, zlib.error):
        return ""  # who reads it says what is wrong
    # UTF-16 has a NUL beside each letter, and a mark before them.
    if begin.replace(b"\0", b"").lstrip(b"\xff\xfe\xef\xbb\xbf \t\r\n")[:1] in (b"{", b""):
        return ""
    return f"{name} is of a kind that is not read, or has another ending than its kind ({_KINDS})"


def _can_be_read(file: Path, folder: Path, reading: Reading) -> bool:
    kind = table_kind(file) or text_kind(file)
    name = file.relative_to(folder).as_posix()
    if _is_for_evaluation(name):
        reading.for_evaluation.append(name)
        return False
    if why := _of_other_programs(name):
        reading.skip(name, why)
        return False
    if not kind:
        ending = "".join(file.suffixes[-2:])[-12:] or "without an ending"
        reading.of_other_kinds[ending] = reading.of_other_kinds.get(ending, 0) + 1
        return False
    if not os.path.isfile(file):
        reading.skip(name, f"{name} is a link to nothing, a pipe or a device")
        return False
    needed = _NEEDS.get(kind)
    if needed is not None and find_spec(needed) is None:
        reading.skip(name, f"{name} needs {needed}, which is not installed: pip install 'limrank[files]'")
        return False
    return True
