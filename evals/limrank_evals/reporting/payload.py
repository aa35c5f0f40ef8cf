"""What the page's script reads: an index of all queries, and every query's documents on their own.

JSON in `<script type="application/json">`: never run, and parsed when it is asked for. A query's documents
have an element each, so a page with 138,400 of them opens as quickly as its list of queries.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from limrank_evals.evaluation.split_evaluation import SplitEvaluation
from limrank_evals.reporting.query_outcomes import Move, QueryOutcome
from limrank_evals.reporting.text_policy import LEVELS, Level, TextPolicy, clean, head
from limrank_plugins.data import Document

# Of all queries' documents together, in characters.
BUDGET = 40 << 20
# What a document takes beside its texts, about.
_ROW = 120
# Documents of a query that are listed: up to this rank in either list, and those relevant or failed.
LISTED = 100
# Characters of a query in the list; the whole one is shown with its documents.
IN_LIST = 240

# What could end the element, or begin another or a comment; U+2028 and U+2029 are line ends to some.
_UNSAFE = {c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
_LONG = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Payload:
    """JSON for the page.

    Attributes:
        index: of all queries.
        details: of each query, in the index's order.
        level: where texts are cut.
    """

    index: Markup
    details: list[Markup]
    level: Level


def page_payload(
    evaluated: Sequence[SplitEvaluation],
    queries: Sequence[Sequence[QueryOutcome]],
    *,
    show_gated: bool,
    budget: int = BUDGET,
) -> Payload:
    """The page's data, at the first level of `LEVELS` that fits `budget` characters (else at the last).

    Args:
        evaluated: the splits.
        queries: of each of them.
        show_gated: show texts of gated sets.
        budget: of all documents' texts and numbers together.
    """
    needed = [{move.document for query in outcomes for move in query.moves} for outcomes in queries]
    documents: list[dict[str | None, Document]] = [
        {document.id: document for document in split.benchmark.documents if document.id in ids}
        for split, ids in zip(evaluated, needed, strict=True)
    ]
    level = next(
        (level for level in LEVELS if _size(queries, documents, level) <= budget),
        LEVELS[-1],
    )
    details = [
        safe_json(detail(query, TextPolicy(split.gated and not show_gated, level), texts.get))
        for split, outcomes, texts in zip(evaluated, queries, documents, strict=True)
        for query in outcomes
    ]
    return Payload(safe_json(index(evaluated, queries, show_gated)), details, level)


def _size(
    queries: Sequence[Sequence[QueryOutcome]],
    documents: Sequence[Mapping[str | None, Document]],
    level: Level,
) -> int:
    """About how many characters all documents take at a level; hashes are taken for the texts they hide."""
    total = 0
    for outcomes, texts in zip(queries, documents, strict=True):
        for query in outcomes:
            for move in query.moves:
                if _listed(move):
                    document = texts.get(move.document)
                    total += _ROW + (0 if document is None else min(len(document.text), level.text_of(move)))
                    total += min(len(move.explanation or ""), level.trace_of(move))
    return total


def index(
    evaluated: Sequence[SplitEvaluation], queries: Sequence[Sequence[QueryOutcome]], show_gated: bool
) -> dict[str, Any]:
    """The list of queries: `task` is a place in `tasks`, `values` are by measure, before and after."""
    rows = []
    for task, (split, outcomes) in enumerate(zip(evaluated, queries, strict=True)):
        showing = TextPolicy(split.gated and not show_gated, LEVELS[0])
        for query in outcomes:
            relevant = [move for move in query.moves if move.relevant]
            rows.append(
                {
                    "task": task,
                    "id": clean(query.id),
                    "text": head(_LONG.sub(" ", showing.whole(query.text)), IN_LIST),
                    "values": [list(query.values[measure]) for measure in split.measures],
                    "failed": query.failures,
                    "relevant": len(relevant),
                    "found": sum(move.before is not None or move.after is not None for move in relevant),
                }
            )
    tasks = [
        {
            "name": named(split),
            "measures": [clean(measure) for measure in split.measures],
            "reranked": split.reranked is not None,
            "kind": clean(str(split.records[0]["score_kind"])) if split.records else "",
            "hidden": split.gated and not show_gated,
        }
        for split in evaluated
    ]
    return {"tasks": tasks, "queries": rows}


def named(split: SplitEvaluation) -> str:
    """What the page calls a split."""
    return clean(split.benchmark.split or split.benchmark.name)


def detail(
    query: QueryOutcome, showing: TextPolicy, document: Callable[[str], Document | None]
) -> dict[str, Any]:
    """A query and its documents; what is absent, None or empty is left out."""
    listed = [move for move in query.moves if _listed(move)]
    return _filled(
        {
            "text": showing.whole(query.text),
            "instruction": showing.whole(query.instruction),
            "images": query.images,
            "repairs": query.repairs,
            "more": len(query.moves) - len(listed),
            "documents": [_document(move, showing, document(move.document)) for move in listed],
        }
    )


def _document(move: Move, showing: TextPolicy, document: Document | None) -> dict[str, Any]:
    return _filled(
        {
            "id": clean(move.document),
            "before": move.before,
            "after": move.after,
            "grade": move.grade,
            "score": move.score,
            "text": "" if document is None else showing.passage(document.text, move),
            "title": "" if document is None else showing.passage(document.title, move),
            "images": 0 if document is None else len(document.images),
            "absent": document is None,
            "trace": showing.trace(move),
            "failure": showing.failure(move.failure),
            "cut": move.cut_tokens,
        },
        keep=("grade", "score"),
    )


def _listed(move: Move) -> bool:
    near = any(rank is not None and rank <= LISTED for rank in (move.before, move.after))
    return near or move.relevant or move.failure is not None


def _filled(row: Mapping[str, Any], keep: Sequence[str] = ()) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value or (key in keep and value is not None)}


def safe_json(value: object) -> Markup:
    """JSON that cannot leave its element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character, safe in _UNSAFE.items():
        text = text.replace(character, safe)
    return Markup(text)
