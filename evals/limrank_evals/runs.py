"""A run as what is measured: for every query its documents, best first, in an order no file decides.

Runs hold equal scores, above all those of reasoning rerankers, and tools disagree about their order. Here
it is a choice with a name, which is part of a result's identity; whatever it is, the order of a file's
lines changes nothing:

`trec_eval`: by score in single precision, equal ones by document id, last id first: what trec_eval does.
`rank`: by score, equal ones by the run's own rank column; where that is equal too, as trec_eval does.
`first-stage`: by score, equal ones as a first stage had them; documents it lacks come last, as trec_eval
has them.

Runs that this package writes have no equal scores (`limrank_plugins.io.write_run`): all three agree there.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from limrank_evals.predictions import one_split
from limrank_plugins.checks import is_finite, whole_number
from limrank_plugins.data import check_unique
from limrank_plugins.errors import InputError
from limrank_plugins.files import read_json
from limrank_plugins.io import RunState, run_rows
from limrank_plugins.wording import number_of

TieRule = Literal["trec_eval", "rank", "first-stage"]
TIE_RULES: tuple[TieRule, ...] = get_args(TieRule)

Ranked = dict[str, list[str]]
"""For every query its documents, best first."""


class RunLine(NamedTuple):
    """One line of a run: a document, its score (higher is better) and its rank as the file has it."""

    document_id: str
    score: float
    rank: float


RunLines = dict[str, list[RunLine]]
"""For every query the lines of a run."""


class RunFile(NamedTuple):
    """A run from a file: its lines, and what it says of itself."""

    rows: RunLines
    state: RunState


def read_run_lines(
    path: str | os.PathLike[str], *, subset: str | None = None, split: str | None = None
) -> RunLines:
    """The lines of `read_run_file`, which says what is read and raised."""
    return read_run_file(path, subset=subset, split=split).rows


def read_run_file(
    path: str | os.PathLike[str], *, subset: str | None = None, split: str | None = None
) -> RunFile:
    """A run from a TREC file, from what `limrank rerank -o x.jsonl` writes, or from a score file.

    A score file is `.json`, `{query: {document: score}}`, as BRIGHT (`score.json`) and mteb
    (`…_predictions.json`) write them; its ranks are the places it gives by itself. `.gz` is unpacked.

    Args:
        path: the file.
        subset: which of a predictions file of mteb 2; None where it holds one alone.
        split: likewise.

    Raises:
        InputError: an empty file, a line with a wrong number of columns, a score or rank that is no
            finite number, a document twice for one query. It names the line.
    """
    if os.fspath(path).removesuffix(".gz").endswith(".json"):
        return RunFile(_read_scores(path, subset, split), RunState())
    if subset is not None or split is not None:
        raise InputError(f"{path} has no subsets and splits: only mteb's predictions (.json) have")
    rows: RunLines = {}
    state = RunState()
    seen: dict[str, set[str]] = {}
    for where, query, document, rank, score in run_rows(path, state):
        known = seen.setdefault(query, set())
        if document in known:
            raise InputError(f"{where}: document {document!r} is there twice for query {query!r}")
        known.add(document)
        rows.setdefault(query, []).append(RunLine(document, score, rank))
    if not rows:
        raise InputError(f"{path} is an empty run: it ranks no document")
    return RunFile(rows, state)


def unfinished(state: RunState, what: str = "run") -> list[str]:
    """What a reader of numbers must know of a run that documents failed in, as a sentence.

    Args:
        state: of the run.
        what: what it is called.
    """
    if state.failures:
        failed = number_of(state.failures, "document")
        return [f"{failed} of the {what} could not be judged: it is not finished"]
    if state.is_unfinished:
        return [f"the {what} is not finished, as its tag says: documents of it could not be judged"]
    return []


def run_lines_of(run: Mapping[str, Mapping[str, float]]) -> RunLines:
    """A run held in memory as `{query: {document: score}}`; its ranks are the places it gives by itself."""
    for query, scores in run.items():
        for document, score in scores.items():
            if not is_finite(score):
                raise InputError(f"the score of document {document!r} for query {query!r} is {score}")
    return {
        query: [RunLine(document, score, place) for place, (document, score) in enumerate(scores.items(), 1)]
        for query, scores in run.items()
    }


def run_lines_in_order(documents: Sequence[str]) -> list[RunLine]:
    """The lines of one query's documents, best first; a score counts the places below."""
    return [RunLine(d, float(len(documents) - place), place + 1.0) for place, d in enumerate(documents)]


