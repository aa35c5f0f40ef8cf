"""What the folder of `make check-data DATA=folder` must hold, found out before anything is installed or run.

Run as `python data_folder.py FOLDER`, with no package but Python's own: says in one line what is missing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

COLLECTIONS = ("cranfield", "cacm", "scifact_train", "bright_answers")
FURTHER = (
    "bright_rader_rerank_scores",
    "bright_topics_qrels_runs",
    "msmarco_small",
    "openstax_psychology",
    "peer_scores",
    "tokenizers",
    "trec_dl19",
)
"""Published runs, questions and a vocabulary, which some tests read besides."""
_WHERE = "docs/first-stages.md, 'The collections', says where each comes from"


def problem_with(folder: str) -> str:
    """What is wrong with the folder and what it must hold, in one line; "" where nothing is."""
    place, names = Path(folder), ", ".join(COLLECTIONS)
    if not place.is_dir():
        return f"the folder {folder} does not exist: DATA must name one that holds {names}; {_WHERE}"
    lacking = [name for name in COLLECTIONS if not _is_whole(place / name)]
    if not lacking:
        return ""
    return (
        f"the folder {folder} lacks {', '.join(lacking)}: it must hold {names}, each with corpus.jsonl.gz, "
        f"queries.jsonl (or .gz) and qrels.trec; {_WHERE}"
    )


def is_left_out(folder: str, needs: Iterable[str]) -> bool:
    """Whether tests that need these further folders are left out: where there are the collections alone.

    A folder that has some of the further ones is meant to have them all, and what is missing there fails.
    """
    return any(needs) and not any((Path(folder) / name).is_dir() for name in FURTHER)


def _is_whole(place: Path) -> bool:
    queries = any((place / name).is_file() for name in ("queries.jsonl", "queries.jsonl.gz"))
    return queries and all((place / name).is_file() for name in ("corpus.jsonl.gz", "qrels.trec"))


if __name__ == "__main__":
    found = problem_with(sys.argv[1])
    sys.exit(f"check-data: {found}" if found else 0)
