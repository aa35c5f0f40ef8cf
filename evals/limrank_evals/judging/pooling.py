"""What is judged: the first passages of several runs, put together for every query."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from limrank_evals.evaluation.evaluation_folder import FIRST_STAGE, RANKINGS
from limrank_evals.guarded_folders import SETTINGS
from limrank_evals.runs import Ranked, arranged, cut, read_run_file, unfinished
from limrank_plugins.checks import whole_number
from limrank_plugins.corpus import Corpus, as_named, check_known, read_corpus, whole_where_named
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError
from limrank_plugins.files import read_json
from limrank_plugins.wording import number_of, verb_for

_RUNS = (FIRST_STAGE, "first-stage.jsonl", RANKINGS)


class PooledRun(NamedTuple):
    """A run whose passages are judged: what it is called, and its documents by query, best first."""

    name: str
    ranked: Ranked


class Pool(NamedTuple):
    """What is to be judged.

    Attributes:
        pairs: queries with the documents to be judged, in the order in which they are asked about.
        left_out: queries whose documents were not drawn.
    """

    pairs: dict[str, list[str]]
    left_out: int = 0

    @property
    def size(self) -> int:
        """How many pairs of a query and a document there are."""
        return sum(map(len, self.pairs.values()))


def read_runs(paths: Sequence[Path], depth: int) -> tuple[list[PooledRun], list[str]]:
    """The runs of files and of evaluations' folders, and what else to know of them, a sentence each.

    One whose first `depth` documents are those of another is left out: every evaluation writes its first
    stage into its folder.

    Raises:
        InputError: no such file, a folder without runs or with those of several splits, or a wrong line.
    """
    runs: list[PooledRun] = []
    notes = []
    for file in [file for path in paths for file in _run_files(path)]:
        rows, state = read_run_file(file)
        run = PooledRun(str(file), arranged(rows, "trec_eval"))
        notes += [f"{file}: {note}" for note in unfinished(state)]
        first = cut(run.ranked, depth)
        if same := next((other.name for other in runs if cut(other.ranked, depth) == first), None):
            notes.append(f"{file} begins as {same} does and is left out")
        else:
            runs.append(run)
    return runs, notes


def check_reading(paths: Sequence[Path], corpus: Corpus) -> None:
    """See that a corpus is read as it was for the evaluations whose runs are judged.

    Raises:
        InputError: a folder of `limrank eval folder` says that it was read otherwise: its ids would be those
            of other texts.
    """
    for path in paths:
        places = [place for place in (path, *path.absolute().parents[:2]) if (place / SETTINGS).is_file()]
        settings = read_json(places[0] / SETTINGS) if places else None
        if not isinstance(settings, dict) or settings.get("benchmark") != "folder":
            continue
        for name in ("field", "title_field", "passages"):
            before, now = settings.get("options", {}).get(name, "None"), str(getattr(corpus, name))
            if before != now:
                option = f"--{name.replace('_', '-')}"
                was, today = (
                    f"without {option}" if value == "None" else f"with {option} {value!r}"
                    for value in (before, now)
                )
                raise InputError(
                    f"{path} ranks documents of a corpus that was read {was}, and here it is read {today}: "
                    f"other texts would be judged than were ranked"
                )


def pooled(runs: Sequence[PooledRun], depth: int, *, pairs: int | None = None, seed: int = 0) -> Pool:
    """The first `depth` documents of every run for every query, each once, the best placed ones first.

    Args:
        runs: at least one.
        depth: how many documents of each query and run.
        pairs: the most pairs: queries are drawn until the next one's would be too many, and those that were
            drawn are judged whole, because a measure over half a pool is none.
        seed: of the drawing.

    Raises:
        InputError: runs that rank no query in common, or a query whose pool alone is larger than `pairs`.
    """
    whole_number("depth", depth, least=1)
    _check_common(runs)
    pool: dict[str, dict[str, int]] = {}
    for run in runs:
        for query, documents in run.ranked.items():
            places = pool.setdefault(query, {})
            for place, document in enumerate(documents[:depth]):
                places[document] = min(place, places.get(document, place))
    every = {query: sorted(places, key=places.__getitem__) for query, places in pool.items()}
    if pairs is None:
        return Pool(every)
    whole_number("pairs", pairs, least=1)
    order = sorted(every)
    random.Random(seed).shuffle(order)
    drawn: set[str] = set()
    room = pairs
    for query in order:
        room -= len(every[query])
        if room < 0:
            break
        drawn.add(query)
    if not drawn:
        raise InputError(
            f"the pool of query {order[0]!r} alone has {number_of(len(every[order[0]]), 'pair')}, more than "
            f"--pairs {pairs}: raise it, or lower --depth"
        )
    return Pool({query: every[query] for query in every if query in drawn}, len(every) - len(drawn))


def texts_of(
    pool: Mapping[str, Sequence[str]], queries: Sequence[Query], corpus: str | Corpus
) -> list[tuple[Query, Document]]:
    """The queries and documents of a pool, in its order; texts are read as `whole_where_named` has them.

    Raises:
        InputError: one that the file of queries or the corpus does not hold.
    """
    known = {query.id: query for query in queries}
    check_known("the pool", "queries", [query for query in pool if query not in known], "the file of queries")
    wanted = {document for documents in pool.values() for document in documents}
    source = whole_where_named(as_named(corpus), wanted)
    texts = {document.id: document for document in read_corpus(source) if document.id in wanted}
    check_known("the pool", "documents", sorted(wanted - texts.keys()), "the corpus")
    return [(known[query], texts[document]) for query, documents in pool.items() for document in documents]


def coverage_notes(runs: Sequence[PooledRun]) -> list[str]:
    """A sentence where some queries are ranked by some of the runs only."""
    common = set.intersection(*(set(run.ranked) for run in runs))
    some = len(set.union(*(set(run.ranked) for run in runs))) - len(common)
    if not some:
        return []
    return [f"{number_of(some, 'query')} {verb_for(some, 'are')} ranked by some of the runs only"]


def _check_common(runs: Sequence[PooledRun]) -> None:
    if not runs:
        raise InputError("there is no run to be judged: name at least one")
    if not set.intersection(*(set(run.ranked) for run in runs)):
        first = runs[0]
        other = next((run for run in runs if not set(run.ranked) & set(first.ranked)), runs[-1])
        raise InputError(
            f"the runs rank no query in common: those of {first.name} are like {next(iter(first.ranked))!r}, "
            f"those of {other.name} like {next(iter(other.ranked))!r}"
        )


def _run_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    places = [place for place in (path, *sorted(path.iterdir())) if place.is_dir() and _runs_in(place)]
    if not places:
        raise InputError(f"{path} holds no run of `limrank eval` ({', '.join(_RUNS)}): name a run's file")
    if len(places) > 1:
        names = ", ".join(str(place) for place in places)
        raise InputError(f"{path} holds several splits: name the folder of one ({names})")
    return _runs_in(places[0])


def _runs_in(folder: Path) -> list[Path]:
    return [file for name in _RUNS if (file := folder / name).is_file()]
