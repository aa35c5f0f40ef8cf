"""Any folder of corpus, queries and judgements: BEIR's layout, and TREC's qrels in its place; BEIR itself.

BEIR (arXiv 2104.08663) unpacks to folders of that layout; the hub has its sets as `mteb/<set>` with the
configurations `corpus`, `queries` and `default` (the judgements).
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from limrank_evals.exclusion import read_excluded
from limrank_evals.judgements import about_judgements, read_judgements
from limrank_evals.loaders.benchmark import Benchmark, check_count
from limrank_evals.loaders.dataset_rows import dataset_rows, judged, mteb_documents, mteb_queries
from limrank_evals.loaders.repository import repository_file
from limrank_evals.splits import Split
from limrank_evals.tasks.task import Task
from limrank_plugins.corpus import Corpus, read_corpus, whole_where_named
from limrank_plugins.data import Query
from limrank_plugins.errors import InputError
from limrank_plugins.io import read_queries
from limrank_plugins.prompts import instructions
from limrank_plugins.tables import KINDS as TABLES

QUERY_FILES = tuple(f"queries{ending}" for ending in TABLES)
"""What a folder's file of queries may be called; with .gz, too."""
QRELS_FILES = ("qrels.trec", "qrels.txt", "qrels.tsv", "qrels.csv")
"""What its file of judgements may be called, where it has one; with .gz, too."""
QRELS_ENDINGS = (".tsv", ".trec", ".csv")
"""How the names of such files end in a folder `qrels`, one for each split; with .gz, too."""


class BeirSet(NamedTuple):
    """A set of BEIR: its published counts, which judgements are measured, where the hub has it.

    `own`: its queries are documents of the corpus, which must not count as found for themselves.
    """

    queries: int
    documents: int
    repository: str
    split: str = "test"
    own: bool = False


# Table 1 of the paper; those that anyone may download.
BEIR_SETS = {
    "trec-covid": BeirSet(50, 171_332, "mteb/trec-covid"),
    "nfcorpus": BeirSet(323, 3_633, "mteb/nfcorpus"),
    "nq": BeirSet(3_452, 2_681_468, "mteb/nq"),
    "hotpotqa": BeirSet(7_405, 5_233_329, "mteb/hotpotqa"),
    "fiqa": BeirSet(648, 57_638, "mteb/fiqa"),
    "arguana": BeirSet(1_406, 8_674, "mteb/arguana", own=True),
    "webis-touche2020": BeirSet(49, 382_545, "mteb/touche2020"),
    "quora": BeirSet(10_000, 522_931, "mteb/quora", own=True),
    "dbpedia-entity": BeirSet(400, 4_635_922, "mteb/dbpedia"),
    "scidocs": BeirSet(1_000, 25_657, "mteb/scidocs"),
    "fever": BeirSet(6_666, 5_416_568, "mteb/fever"),
    "climate-fever": BeirSet(1_535, 5_416_593, "mteb/climate-fever"),
    "scifact": BeirSet(300, 5_183, "mteb/scifact"),
    "msmarco": BeirSet(6_980, 8_841_823, "mteb/msmarco", "dev"),
}


def load_beir(name: str, source: str | os.PathLike[str] | None = None, *, strict: bool = True) -> Benchmark:
    """Load a set of BEIR; a query that is a document, too (ArguAna, Quora), is excluded for itself.

    Args:
        name: one of `BEIR_SETS`.
        source: a folder that holds the set's folder, or that folder; another repository of mteb's layout;
            None for `mteb/<set>` on the hub.
        strict: a count that is not the published one is an error, not a warning.

    Raises:
        InputError: an unknown set, a file is missing, wrong rows or counts.
        BackendError: the hub cannot be read.
    """
    if name not in BEIR_SETS:
        raise InputError(f"BEIR has no set {name!r} that can be loaded; known are {', '.join(BEIR_SETS)}")
    known = BEIR_SETS[name]
    place = None if source is None else Path(source)
    if place is not None and place.is_dir():
        inside = place / name
        benchmark = load_folder(inside if inside.is_dir() else place, known.split, name="BEIR")
    else:
        benchmark = _from_hub(str(source or known.repository), known.split, f"BEIR {name}")
    where = f"BEIR {name}"
    notes = check_count(f"{where}, queries", len(benchmark.queries), known.queries, strict=strict)
    notes += check_count(f"{where}, documents", len(benchmark.documents), known.documents, strict=strict)
    excluded = {query: set(documents) for query, documents in benchmark.excluded.items()}
    if known.own:
        ids = {document.id for document in benchmark.documents}
        for query in benchmark.queries:
            if query.id in ids:
                excluded.setdefault(query.id, set()).add(query.id)
    return replace(
        benchmark,
        name="BEIR",
        split=name,
        excluded={query: frozenset(documents) for query, documents in excluded.items()},
        licence="the set's own, see https://github.com/beir-cellar/beir",
        variant=known.split,
        warnings=(*benchmark.warnings, *notes),
    )


