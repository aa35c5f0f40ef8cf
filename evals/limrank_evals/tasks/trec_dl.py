"""TREC Deep Learning 2019 to 2022, passages: MS MARCO's queries, judged in depth by NIST.

The files are those of MS MARCO and NIST, in one folder, under their own names, pyserini's, ir_datasets'
(`trec-dl-2019/queries.tsv`, `trec-dl-2019/qrels`) or plain ones:

- passages: `collection.tsv` (id, tab, text; 2019 and 2020), `msmarco_v2_passage/*.gz` (JSON lines with `pid`
  and `passage`; 2021 and 2022), or `corpus.jsonl` in BEIR's layout;
- topics: `msmarco-test2019-queries.tsv`, `2021_queries.tsv`, `topics.dl19-passage.txt`, …: id, tab, text;
- judgements: `2019qrels-pass.txt`, `2022.qrels.pass.withDupes.txt`, `qrels.dl19-passage.txt`, …

A grade of 1 is "related", not relevant (trec.nist.gov/data/deep2022.html): binary measures need `rel=2`,
nDCG takes the grades as they are. Queries without judgements are left out. Counts of judged queries and of
passages: Anserini's reproduction pages (dl19- to dl22-passage, experiments-msmarco-v2).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from limrank_evals.judgements import read_judgements
from limrank_evals.loaders.benchmark import Benchmark, check_count
from limrank_evals.loaders.candidate_lists import listed_or_judged, run_lists
from limrank_evals.loaders.repository import repository_file
from limrank_evals.retriever_specs import names_retriever
from limrank_evals.split_files import run_file
from limrank_evals.splits import Split
from limrank_evals.tasks.task import Task
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError
from limrank_plugins.files import json_rows, read_lines

TREC_DL_MEASURES = ("nDCG@10", "AP(rel=2)@1000", "RR(rel=2)@10", "R(rel=2)@1000")
LICENCE = "MS MARCO: non-commercial research; judgements: NIST, public domain"


@dataclass(frozen=True, slots=True)
class TrecYear:
    """One year's track.

    Attributes:
        queries: with judgements.
        passages: in its collection.
        topics: names its topics' file has.
        qrels: names its judgements' file has.
        collections: names its passages' file or folder has.
    """

    queries: int
    passages: int
    topics: tuple[str, ...]
    qrels: tuple[str, ...]
    collections: tuple[str, ...]


_PLAIN_TOPICS = ("queries.tsv", "topics.tsv")
_PLAIN_QRELS = ("qrels.trec", "qrels.txt")
_COLLECTIONS = {1: ("collection.tsv", "corpus.jsonl"), 2: ("msmarco_v2_passage", "corpus.jsonl")}
_PASSAGES = {1: 8_841_823, 2: 138_364_198}


def _year(year: int, version: int, queries: int, topics: str, qrels: str) -> TrecYear:
    short, long = f"dl{year % 100}", f"trec-dl-{year}"
    return TrecYear(
        queries,
        _PASSAGES[version],
        (topics, f"topics.{short}-passage.txt", f"topics.{short}.txt", f"{long}/queries.tsv", *_PLAIN_TOPICS),
        (qrels, f"qrels.{short}-passage.txt", f"{long}/qrels", *_PLAIN_QRELS),
        _COLLECTIONS[version],
    )


TREC_DL = {
    "dl19": _year(2019, 1, 43, "msmarco-test2019-queries.tsv", "2019qrels-pass.txt"),
    "dl20": _year(2020, 1, 54, "msmarco-test2020-queries.tsv", "2020qrels-pass.txt"),
    "dl21": _year(2021, 2, 53, "2021_queries.tsv", "2021.qrels.pass.final.txt"),
    "dl22": _year(2022, 2, 76, "2022_queries.tsv", "2022.qrels.pass.withDupes.txt"),
}


def load_trec_dl(
    track: str,
    source: str | os.PathLike[str],
    *,
    run: str | os.PathLike[str] | None = None,
    strict: bool = True,
) -> Benchmark:
    """Load one year.

    Args:
        track: one of `TREC_DL`.
        source: the folder with the files.
        run: a first stage's run; its lists are the candidates, and only their passages and the judged ones
            are kept in memory. Without it all are: 8.8 million in 2019 and 2020, 138 million afterwards.
        strict: a number of judged queries, or of passages where all are read, that is not the published
            one is an error, not a warning.

    Raises:
        InputError: an unknown track, a missing file, a wrong line or count, or a passage of the run that is
            not in the collection.
    """
    if track not in TREC_DL:
        raise InputError(f"there is no TREC DL track {track!r}; there are {', '.join(TREC_DL)}")
    known, where = TREC_DL[track], f"TREC {track}"
    if not Path(source).is_dir():
        raise InputError(f"{where}: there is no folder {os.fspath(source)!r} with its files")
    qrels_file = repository_file(source, *known.qrels)
    qrels = read_judgements(qrels_file)
    queries = tuple(
        Query(text, name) for name, text in _pairs(repository_file(source, *known.topics)) if name in qrels
    )
    warnings = check_count(f"{where}, judged queries", len(queries), known.queries, strict=strict)
    candidates = {} if run is None else run_lists(run, {query.id for query in queries})
    needed = None if run is None else listed_or_judged(candidates, qrels)
    documents = tuple(_passages(Path(source), known.collections, needed))
    if needed is None:
        warnings += check_count(f"{where}, passages", len(documents), known.passages, strict=strict)
    return Benchmark(
        "TREC DL",
        track,
        queries,
        documents,
        qrels,
        licence=LICENCE,
        variant=qrels_file.name,
        candidates=candidates,
        warnings=tuple(warnings),
    )


def _pairs(file: Path) -> Iterator[tuple[str, str]]:
    """Id and text of each line."""
    for number, line in read_lines(file):
        name, tab, text = line.partition("\t")
        if not tab or not name.strip():
            raise InputError(
                f"{file}, line {number}: expected an id, a tab and a text, but got {line[:80]!r}"
            )
        yield name.strip(), text


def _passages(folder: Path, names: tuple[str, ...], needed: Collection[str] | None) -> Iterator[Document]:
    left = None if needed is None else set(needed)
    for file in _files(folder, names):
        rows = _pairs(file) if file.name.removesuffix(".gz").endswith(".tsv") else _objects(file)
        for name, text in rows:
            if left is None:
                yield Document(text, name)
            elif name in left:
                left.remove(name)
                yield Document(text, name)
                if not left:
                    return


def _files(folder: Path, names: tuple[str, ...]) -> list[Path]:
    for name in names:
        if (folder / name).is_dir():
            files = sorted(file for file in (folder / name).iterdir() if file.is_file())
            if files:
                return files
    return [repository_file(folder, *names)]


def _objects(file: Path) -> Iterator[tuple[str, str]]:
    """Id and text of MS MARCO's second version (`pid`, `passage`) or of BEIR's layout (`_id`, `text`)."""
    for where, row in json_rows(file):
        name, text = row.get("pid", row.get("_id")), row.get("passage", row.get("text"))
        if not isinstance(name, str) or not isinstance(text, str):
            raise InputError(f"{where}: expected 'pid' and 'passage', or '_id' and 'text': {str(row)[:80]!r}")
        yield name, text


def load(split: str, source: str, *, strict: bool = True, first_stage: str = "") -> Split:
    """One year; of a first stage that is a run, only its passages and the judged ones are read."""
    run = None if not first_stage or names_retriever(first_stage) else run_file(first_stage, split).path
    return Split(load_trec_dl(split, source, run=run, strict=strict), TREC_DL_MEASURES)


TASK = Task(
    name="trec-dl",
    title="TREC Deep Learning 2019 to 2022, passages: MS MARCO's queries, judged in depth.",
    about=(
        "FOLDER holds the collection, topics and judgements under their own names. Give a run as "
        "--first-stage: only its passages are kept in memory then (searching means 8.8 million in dl19 and "
        "dl20, 138 million in dl21 and dl22). A grade of 1 is not relevant where a measure is binary: rel=2."
    ),
    load=load,
    splits=tuple(TREC_DL),
)