def arranged(rows: RunLines, ties: TieRule = "trec_eval", first_stage: Ranked | None = None) -> Ranked:
    """Every query's documents, best first.

    Args:
        rows: the run.
        ties: what decides between equal scores, see above.
        first_stage: the first stage's order, for `ties="first-stage"` and for nothing else.

    Raises:
        InputError: an unknown rule, or a first stage that is missing or has no use.
    """
    if ties not in TIE_RULES:
        raise InputError(f"ties must be one of {', '.join(TIE_RULES)}, but is {ties!r}")
    if (ties == "first-stage") != (first_stage is not None):
        raise InputError(
            "the tie rule first-stage needs the first stage's run"
            if first_stage is None
            else f"a first stage's run decides nothing under the tie rule {ties}"
        )
    return {
        query: _arranged(lines, ties, (first_stage or {}).get(query, ())) for query, lines in rows.items()
    }


def tied(rows: RunLines) -> int:
    """How many documents of a run share their score, in single precision, with another of their query."""
    return sum(
        count
        for lines in rows.values()
        for count in Counter(_single(row.score for row in lines)).values()
        if count > 1
    )


def cut(ranked: Mapping[str, Sequence[str]], depth: int) -> Ranked:
    """The first `depth` documents of every query."""
    whole_number("depth", depth, least=1)
    return {query: list(documents[:depth]) for query, documents in ranked.items()}


def check_ranked(ranked: Mapping[str, Sequence[str]]) -> None:
    """Raise an `InputError` for a query that has a document twice."""
    for query, documents in ranked.items():
        check_unique(documents, f"document of query {query!r}")


def _read_scores(path: str | os.PathLike[str], subset: str | None, split: str | None) -> RunLines:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        check_unique([key for key, _ in pairs], f"query of {path}, and document of a query,")
        return dict(pairs)

    content = read_json(path, pairs=once)
    if isinstance(content, dict):
        content = one_split(content, str(path), subset, split)
    by_query = list(content.values()) if isinstance(content, dict) else [None]
    scores = [score for by in by_query if isinstance(by, dict) for score in by.values()]
    numbers = all(isinstance(score, int | float) and not isinstance(score, bool) for score in scores)
    if not numbers or not all(isinstance(by, dict) for by in by_query):
        raise InputError(f"{path} is no score file: it must hold {{query: {{document: score}}}}")
    if not scores:
        raise InputError(f"{path} is an empty run: it ranks no document")
    return run_lines_of(content)


def _arranged(lines: Sequence[RunLine], ties: TieRule, first: Sequence[str]) -> list[str]:
    # Last id first: sorted by id downwards before anything else, and every further sort is stable.
    # Python compares code points, which is the order of the UTF-8 bytes that trec_eval compares.
    order = sorted(lines, key=lambda row: row.document_id, reverse=True)
    if ties == "rank":
        order.sort(key=lambda row: row.rank)
    elif ties == "first-stage":
        places = {document: place for place, document in enumerate(first)}
        order.sort(key=lambda row: places.get(row.document_id, len(places)))
    scores = _single(row.score for row in order) if ties == "trec_eval" else [row.score for row in order]
    best = sorted(range(len(order)), key=lambda i: -scores[i])
    return [order[i].document_id for i in best]


def _single(scores: Iterable[float]) -> list[float]:
    with np.errstate(over="ignore"):  # beyond its range lies infinity, there too
        single: list[float] = np.array(list(scores), dtype=np.float64).astype(np.float32).tolist()
    return single
