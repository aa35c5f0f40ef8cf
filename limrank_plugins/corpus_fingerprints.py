"""By what an index knows its corpus: a hash of all that the documents are made of."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from limrank_plugins.corpus_files import Corpus, as_named, files_of, text_fields, title_fields
from limrank_plugins.errors import InputError
from limrank_plugins.fields import ID_FIELDS, TEXT_FIELDS
from limrank_plugins.files import json_rows
from limrank_plugins.folder_reading import Reading
from limrank_plugins.images import image_files
from limrank_plugins.index_folders import is_index
from limrank_plugins.pieces import WHOLE
from limrank_plugins.pipes import is_pipe, regular_file
from limrank_plugins.rows import LeftOut
from limrank_plugins.tables import table_kind, table_rows
from limrank_plugins.text_encoding import has_detector
from limrank_plugins.text_files import READINGS, text_kind

_READ_AS = 2
"""The version of how files are read whose names matter, as a folder's do; part of their fingerprint."""


def corpus_fingerprint(corpus: str | Corpus) -> str:
    """A hash of all that the documents are made of: an edited corpus is another one, a moved one is not.

    These are the bytes of its files and images, how they are read, and the names of files where ids or titles
    are made of them.

    Raises:
        InputError: there is no such corpus, or it is a pipe, which can be read only once.
    """
    digest = hashlib.sha256()
    named = as_named(corpus)
    files = files_of(named, Reading())
    if is_index(named.name):
        digest.update(b"index\0" + files.paths[0].read_bytes())  # its manifest has the others' checksums
        return digest.hexdigest()[:20]
    if is_pipe(files.paths[0]):
        regular_file(files.paths[0], "corpus")
    with_names = files.is_folder or _ids_are_made(files.paths[0])
    rules = [str(named.rule_for(file)) for file in files.paths]
    if with_names or set(rules) != {WHOLE} or named != Corpus(named.name):
        # What is read of a folder changed: an index of before holds nothing behind a wrong row.
        how = [
            _READ_AS if with_names else False,
            text_fields(named, files),
            title_fields(named, files),
        ]
        how += [sorted(set(rules)), has_detector()]
        kinds = set(map(text_kind, files.paths))
        how += [f"{kind} {reading}" for kind, reading in READINGS.items() if kind in kinds]
        digest.update(json.dumps(how).encode() + b"\0")
    else:
        digest.update(b"rows\0")  # as earlier versions have it
    for file in files.paths:
        name = files.name_of(file) if with_names else ""
        if _hash_file(digest, name, file):
            for image in _images(file):
                _hash_file(digest, name, image)
    return digest.hexdigest()[:20]


def _ids_are_made(file: Path) -> bool:
    """Whether ids of documents may be made of the name of the file that a corpus is."""
    if text_kind(file) or table_kind(file) not in ("JSON lines", ""):
        return True
    try:
        first = next(json_rows(file), ("", {}))[1]
    except InputError:
        return True
    return not any(name in first for name in ID_FIELDS)


def _hash_file(digest: Any, name: str, file: Path) -> bool:
    """Add a file to the hash; whether it may name images."""
    try:
        stream = file.open("rb")
    except OSError:  # said where the corpus is read; once the file may be read, the corpus is another one
        digest.update(f"{name}\0unreadable\0".encode("utf-8", "surrogateescape"))
        return False
    # A look at each row takes longer than all else of a search in 200 MB.
    key, names_images, end = b'"images"', file.suffix == ".gz", b""
    with stream:
        size = os.fstat(stream.fileno()).st_size
        digest.update(f"{name}\0{size}\0".encode("utf-8", "surrogateescape"))
        while block := stream.read(1 << 20):
            digest.update(block)
            names_images = names_images or key in block or key in end + block[: len(key)]
            end = block[-len(key) :]
    return names_images and table_kind(file).startswith("JSON")


def _images(file: Path) -> Iterator[Path]:
    """The image files that rows of JSON name; what is wrong with them is reported when the corpus is read."""
    try:
        for where, _, row in table_rows(file, TEXT_FIELDS, unusable=LeftOut()):
            with suppress(InputError):
                yield from (path for path in image_files(row.get("images"), file, where) if path.is_file())
    except InputError:
        return
