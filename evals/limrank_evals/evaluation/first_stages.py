"""What finds the candidates: a retriever, a run from a file, or the lists that come with a benchmark."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from limrank_evals.retriever_specs import names_retriever, retriever_spec
from limrank_evals.runs import RunLine, RunLines, TieRule, read_run_file, run_lines_in_order, unfinished
from limrank_evals.split_files import MARK, run_file
from limrank_evals.splits import GIVEN, Split
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError
from limrank_plugins.jobs import reading_entry
from limrank_plugins.retrievers import Retriever, retriever_names
from limrank_plugins.store import Store


@dataclass(frozen=True, slots=True)
class FirstStage:
    """A first stage for one split.

    Attributes:
        name: what an identity calls it, with its parameters.
        ties: what decides between equal scores of its rows.
        digest: of the texts and of everything else that what it finds depends on.
        find: finds that many documents of every query.
        scored: its scores say something beside the order.
        is_run: it was read from a file, whose equal scores another tool may put in another order.
        warnings: what a reader must know of it, a sentence each.
    """

    name: str
    ties: TieRule
    digest: str
    find: Callable[[int], RunLines]
    scored: bool = True
    is_run: bool = False
    warnings: tuple[str, ...] = ()


def open_first_stage(
    split: Split, spec: str = "", *, ties: TieRule = "trec_eval", store: Store | None = None
) -> FirstStage:
    """The first stage of this description.

    Args:
        split: what it is for.
        spec: `given`; retrievers (`bm25s`, `bm25s:k1=1.2,b=0.75`, `bm25s+dense:model=folder`); a run, a
            folder of runs or a path with `{split}`; "" for the benchmark's own choice.
        ties: what puts a run's equal scores in order, see `limrank_evals.runs`.
        store: keeps what a retriever found, so that it need not search again.

    Raises:
        InputError: there is no such retriever, option or file, or the benchmark has no lists.
    """
    spec = spec or split.first_stage
    if names_retriever(spec):
        return _given(split) if spec == GIVEN else _searching(split, spec, store)
    if MARK not in spec and not Path(spec).exists():
        raise InputError(
            f"there is no first stage {spec!r}: give a retriever ({', '.join(retriever_names())}), perhaps "
            f"with options (bm25s:k1=1.2,b=0.75), a run or a folder of runs, or {GIVEN}"
        )
    return _read(split, spec, ties)


# ---- the three kinds ----------------------------------------------------------------------------


def _given(split: Split) -> FirstStage:
    benchmark = split.benchmark
    if not benchmark.candidates:
        raise InputError(f"{benchmark.name} comes without candidates: name a first stage that finds them")
    lists = {
        query: candidates if benchmark.are_ranked else _shuffled(candidates)
        for query, candidates in benchmark.candidates.items()
    }
    name = split.lists if benchmark.are_ranked else f"{split.lists}, in no order"
    digest = _digest([name, json.dumps(lists), *_content(split)])
    rows = {query: run_lines_in_order(candidates_of_query) for query, candidates_of_query in lists.items()}
    return FirstStage(name, "rank", digest, lambda depth: rows, scored=False)


def _read(split: Split, spec: str, ties: TieRule) -> FirstStage:
    file = run_file(spec, split.benchmark.split)
    digest = _digest([hashlib.sha256(file.path.read_bytes()).hexdigest(), ties, *_content(split)])
    run = read_run_file(file.path)
    warnings = tuple(unfinished(run.state, "first stage's run"))
    return FirstStage(file.name, ties, digest, lambda depth: run.rows, is_run=True, warnings=warnings)


def _searching(split: Split, spec: str, store: Store | None) -> FirstStage:
    built = retriever_spec(spec)
    corpus, queries = split.benchmark.documents, split.searched or split.benchmark.queries
    spaces = split.benchmark.candidates
    name = f"{built.name}, within the given lists" if spaces else built.name
    digest = _digest([built.digest, json.dumps(dict(spaces)), *_content(split)])

    def find(depth: int) -> RunLines:
        # What is excluded goes later: that many more are looked for.
        excluded = split.benchmark.excluded
        wanted = depth + max((len(excluded.get(query.id, ())) for query in queries), default=0)
        item = f"{digest} {wanted}"
        kept = None if store is None else store.find("first stage", item)
        if store is not None and kept is not None:
            with reading_entry(store, item):
                return {q: [RunLine(*row) for row in rows] for q, rows in json.loads(kept).items()}
        with built.index(corpus) as index:
            rows = _within(index, queries, spaces, len(corpus)) if spaces else _over(index, queries, wanted)
        if store is not None:
            store.commit("first stage", item, json.dumps(rows).encode("ascii"))
        return rows

    return FirstStage(name, "rank", digest, find)


def _over(index: Retriever, asked: Iterable[Query], depth: int) -> RunLines:
    queries = list(asked)
    hits = index.search_many(queries, depth)
    return {query.id: _scored(documents) for query, documents in zip(queries, hits, strict=True)}


def _within(
    index: Retriever, queries: Iterable[Query], spaces: Mapping[str, Sequence[str]], size: int
) -> RunLines:
    """Search the whole corpus, keep what is in the query's list; what was not found stands last."""
    rows = {}
    for query in queries:
        space = set(spaces.get(query.id, ()))
        if not space:
            rows[query.id] = list[RunLine]()
            continue
        lines = _scored([document for document in index.search(query, size) if document.id in space])
        # Whoever is not found has no score: below all others, equal, in an order that tells nothing.
        least = min((row.score for row in lines), default=0.0) - 1.0
        rest = _shuffled(space - {row.document_id for row in lines})
        rows[query.id] = lines + [RunLine(d, least, len(lines) + place) for place, d in enumerate(rest, 1)]
    return rows


def _scored(documents: Iterable[Document]) -> list[RunLine]:
    return [RunLine(d.id or "", d.prior or 0.0, place) for place, d in enumerate(documents, start=1)]


def _shuffled(documents: Iterable[str]) -> list[str]:
    return sorted(documents, key=lambda d: hashlib.sha256(d.encode("utf-8", "surrogatepass")).digest())


# ---- digests --------------------------------------------------------------------------


def _content(split: Split) -> Iterable[str]:
    """Everything that is searched or shown."""
    for query in (*split.benchmark.queries, *split.searched):
        yield json.dumps([query.id, query.text, query.instruction, *_images(query)])
    for document in split.benchmark.documents:
        yield json.dumps([document.id, document.title, document.text, *_images(document)])


def _images(of: Query | Document) -> list[str]:
    return [hashlib.sha256(image.data).hexdigest() for image in of.images]


def _digest(pieces: Iterable[str | os.PathLike[str]]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(os.fspath(piece).encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()
