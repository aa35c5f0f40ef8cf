"""Documents that a model cannot read whole are judged by pieces; the best speaks for its document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from limrank_plugins.backends.protocols import Backend, CountsCuts
from limrank_plugins.data import Document, Piece, Query, Usage, Verdict
from limrank_plugins.errors import LimRankError
from limrank_plugins.pieces import PieceRule, split
from limrank_plugins.prompts import Template
from limrank_plugins.readouts import Readout, Settings
from limrank_plugins.recipe import OutcomeProgram, PartRanker
from limrank_plugins.ties import best_first, score_keys
from limrank_plugins.verdicts import Outcome
from limrank_plugins.words import words_of

Cut = Callable[[Document], int]
"""How much of a document a model would not read: tokens, or words where the limit is one of words."""

Span = tuple[int, int]


def by_piece(documents: Sequence[Document], rank: PartRanker, rule: PieceRule, cut: Cut) -> OutcomeProgram:
    """Rank documents by their pieces, which are candidates of the same recipe as whole documents are.

    A document that fits is judged whole, as without this, and so is one with images. A piece of nothing but
    white space is not asked about. A document of which a piece could not be judged has failed: that piece
    might have been its best. The replies on its other pieces are in the store, so it is cheap to ask again.

    Args:
        documents: all of them.
        rank: gives a verdict on each document alone.
        rule: what the document gets of its pieces' scores.
        cut: how much of a document does not fit.
    """
    pieces = [_spans(document, rule, cut) for document in documents]
    counts = [len(spans) for spans in pieces]
    if rule.how == "first":
        pieces = [spans[:1] for spans in pieces]
    outcome = yield from rank(
        [_part(document, span) for document, spans in zip(documents, pieces, strict=True) for span in spans]
    )
    verdicts = iter(outcome.with_reasons())
    judged: list[Verdict] = []
    for document, spans, count in zip(documents, pieces, counts, strict=True):
        own = [next(verdicts) for _ in spans]
        if count == 1:
            judged += own
        else:
            verdict = _together(document, spans, own, rule, count)
            if rule.how == "first":
                verdict = replace(verdict, cut_tokens=_left_out(document, spans[0], cut))
            judged.append(verdict)
    return Outcome(tuple(judged))


def cut_by(
    backend: Backend, readout: Readout, template: Template | None, settings: Settings, query: Query
) -> Cut:
    """How much of a document this backend would leave out, asked like this; no model is run.

    A document that cannot be asked about at all counts as read: it then fails with its own reason.
    """

    def cut(document: Document) -> int:
        words = 0 if template is None else template.passage.words_cut(document)
        if words or not isinstance(backend, CountsCuts):
            return words
        program = readout.ask(query, [document], template, settings)
        try:
            return max(backend.cuts(next(program)), default=0)
        except (LimRankError, StopIteration):
            return 0
        finally:
            program.close()

    return cut


def _spans(document: Document, rule: PieceRule, cut: Cut) -> list[Span]:
    """The pieces that are asked about, in order; at least one."""
    start, end = body = _body(document)
    text = document.text[start:end]

    def fits(piece: str) -> bool:
        if rule.words is not None and words_of(piece) > rule.words:
            return False
        return cut(_with_body(document, piece)) == 0

    # Where not even an empty text fits (beside a long title, or a query that is cut), no piece would.
    if document.images or fits(text) or cut(_with_body(document, "")):
        return [body]
    spans = split(text, fits)
    spans = [span for span in spans if text[slice(*span)].strip()] or spans[:1]
    return [(start + first, start + last) for first, last in spans]


def _body(document: Document) -> Span:
    return (0, len(document.text)) if document.body is None else document.body


def _with_body(document: Document, piece: str) -> Document:
    start, end = _body(document)
    return replace(document, text=document.text[:start] + piece + document.text[end:], body=None)


def _part(document: Document, span: Span) -> Document:
    return document if span == _body(document) else _with_body(document, document.text[slice(*span)])


def _left_out(document: Document, span: Span, cut: Cut) -> int:
    tokens = cut(document)
    return tokens if tokens else words_of(document.text[span[1] : _body(document)[1]])


def _together(
    document: Document, spans: Sequence[Span], verdicts: Sequence[Verdict], rule: PieceRule, count: int
) -> Verdict:
    """One verdict of those on a document's pieces: the deciding one's, and what all of them cost."""
    failures = [verdict.failure or "" for verdict in verdicts if verdict.score is None]
    total = Verdict(
        None,
        usage=Usage.total(verdict.usage for verdict in verdicts),
        repairs=sum(verdict.repairs for verdict in verdicts),
        cut_tokens=sum(verdict.cut_tokens for verdict in verdicts),
        query_cut_tokens=max(verdict.query_cut_tokens for verdict in verdicts),
    )
    if failures:
        many = f"{len(failures)} of its {len(verdicts)} pieces could not be judged; the first one: "
        return replace(total, failure=(many if len(verdicts) > 1 else "") + failures[0])
    order = best_first(score_keys(verdicts))
    used = [verdicts[i] for i in (order[:2] if rule.how == "mean-top-2" else order[:1])]
    ties = [verdict.tie for verdict in used if verdict.tie is not None]
    start, end = spans[order[0]]
    return replace(
        total,
        score=sum(verdict.score or 0.0 for verdict in used) / len(used),
        tie=sum(ties) / len(ties) if len(ties) == len(used) else None,
        explanation=verdicts[order[0]].explanation,
        piece=Piece(document.text[start:end], start, end, count),
    )
