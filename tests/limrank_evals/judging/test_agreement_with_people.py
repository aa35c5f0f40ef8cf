"""Agreement with people's judgements, against scikit-learn and scipy on the same pairs and systems."""

from __future__ import annotations

import random

import pytest

from limrank_evals.comparison import Resampling
from limrank_evals.judging.agreement import grade_agreement, system_agreement
from limrank_evals.judging.pooling import PooledRun
from limrank_evals.measures import measure

metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn: pip install 'limrank[evals]'")
stats = pytest.importorskip("scipy.stats", reason="needs scipy: pip install 'limrank[evals]'")
FEW = Resampling(resamples=200)


def judgements(seed: int, highest: int = 3) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, int]]]:
    draw = random.Random(seed)
    human = {f"q{i}": {d: draw.randint(-1, highest) for d in "abcdefgh"} for i in range(12)}
    model = {
        query: {d: min(3, max(0, grade + draw.choice((-1, 0, 0, 1)))) for d, grade in grades.items()}
        for query, grades in human.items()
    }
    model["q0"]["unjudged"] = 2
    model["strange"] = {"a": 1}
    return human, model


@pytest.mark.parametrize("seed", range(3))
def test_grades(seed: int):
    human, model = judgements(seed)
    found = grade_agreement(human, model, FEW)
    assert found is not None
    pairs = [(max(0, human[q][d]), model[q][d]) for q in human for d in human[q]]
    people, machine = zip(*pairs, strict=True)
    assert (found.pairs, found.queries) == (96, 12)
    assert found.table == tuple(
        map(tuple, metrics.confusion_matrix(people, machine, labels=range(4)).tolist())
    )
    assert found.same.value == pytest.approx(metrics.accuracy_score(people, machine))
    kappa = metrics.cohen_kappa_score
    assert found.plain.value == pytest.approx(kappa(people, machine, labels=range(4)))
    assert found.quadratic.value == pytest.approx(
        kappa(people, machine, labels=range(4), weights="quadratic")
    )
    binary = kappa([grade >= 1 for grade in people], [grade >= 2 for grade in machine])
    assert found.binary.value == pytest.approx(binary)
    for estimate in (found.same, found.plain, found.quadratic, found.binary):
        assert estimate.interval is not None
        assert estimate.interval.low <= estimate.value <= estimate.interval.high
    assert found.notes == ()


def test_other_scales_are_said_and_no_pair_is_none():
    human, model = judgements(0, highest=1)
    found = grade_agreement(human, model, FEW)
    assert found is not None
    assert len(found.table) == 2
    assert "people's grades go to 1 and the model's to 3" in found.notes[0]
    assert grade_agreement({"q0": {"other": 1}}, model, FEW) is None
    one = grade_agreement({"q0": {"a": 2}}, {"q0": {"a": 2}}, FEW)
    assert one is not None
    assert (one.same.value, one.plain.value, one.plain.interval) == (1, None, None)


def test_systems():
    human, model = judgements(5)
    draw = random.Random(7)
    runs = [
        PooledRun(f"run{i}", {query: draw.sample("abcdefgh", 8) for query in human if query != f"q{i}"})
        for i in range(6)
    ]
    found = system_agreement(runs, human, model, FEW)
    assert found is not None
    assert found.queries == 12
    both = {query: model[query] for query in human}
    means = [
        [measure(run.ranked, qrels, ["nDCG@10"]).means["nDCG@10"] for run in runs] for qrels in (human, both)
    ]
    assert [list(side) for side in zip(*found.means.values(), strict=True)] == [
        pytest.approx(side) for side in means
    ]
    assert found.tau.value == pytest.approx(stats.kendalltau(*means).statistic)
    assert found.tau.interval is not None
    assert -1 <= found.tau.interval.low <= found.tau.value <= found.tau.interval.high <= 1
    assert system_agreement(runs[:1], human, model, FEW) is None
