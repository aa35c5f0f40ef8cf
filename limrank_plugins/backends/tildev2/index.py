"""The weights of a corpus's tokens: one sparse row per passage, found by what the passage says.

Compressed rows of (token id, largest weight), as npy files that are memory-mapped: `indptr`, `indices`
(int32) and `values`. Passages are found by a hash of their text, so documents of any framework need no ids.
The tokenizer lies beside them, so that nothing but it is loaded to answer a query.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from limrank_plugins.backends.local.loading import pretrained
from limrank_plugins.backends.tildev2.expansion import MAX_TOKENS, Expansion
from limrank_plugins.backends.tildev2.model import TILDEv2
from limrank_plugins.backends.tildev2.quantise import check_bits, largest_code, quantised
from limrank_plugins.backends.tildev2.sparse import Sparse, sparse, stacked
from limrank_plugins.backends.tildev2.terms import Terms
from limrank_plugins.checks import finite_number, whole_number
from limrank_plugins.data import Document
from limrank_plugins.errors import BackendError, InputError, MissingExtra
from limrank_plugins.folders import (
    AGAIN,
    check_files,
    check_numbers,
    corrupt,
    manifest_fields,
    read_array,
    read_manifest_file,
    whole_folder,
    write_manifest,
)
from limrank_plugins.segments import clean_text

_MANIFEST = "manifest.json"
_TOKENIZER = "tokenizer"
_KIND, _FORMAT = "tildev2", 1
_ARRAYS = ("keys", "indptr", "indices", "values", "cut")
_OURS = {_MANIFEST, _TOKENIZER, *(f"{name}.npy" for name in _ARRAYS)}
_AT_ONCE = 256

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class TILDEv2Index:
    """Make one with `build` or `load`. Immutable; safe to use from many threads.

    Attributes:
        keys: uint64, shape (passages, 2): the hash of each passage, ascending by its first half.
        rows: the weights, in the order of the keys.
        cut: int32, shape (passages,): tokens of each passage that were not read.
        about: what the weights depend on (`model`, `expansion`, `bits`, `step`, `limit`), and a `digest`.
        terms: which tokens count.
    """

    keys: Array
    rows: Sparse
    cut: Array
    about: Mapping[str, Any]
    terms: Terms
    _tokenizer: Any = field(repr=False)

    @classmethod
    def build(
        cls,
        documents: Iterable[str | Document],
        model: TILDEv2,
        *,
        expansion: Expansion | None = None,
        bits: int | None = None,
        batch_size: int = 32,
        on_progress: Callable[[int], None] | None = None,
    ) -> Self:
        """Weigh the tokens of a corpus. It is held in memory: about 1 KB a passage.

        Args:
            documents: passages; those that read the same are stored once.
            model: weighs the tokens.
            expansion: adds tokens to each passage; None adds none.
            bits: 8 or 16: weights are stored as whole numbers of steps, which keeps their order up to one
                step and makes the values a fourth or half as large; None keeps float32.
            batch_size: most passages in one forward pass on a GPU.
            on_progress: called with the number of passages that were weighed, after every 256.

        Raises:
            InputError: no documents, or a value that cannot be used.
            BackendError: a weight is not finite; the document is named.
        """
        check_bits(bits)
        weights: dict[tuple[int, int], tuple[Sparse, int]] = {}
        part: dict[tuple[int, int], tuple[str, str]] = {}

        def weigh() -> None:
            fresh = weighed([text for text, _ in part.values()], model, expansion, batch_size)
            for (key, (_, name)), row in zip(part.items(), fresh, strict=True):
                if isinstance(row, str):
                    raise BackendError(f"document {name} cannot be indexed: {row}")
                weights[key] = row
            part.clear()
            if on_progress is not None:
                on_progress(len(weights))

        for position, item in enumerate(documents):
            document = item if isinstance(item, Document) else Document(item)
            key = _key(document.passage)
            if key not in weights:
                part.setdefault(key, (document.passage, repr(document.id or position)))
            if len(part) == _AT_ONCE:
                weigh()
        if part:
            weigh()
        if not weights:
            raise InputError("there are no documents to index")
        order = sorted(weights)
        rows = stacked([weights[key][0] for key in order])
        values, step = quantised(rows.values, bits)
        rows = Sparse(rows.indptr, rows.indices, values, step)
        keys = np.asarray(order, dtype=np.uint64)
        cut = np.asarray([weights[key][1] for key in order], dtype=np.int32)
        about = {
            "model": model.identity,
            "expansion": None if expansion is None else expansion.identity,
            "bits": bits,
            "step": step,
            "limit": model.limit,
        }
        about["digest"] = _digest(about, keys, rows, cut)
        return cls(keys, rows, cut, about, model.terms, model.tokenizer)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the index, whole or not at all; an index that is there is replaced, anything else is not."""
        with whole_folder(folder, _OURS) as part:
            arrays = (self.keys, self.rows.indptr, self.rows.indices, self.rows.values, self.cut)
            for name, array in zip(_ARRAYS, arrays, strict=True):
                np.save(part / f"{name}.npy", array, allow_pickle=False)
            self._tokenizer.save_pretrained(part / _TOKENIZER)
            body = {
                "format": _FORMAT,
                "kind": _KIND,
                "count": len(self),
                "entries": len(self.rows.indices),
                "about": dict(self.about),
            }
            write_manifest(part / _MANIFEST, body)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], *, mmap: bool = True) -> Self:
        """Open what `save` wrote; with `mmap`, the weights stay on disk until they are needed.

        Raises:
            InputError: the folder is not there, is no index of this kind, or is incomplete or corrupt.
            MissingExtra: transformers, whose tokenizer reads the queries, is not installed.
        """
        place = Path(folder)
        count, entries, about = _manifest(place)
        keys = read_array(place / "keys.npy", np.uint64, (count, 2), mapped=mmap)
        indptr = read_array(place / "indptr.npy", np.int64, (count + 1,), mapped=mmap)
        indices = read_array(place / "indices.npy", np.int32, (entries,), mapped=mmap)
        kind = {None: np.float32, 8: np.uint8, 16: np.uint16}[about["bits"]]
        values = read_array(place / "values.npy", kind, (entries,), mapped=mmap)
        cut = read_array(place / "cut.npy", np.int32, (count,), mapped=mmap)
        if indptr[0] != 0 or indptr[-1] != entries or (np.diff(indptr) < 0).any():
            raise corrupt(place / "indptr.npy", f"its rows must begin at 0, grow and end at {entries}")
        check_numbers(place / "indices.npy", indices)
        check_numbers(place / "values.npy", values)
        check_numbers(place / "cut.npy", cut)
        if (keys[1:, 0] < keys[:-1, 0]).any():
            raise corrupt(place / "keys.npy", "the passages' hashes must ascend")
        try:
            tokenizer = pretrained("AutoTokenizer", place / _TOKENIZER, local_files_only=True)
        except Exception as error:  # the library's own are plain ones
            if isinstance(error, MissingExtra):
                raise
            raise corrupt(place / _TOKENIZER, error) from error
        rows = Sparse(indptr, indices, values, about["step"])
        return cls(keys, rows, cut, about, Terms(tokenizer), tokenizer)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def identity(self) -> str:
        """Changes with anything a score depends on."""
        return f"{_KIND}-index:{self.about['digest']}"

    def find(self, passages: Sequence[str]) -> list[int | None]:
        """The row of each passage, or None where it is not in the index."""
        wanted = [_key(passage) for passage in passages]
        starts = np.searchsorted(self.keys[:, 0], np.asarray([a for a, _ in wanted], dtype=np.uint64))
        return [self._at(int(start), key) for start, key in zip(starts, wanted, strict=True)]

    def _at(self, row: int, key: tuple[int, int]) -> int | None:
        while row < len(self.keys) and int(self.keys[row, 0]) == key[0]:
            if int(self.keys[row, 1]) == key[1]:
                return row
            row += 1
        return None


