"""Any folder of corpus, queries and judgements: BEIR's layout, and TREC's qrels in its place."""

from __future__ import annotations

import os
from pathlib import Path

from limrank_evals.exclusion import read_excluded
from limrank_evals.judgements import read_judgements
from limrank_evals.loaders.benchmark import Benchmark
from limrank_plugins.errors import InputError
from limrank_plugins.io import read_documents, read_queries


def load_folder(
    folder: str | os.PathLike[str], split: str = "test", *, name: str = "", judged_only: bool = True
) -> Benchmark:
    """Load `corpus.jsonl`, `queries.jsonl` (or `.tsv`) and `qrels/<split>.tsv` or `qrels.trec`; `.gz` too.

    Args:
        folder: where they are; `excluded.txt` beside them is read, too.
        split: which of `qrels/`; a folder with one `qrels.trec` has one split, of any name.
        name: of the benchmark; the folder's, by default.
        judged_only: leave out queries without judgements, as BEIR means them (other splits' queries
            are in the same file).

    Raises:
        InputError: a file is missing, or what is in it is wrong.
    """
    place = Path(folder)
    if not place.is_dir():
        raise InputError(f"there is no folder {str(folder)!r}")
    corpus = _one(place, ["corpus.jsonl"])
    asked = _one(place, ["queries.jsonl", "queries.tsv"])
    graded = _one(
        place, [f"qrels/{split}.tsv", f"qrels/{split}.trec", "qrels.trec", "qrels.txt", "qrels.tsv"]
    )
    qrels = read_judgements(graded)
    queries = read_queries(asked)
    out = [file for file in (place / "excluded.txt", place / "excluded.txt.gz") if file.is_file()]
    return Benchmark(
        name or place.resolve().name,
        split,
        tuple(query for query in queries if query.id in qrels or not judged_only),
        tuple(read_documents(corpus)),
        qrels,
        {query: frozenset(found) for query, found in read_excluded(out[0]).items()} if out else {},
        variant=graded.name,
    )


def _one(place: Path, names: list[str]) -> Path:
    for name in names:
        for file in (place / name, place / f"{name}.gz"):
            if file.is_file():
                return file
    raise InputError(f"{place} holds none of {', '.join(names)} (or .gz)")