def _from_hub(source: str, split: str, where: str) -> Benchmark:
    qrels = judged((where, row) for row in dataset_rows(source, "default", split))
    texts = mteb_queries(source, "queries", where)
    queries = tuple(Query(text, name) for name, text in texts.items() if name in qrels)
    return Benchmark("BEIR", split, queries, mteb_documents(source, "corpus", where), qrels)


def load_folder(
    folder: str | os.PathLike[str] | Corpus,
    split: str = "test",
    *,
    name: str = "",
    judged_only: bool = True,
) -> Benchmark:
    """Load `corpus.jsonl`, `queries.jsonl` and `qrels/<split>.tsv` or `qrels.trec`; `.gz` too.

    Corpus and queries may be tables of another kind, too: `.csv`, `.tsv`, `.json`, `.parquet`. Without a
    file `corpus.…`, all other files are the corpus, as `limrank_plugins.corpus` reads them; texts are left
    whole where judgements name their files, and not passages of them.

    Args:
        folder: where they are, perhaps with how the corpus is read; `excluded.txt` beside them is read, too.
        split: which of `qrels/`; a folder with one `qrels.trec` has one split, of any name.
        name: of the benchmark; the folder's, by default.
        judged_only: leave out queries without judgements, as BEIR means them (other splits' queries
            are in the same file).

    Raises:
        InputError: a file is missing, what is in it is wrong, or no query is judged.
    """
    corpus = folder if isinstance(folder, Corpus) else Corpus(os.fspath(folder))
    place = Path(corpus.name)
    if not place.is_dir():
        raise InputError(f"there is no folder {corpus.name!r}")
    queries_file = repository_file(place, *QUERY_FILES)
    of_split = (f"qrels/{split}{ending}" for ending in QRELS_ENDINGS)
    qrels_file = repository_file(place, *of_split, *QRELS_FILES)
    qrels, notes = read_judgements(qrels_file), about_judgements(qrels_file)
    queries = read_queries(queries_file)
    if not any(query.id in qrels for query in queries):
        raise InputError(
            f"no query of {queries_file} is judged: its ids are like {queries[0].id!r}, those of "
            f"{qrels_file} like {next(iter(qrels), '')!r}"
        )
    out = [file for file in (place / "excluded.txt", place / "excluded.txt.gz") if file.is_file()]
    return Benchmark(
        name or place.resolve().name,
        split,
        tuple(query for query in queries if query.id in qrels or not judged_only),
        tuple(read_corpus(whole_where_named(corpus, {d for grades in qrels.values() for d in grades}))),
        qrels,
        {query: frozenset(documents) for query, documents in read_excluded(out[0]).items()} if out else {},
        variant=qrels_file.name,
        warnings=tuple(notes),
        by_model=bool(notes),
    )


HUB = "mteb/<set>"
MEASURES = ("nDCG@10", "R@100", "RR@10")


def load(split: str, source: str, *, strict: bool = True) -> Split:
    """One set; raises as `load_beir` does."""
    name = f"beir/{split}"
    return Split(
        load_beir(split, None if source == HUB else source, strict=strict),
        MEASURES,
        instruction=name if name in instructions() else "",
        prompts="beir, in this package's words",
    )


TASK = Task(
    name="beir",
    title="BEIR (arXiv 2104.08663): its 14 sets that anyone may download.",
    about=(
        "A folder is BEIR's own, unpacked: one set, or a folder of them. ArguAna's and Quora's queries "
        "are documents, too: they do not count as found for themselves. Name the sets (-t scifact -t "
        "nfcorpus …): hotpotqa, fever, climate-fever, dbpedia-entity, nq and msmarco hold "
        "millions of documents."
    ),
    load=load,
    splits=tuple(BEIR_SETS),
    source=HUB,
)
