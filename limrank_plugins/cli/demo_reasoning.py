"""`limrank demo --reasoning`: what a model writes about a few passages as it comes, and its verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from limrank_plugins import samples
from limrank_plugins.backends.protocols import Generate
from limrank_plugins.backends.streaming import listening
from limrank_plugins.cli import common
from limrank_plugins.cli.reranking import told_reranker
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import Template
from limrank_plugins.recipes import load_recipe
from limrank_plugins.reranker import Reranker

MARKS = {2: "direct", 1: "indirect", 0: "not"}
_MODEL = "smollm2"
_BUDGET = 100
_MEASURED = (
    "a relevant passage of this collection stands above another one in 61 of 100 cases, without any "
    "reasoning in 72, by guessing in 50."
)
_SMOLLM2 = (
    "SmolLM2-135M-Instruct is fifty times smaller than LIMRANK-7B. It writes English about a passage, but "
    f"says much the same of good and bad ones: by such verdicts {_MEASURED}"
)


def demo_reasoning(queries: int, recipe: str | None, model: str | None, *, as_json: bool) -> None:
    """Show a model's reasoning about one passage of each grade, for the first queries.

    Args:
        queries: how many.
        recipe: one that reasons about each passage; None: limrank.
        model: None: the embedded one.
        as_json: print the verdicts as JSON instead, when all are there.

    Raises:
        InputError: the recipe does not reason about each passage.
    """
    chosen, named = load_recipe(recipe or "limrank"), model or _MODEL
    if chosen.reasoning is None or chosen.score_kind != "probability":
        raise InputError(
            f"--reasoning shows what is written before a verdict: give --recipe limrank or rank1, "
            f"not {chosen.name!r}"
        )
    reranker = told_reranker(recipe=chosen, model=named, reasoning="full", max_reasoning_tokens=_BUDGET)
    console = common.Terminal()
    verdicts: list[dict[str, Any]] = []
    for query in samples.queries()[:queries]:
        if not as_json:
            console.print(f"\n{query.id}: {query.text}", style="bold")
        for document, grade in _passages(query):
            if as_json:
                verdicts.append(_verdict(reranker, query, document, grade))
                continue
            console.print(f"\n{document.title or document.id} (judged: {MARKS[grade]})", style="bold")
            console.print(f"{document.text}\n", style="dim")
            with listening(_show):
                verdicts.append(_verdict(reranker, query, document, grade))
            cut = f" … (ended after {_BUDGET:,} tokens)" if verdicts[-1]["ended_by_force"] else ""
            common.tell(f"{cut}\n→ {_in_words(verdicts[-1], reranker.template)}")
    if as_json:
        common.emit({"recipe": chosen.name, "model": named, "verdicts": verdicts})
        return
    console.print(f"\n{_summary(verdicts)}")
    if reranker.template is not None and reranker.template.name == chosen.chat_template:
        console.print(_honestly(named))


def _show(request: Generate, piece: str) -> None:
    common.tell(piece, end="")


def _passages(query: Query) -> Iterator[tuple[Document, int]]:
    """The first passage of each grade, the best one first."""
    documents = {document.id: document for document in samples.documents()}
    grades = samples.qrels()[query.id]
    for wanted in MARKS:
        for name, grade in grades.items():
            if grade == wanted:
                yield documents[name], grade
                break


def _honestly(model: str) -> str:
    """What the verdicts of a model are worth that was not trained to give them."""
    if model == _MODEL or "smollm2-135m" in model.lower():
        return _SMOLLM2
    return (
        f"Nothing says that {model} was trained for this. By such verdicts of the smallest one, SmolLM2 "
        f"with 135 million parameters, {_MEASURED} "
        f"How good this one is: limrank eval zoo samples --model {model}"
    )


def _verdict(reranker: Reranker, query: Query, document: Document, grade: int) -> dict[str, Any]:
    ranking = reranker.rank(query, [document])
    hit = ranking.hits[0]
    return {
        "query": query.id,
        "document": document.id,
        "judged": MARKS[grade],
        "score": hit.score,
        "failure": hit.failure,
        "reasoning": hit.explanation,
        "ended_by_force": ranking.usage.generated_tokens >= _BUDGET,
    }


def _in_words(verdict: dict[str, Any], template: Template | None) -> str:
    if verdict["score"] is None:
        return f"no verdict: {verdict['failure']}"
    label = template.labels[0].strip() if template is not None else "true"
    return f"{'relevant' if verdict['score'] >= 0.5 else 'not relevant'}: P({label}) = {verdict['score']:.3f}"


def _summary(verdicts: list[dict[str, Any]]) -> str:
    read = [verdict for verdict in verdicts if verdict["score"] is not None]
    right = sum((verdict["score"] >= 0.5) == (verdict["judged"] != "not") for verdict in read)
    return f"{right} of {len(verdicts)} verdicts agree with the collection's judgements."
