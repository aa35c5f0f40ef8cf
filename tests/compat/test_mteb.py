"""p-MRR and the measures FollowIR reports, against mteb's own implementation on random inputs."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("mteb", reason="runs in an environment of its own: tests/compat/run_mteb")

from mteb._evaluators.retrieval_metrics import (
    calculate_pmrr,
    calculate_retrieval_scores,
    evaluate_p_mrr_change,
)

from limrank_evals.measures import measure
from limrank_evals.pmrr import changed_documents, p_mrr
from limrank_evals.runs import Ranked, arranged, run_lines_of

DOCUMENTS = [f"d{i}" for i in range(30)]
Run = dict[str, dict[str, float]]


def made(dice: random.Random, *, ties: bool, holes: bool) -> tuple[Run, dict[str, dict[str, int]]]:
    """A run and judgements of both sides of some queries; documents drop out on the changed side."""
    run: Run = {}
    qrels: dict[str, dict[str, int]] = {}
    for query in map(str, range(dice.randint(1, 6))):
        gold = dice.sample(DOCUMENTS, dice.randint(2, 12))
        gone = dice.sample(gold, dice.randint(1, len(gold) - 1))
        qrels[query + "-og"] = {d: dice.randint(1, 2) for d in gold}
        qrels[query + "-changed"] = {d: 0 if d in gone else 1 for d in gold}
        for side in ("-og", "-changed"):
            if holes and int(query) and dice.random() < 0.2:
                continue
            found = dice.sample(DOCUMENTS, dice.randint(1, len(DOCUMENTS)))
            run[query + side] = {d: float(dice.randint(0, 4)) if ties else dice.random() for d in found}
    return run, qrels


def ranked(run: Run) -> Ranked:
    return arranged(run_lines_of(run), "trec_eval")


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("holes", [False, True])
def test_p_mrr_is_mtebs(ties: bool, holes: bool) -> None:
    dice = random.Random(17)
    for _ in range(150):
        run, qrels = made(dice, ties=ties, holes=holes)
        changed = changed_documents(qrels)
        theirs = calculate_pmrr(
            {q: found for q, found in run.items() if q.endswith("-og")},
            {q: found for q, found in run.items() if q.endswith("-changed")},
            changed,
        )
        assert p_mrr(ranked(run), changed).mean == pytest.approx(theirs, abs=1e-12)


def test_what_followir_reports_is_mtebs() -> None:
    dice = random.Random(18)
    for _ in range(20):
        run, qrels = made(dice, ties=False, holes=False)
        theirs = evaluate_p_mrr_change(qrels, run, changed_documents(qrels), [1, 5, 1000])
        assert measure(ranked(run), qrels, ["p-MRR"]).means["p-MRR"] == pytest.approx(theirs["p-MRR"])
        for side in ("og", "changed"):
            ours = measure(
                {q: found for q, found in ranked(run).items() if q.endswith(side)},
                {q: grades for q, grades in qrels.items() if q.endswith(side)},
                ["nDCG@5", "MAP@1000"],
            )
            scores = theirs[side]
            assert isinstance(scores, dict)
            assert ours.means["nDCG@5"] == pytest.approx(scores["ndcg_at_5"], abs=1e-4)
            assert ours.means["MAP@1000"] == pytest.approx(scores["map_at_1000"], abs=1e-4)


def test_the_measures_of_a_plain_task_are_mtebs() -> None:
    dice = random.Random(19)
    for _ in range(20):
        run, qrels = made(dice, ties=True, holes=False)
        _, ndcg, average_precision, recall, *_ = calculate_retrieval_scores(run, qrels, [5, 10, 20])
        ours = measure(ranked(run), qrels, ["nDCG@10", "MAP@20", "R@5"]).means
        assert ours["nDCG@10"] == pytest.approx(ndcg["NDCG@10"], abs=1e-4)
        assert ours["MAP@20"] == pytest.approx(average_precision["MAP@20"], abs=1e-4)
        assert ours["R@5"] == pytest.approx(recall["Recall@5"], abs=1e-4)
