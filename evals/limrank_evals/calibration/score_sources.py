"""Where scores come from: a collection that is ranked now, or a run that was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from limrank_evals.calibration.judged_scores import JudgedScores, Unjudged, judged_scores
from limrank_evals.errors.detailed_run import detailed_run_of, read_detailed_run
from limrank_evals.evaluation.evaluator import evaluate
from limrank_evals.evaluation.systems import describe
from limrank_evals.judgements import about_judgements, read_judgements
from limrank_evals.zoo.collections import Collection, find_collections
from limrank_plugins.arguments import check_calibrates
from limrank_plugins.errors import InputError
from limrank_plugins.files import json_rows
from limrank_plugins.io import holds_json_lines
from limrank_plugins.recipes import load_recipe
from limrank_plugins.reranker import Reranker
from limrank_plugins.store import Store


@dataclass(frozen=True, slots=True)
class Scored:
    """Judged scores, and whose they are; attributes as in `Calibration`.

    Attributes:
        notes: what else to know, a sentence each.
    """

    judged: JudgedScores
    recipe: str
    score_kind: str
    model: str = ""
    reranker: str = ""
    notes: tuple[str, ...] = ()


def find_collection(name: str) -> Collection:
    """The collection of this name: `samples`, a folder of one split (or `folder:split`), `benchmark:split`.

    Raises:
        InputError: there is no such collection, or it has several splits.
    """
    collections = find_collections([name])
    if len(collections) > 1:
        splits = [collection.split for collection in collections]
        raise InputError(f"{name} has splits {', '.join(splits)}: name one, as {name}:{splits[0]}")
    return collections[0]


def rank_collection(
    collection: Collection,
    reranker: Reranker,
    store: Store,
    *,
    first_stage: str = "",
    depth: int = 100,
    batch: int = 1,
    unjudged: Unjudged = "irrelevant",
    grade: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Scored:
    """Rank a collection's queries; what was ranked before with this store is not ranked again.

    Args:
        collection: see `find_collection`.
        reranker: of a recipe whose scores are comparable, without a calibration.
        store: keeps what was ranked.
        first_stage: see `evaluation.first_stages.open_first_stage`.
        depth: candidates of each query.
        batch: queries ranked in lockstep.
        unjudged: as for `judged_scores`.
        grade: as for `judged_scores`.
        progress: called with (finished, all) queries.

    Raises:
        InputError: as loading and ranking it raise.
    """
    split = collection.task(None).load_split(
        collection.split, collection.source, strict=False, first_stage=first_stage
    )
    evaluated = evaluate(
        split,
        reranker,
        first_stage=first_stage,
        depth=depth,
        measures=("nDCG@10",),
        store=store,
        batch=batch,
        progress=progress,
    )
    judged = judged_scores(
        detailed_run_of(evaluated.records), split.benchmark.qrels, unjudged=unjudged, grade=grade
    )
    recipe = reranker.recipe
    model = describe(reranker).model
    return Scored(judged, recipe.name, recipe.score_kind, model, reranker.made_for, evaluated.warnings)


def read_scored(
    run: Path, qrels: Path, recipe: str | None, *, unjudged: Unjudged = "irrelevant", grade: int = 1
) -> Scored:
    """The judged scores of a run that is there.

    Args:
        run: what `limrank rerank -o x.jsonl` wrote, or another run with a model's scores.
        qrels: judgements.
        recipe: whose scores they are, where the run does not say so.
        unjudged: as for `judged_scores`.
        grade: as for `judged_scores`.

    Raises:
        InputError: a file that cannot be read, a run without scores or calibrated already, or a recipe that
            is missing, another one, or cannot be calibrated; a probability that is none.
    """
    detailed, judgements = read_detailed_run(run), read_judgements(qrels)
    records = [row for _, row in json_rows(run)] if holds_json_lines(run) else []
    told: dict[str, str] = {}
    for field in ("recipe", "reranker", "score_kind"):
        values = {str(row.get(field) or "") for row in records}
        if len(values) > 1:
            raise InputError(f"{run} is of several rerankers: its {field} differs from query to query")
        told[field] = values.pop() if values else ""
    if any(row.get("calibrated") for row in records):
        raise InputError(f"{run} is calibrated already: give the run of a reranker without a calibration")
    if recipe is not None and told["recipe"] not in ("", recipe):
        raise InputError(f"{run} is of recipe {told['recipe']!r}, but --recipe is {recipe!r}")
    if not (name := told["recipe"] or recipe or ""):
        raise InputError(f"{run} does not say which recipe its scores are of: name it with --recipe")
    if any(row.get("comparable") is False for row in records):
        raise InputError(
            f"recipe {name!r} cannot be calibrated: its scores in {run} are not comparable between queries"
        )
    if records:
        score_kind = told["score_kind"]
    else:
        known = load_recipe(name)
        check_calibrates(known)
        name, score_kind = known.name, known.score_kind
    judged = judged_scores(detailed, judgements, unjudged=unjudged, grade=grade)
    wrong = next((each for each in judged.scores if not 0 <= each.score <= 1), None)
    if score_kind == "probability" and wrong is not None:
        raise InputError(
            f"{run}: the score {wrong.score:g} of query {wrong.query!r} is no probability, though scores of "
            f"recipe {name!r} are said to be: rank again, and a server's logits with recipe "
            f"rerank-api:scores=logit"
        )
    notes = tuple(about_judgements(qrels))
    return Scored(judged, name, score_kind, reranker=told["reranker"], notes=notes)