def weighed(
    passages: Sequence[str], model: TILDEv2, expansion: Expansion | None, batch_size: int = 32
) -> list[tuple[Sparse, int] | str]:
    """One sparse row for each passage and how many of its tokens were cut; or why there is none."""
    tokens = [model.terms.tokens(passage) for passage in passages]
    added: list[list[int]] = [[] for _ in passages]
    if expansion is not None:
        added = expansion.expand(tokens, model, batch_size=batch_size)
    longest = None if expansion is None else MAX_TOKENS
    laid = [model.layout(own, more, longest_passage=longest) for own, more in zip(tokens, added, strict=True)]
    rows: list[tuple[Sparse, int] | str] = []
    for row, weights in zip(laid, model.weigh(laid, batch_size=batch_size), strict=True):
        if not np.isfinite(weights).all():
            rows.append("the model gives it weights that are not finite")
        else:
            rows.append((sparse(row.ids, weights, model.terms.stopped), row.cut))
    return rows


def _key(passage: str) -> tuple[int, int]:
    digest = hashlib.sha256(clean_text(passage).encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:16], "big")


def _digest(about: Mapping[str, Any], keys: Array, rows: Sparse, cut: Array) -> str:
    digest = hashlib.sha256(json.dumps(dict(about), sort_keys=True).encode("ascii"))
    for array in (keys, rows.indptr, rows.indices, rows.values, cut):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


def _manifest(place: Path) -> tuple[int, int, dict[str, Any]]:
    file = place / _MANIFEST
    if not place.is_dir():
        raise InputError(f"there is no index at {place}: {AGAIN} (`limrank expand`)")
    if not file.is_file():
        raise InputError(f"{place} is no TILDEv2 index, or an incomplete one: it has no {_MANIFEST}; {AGAIN}")
    body = read_manifest_file(file)
    with manifest_fields(file):
        kind, version, about = body["kind"], body["format"], dict(body["about"])
        count, entries = (whole_number(name, body[name], least=0) for name in ("count", "entries"))
        largest_code(about["bits"])
        finite_number("step", about["step"] if about["bits"] is not None else 0, least=0)
        str(about["digest"])
    if kind != _KIND or version != _FORMAT:
        raise InputError(
            f"{place} holds {kind!r}, format {version!r}; this reads {_KIND!r}, {_FORMAT}: {AGAIN}"
        )
    check_files(file, body)
    return count, entries, about
