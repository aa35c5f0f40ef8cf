"""Rankify's pre-retrieved lists (arXiv 2502.02464): questions, their answers and a retriever's passages.

The hub's `abdoelsayed/reranking-datasets-light` (and the larger one without `-light`) has a file
`<retriever>/<dataset>.json` for each, such as `bm25/nq-test.json`: a list of `question`, `answers` and
`ctxs`, each of those with `id`, `score`, `has_answer` and, in some files, `title` and `text`. Where they are
not, they are in DPR's `psgs_w100.tsv` by `id`. Layout: `Document.from_dict` and `Dataset` of
github.com/DataScienceUIBK/Rankify. Its counts by file could not be verified, so none is checked.

A passage is relevant where `has_answer` is true: an answer's string is in it. Passages that were not
retrieved are not judged, so only measures of the order are meaningful, and those over the lists' own depth:
Rankify reports top-k accuracy, here `Success@k`. Questions are as in the file; Rankify itself adds a question
mark to those without.
"""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from limrank_evals.judgements import Qrels
from limrank_evals.loaders.benchmark import Benchmark
from limrank_evals.loaders.dataset_rows import field, file_rows, identifier
from limrank_evals.loaders.repository import repository_file
from limrank_evals.splits import GIVEN, Split
from limrank_evals.tasks.task import Task
from limrank_plugins.checks import whole_number
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError
from limrank_plugins.files import read_json
from limrank_plugins.wording import number_of, verb_for

HUB = "abdoelsayed/reranking-datasets-light"
LICENCE = "Apache-2.0 (its lists; questions and passages: their sources')"
RANKIFY_MEASURES = ("Success@1", "Success@5", "Success@10", "Success@20", "RR", "nDCG@10")


def load_rankify(
    source: str | os.PathLike[str] = HUB,
    dataset: str = "",
    *,
    retriever: str = "bm25",
    depth: int | None = None,
    passages: str | os.PathLike[str] | None = None,
) -> Benchmark:
    """Load one file.

    Args:
        source: the file itself (`.json`, `.jsonl`, or `.gz` of them), or a folder or repository of the hub
            with `<retriever>/<dataset>.json`.
        dataset: which (`nq-test`), where `source` is not the file.
        retriever: whose lists, where `source` is not the file.
        depth: only this many of each list; default: all.
        passages: `psgs_w100.tsv`, for files without texts.

    Raises:
        InputError: no such file, an entry that is none, a passage without text or judgement, or an id that
            stands for two passages.
        BackendError: the hub cannot be read.
    """
    if depth is not None:
        whole_number("depth", depth, least=1)
    file = Path(source)
    if not file.is_file():
        if not dataset:
            raise InputError(
                f"{os.fspath(source)!r} is no file: give one, or a folder or repository and a dataset, for "
                f"example {HUB} and nq-test"
            )
        file = repository_file(source, f"{retriever}/{dataset}.json", f"{retriever}/{dataset}.jsonl")
    queries: list[Query] = []
    qrels: Qrels = {}
    texts = _PassageTexts()
    repeated = 0
    for number, entry in enumerate(_entries(file), start=1):
        where = f"{file}, question {number}"
        name = str(next((entry[key] for key in ("query_id", "_id", "id") if key in entry), f"q{number}"))
        queries.append(Query(field(entry, "question", where), name))
        contexts = field(entry, "ctxs" if "ctxs" in entry else "contexts", where, list)[:depth]
        grades = qrels[name] = {}
        for place, context in enumerate(contexts, start=1):
            passage, grade = _judged(context, f"{where}, passage {place}")
            repeated += passage in grades
            grades.setdefault(passage, grade)
            texts.add(passage, context, f"{where}, passage {place}")
    warnings = (
        [f"{number_of(repeated, 'passage')} {verb_for(repeated, 'were')} in a list twice; the first counts"]
        if repeated
        else []
    )
    return Benchmark(
        "Rankify",
        dataset or file.name.removesuffix(".gz").rsplit(".", 1)[0],
        tuple(queries),
        texts.documents(file, None if passages is None else Path(passages)),
        qrels,
        licence=LICENCE,
        variant="has_answer",
        candidates={query: list(grades) for query, grades in qrels.items()},
        warnings=tuple(warnings),
    )


