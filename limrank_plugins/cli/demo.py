"""`limrank demo`: the sample collection, searched and reranked, with the ranks before and after."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from limrank_plugins import samples
from limrank_plugins.cli import common, reports_errors, reranking
from limrank_plugins.cli.demo_reasoning import MARKS, demo_reasoning
from limrank_plugins.cli.search import show_ranking
from limrank_plugins.data import Ranking
from limrank_plugins.io import ranking_record
from limrank_plugins.reranker import Reranker


@reports_errors
def demo(
    queries: Annotated[int, typer.Option(help="How many queries to show.")] = 2,
    recipe: reranking.Recipe = None,
    model: reranking.Model = None,
    reasoning: Annotated[
        bool,
        typer.Option(
            "--reasoning",
            help="Show what a model (default: smollm2) writes about passages, as it comes.",
        ),
    ] = False,
    store: common.StorePath = None,
    as_json: common.AsJson = False,
) -> None:
    """Search the sample collection with BM25, rerank, and show what moved; or a model's reasoning."""
    if reasoning:
        demo_reasoning(queries, recipe, model, as_json=as_json)
        return
    console = common.Terminal()
    index = common.open_index("samples", "bm25s")
    searched = samples.queries()
    candidates = index.search_many(searched, 100)
    with common.open_store(store) as opened:
        reranker = Reranker(reranking.recipe_or_default(recipe), model, store=opened)
        rankings = reranker.rank_many(list(zip(searched, candidates, strict=True)))
    grades = samples.qrels()
    before = [[document.id or "" for document in documents[:5]] for documents in candidates]
    after = [ranking.ids[:5] for ranking in rankings]
    lexical, reranked = (_relevant(tops, rankings, grades) for tops in (before, after))
    total = sum(grade > 0 for judged in grades.values() for grade in judged.values())
    if as_json:
        common.emit(
            {
                "queries": len(searched),
                "relevant": total,
                "recipe": reranker.recipe.name,
                "among_first_five": {"bm25s": lexical, reranker.recipe.name: reranked},
                "rankings": [ranking_record(ranking) for ranking in rankings],
            }
        )
        return
    for query, ranking in _most_moved(rankings, grades)[:queries]:
        marks = {document: MARKS[grade] for document, grade in grades[query].items()}
        console.print(f"\n{query}: {ranking.query.text}\n", style="bold")
        show_ranking(Ranking(ranking.query, ranking.hits[:6], ranking.recipe, "similarity", False), marks)
    console.print(
        f"\nOver all {len(searched)} queries, relevant passages among the first five: "
        f"BM25 {lexical}, {reranker.recipe.name} {reranked} (of {total}).\n"
        f'Try your own: {_program()} search samples "why do soft towels not dry me"'
    )


def _program() -> str:
    """How to call limrank again: as it was called where it is not on the PATH (`make demo`)."""
    if shutil.which("limrank"):
        return "limrank"
    called = Path(sys.argv[0])
    return "python -m limrank_plugins" if called.name == "__main__.py" else os.path.relpath(called)


def _most_moved(rankings: list[Ranking], grades: dict[str, dict[str, int]]) -> list[tuple[str, Ranking]]:
    """The queries whose direct answer ended highest, those where it came from furthest first."""

    def key(ranking: Ranking) -> tuple[int, int]:
        judged = grades[ranking.query.id]
        direct = next((hit for hit in ranking if judged.get(hit.id, 0) == 2), None)
        return (direct.rank, -direct.index) if direct is not None else (len(ranking) + 1, 0)

    return [(r.query.id, r) for r in sorted(rankings, key=key)]


def _relevant(tops: list[list[str]], rankings: list[Ranking], grades: dict[str, dict[str, int]]) -> int:
    return sum(
        grades[ranking.query.id].get(document, 0) > 0
        for top, ranking in zip(tops, rankings, strict=True)
        for document in top
    )