def _entries(file: Path) -> Iterator[dict[str, Any]]:
    if file.name.removesuffix(".gz").endswith(".jsonl"):
        yield from file_rows(file)
        return
    rows = read_json(file)
    if not isinstance(rows, list):
        raise InputError(f"{file}: expected a list of questions, but got {type(rows).__name__}")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise InputError(f"{file}, question {number}: expected an object, but got {str(row)[:80]!r}")
        yield row


def _judged(context: Any, where: str) -> tuple[str, int]:
    """A passage's id and grade."""
    if not isinstance(context, dict):
        raise InputError(f"{where}: expected an object, but got {str(context)[:80]!r}")
    right = context.get("has_answer")
    if not isinstance(right, bool):
        raise InputError(
            f"{where}: 'has_answer' must be true or false, but is {right!r}: it says what is relevant"
        )
    return identifier(context, where, "id"), int(right)


class _PassageTexts:
    """Titles and texts of the passages, as they become known."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, str] | None] = {}

    def add(self, passage: str, context: dict[str, Any], where: str) -> None:
        """Note a passage, with its text if it is there."""
        if context.get("text") is None:
            self._found.setdefault(passage, None)
            return
        title = "" if context.get("title") is None else field(context, "title", where)
        title_and_text = title, field(context, "text", where)
        if self._found.get(passage) not in (None, title_and_text):
            raise InputError(
                f"{where}: id {passage!r} stood for another passage before: an id must mean one passage in "
                f"the whole file"
            )
        self._found[passage] = title_and_text

    def documents(self, file: Path, table: Path | None) -> tuple[Document, ...]:
        """All of them, in the order they came in."""
        missing = {passage for passage, text in self._found.items() if text is None}
        if missing and table is not None:
            self._found.update(_from_table(table, missing))
            missing = {passage for passage, text in self._found.items() if text is None}
        if missing:
            fix = "name DPR's psgs_w100.tsv with `passages`" if table is None else f"nor has {table}"
            raise InputError(
                f"{file} has no text for {number_of(len(missing), 'passage')}, for example "
                f"{sorted(missing)[0]!r}: {fix}"
            )
        return tuple(
            Document(text[1], passage, text[0]) for passage, text in self._found.items() if text is not None
        )


def _from_table(table: Path, wanted: set[str]) -> dict[str, tuple[str, str]]:
    """Title and text of the wanted rows of a table with the columns `id`, `text` and `title`."""
    opened = gzip.open if table.name.endswith(".gz") else open
    try:
        with opened(table, "rt", encoding="utf-8", newline="") as stream:
            rows = csv.DictReader(stream, delimiter="\t")
            if not {"id", "text", "title"} <= set(rows.fieldnames or ()):
                raise InputError(
                    f"{table}: expected the columns id, text and title, but got {rows.fieldnames}"
                )
            return {row["id"]: (row["title"] or "", row["text"] or "") for row in rows if row["id"] in wanted}
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table} cannot be read: {error}") from error


_ENDINGS = (".json", ".jsonl", ".json.gz", ".jsonl.gz")


def load(
    split: str,
    source: str,
    *,
    strict: bool = True,
    retriever: str = "bm25",
    passages: Path | None = None,
) -> Split:
    """One file; raises as `load_rankify` does. There are no published counts that `strict` could mean."""
    dataset = "" if Path(source).is_file() else split
    benchmark = load_rankify(source, dataset, retriever=retriever, passages=passages)
    return Split(
        benchmark,
        RANKIFY_MEASURES,
        lists=f"Rankify's lists of {retriever}" if dataset else "lists in Rankify's layout",
        first_stage=GIVEN,
    )


def find(source: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """The files there are; the hub's must be named."""
    place = Path(source)
    files = [place] if place.is_file() else sorted((place / str(options.get("retriever", ""))).glob("*"))
    names = [
        file.name.removesuffix(ending) for file in files for ending in _ENDINGS if file.name.endswith(ending)
    ]
    return tuple(dict.fromkeys(names))


TASK = Task(
    name="rankify",
    title="Rankify's pre-retrieved lists (arXiv 2502.02464): questions and passages that may answer them.",
    about=(
        "A source is a file in its layout, a folder, or a repository that holds <retriever>/<split>.json: "
        "-t nq-test. A passage is relevant that holds an answer's string; top-k accuracy is Success@k."
    ),
    load=load,
    find=find,
    source=HUB,
    first_stage=GIVEN,
    helps={
        "retriever": "Whose lists: a folder of the source.",
        "passages": "DPR's psgs_w100.tsv, for files without texts.",
    },
)
