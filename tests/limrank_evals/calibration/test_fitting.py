"""Curves against scikit-learn and scipy, measures against brute force, and held-out queries held out."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest

from limrank_evals.calibration.fitting import fit_curve
from limrank_evals.calibration.judged_scores import JudgedScore, JudgedScores, divide, judged_scores
from limrank_evals.calibration.reliability import as_they_are, precise_threshold, reliability
from limrank_evals.calibration.reliability_plot import draw_reliability
from limrank_evals.errors.detailed_run import detailed_run_of
from limrank_plugins.calibration import Isotonic, Platt
from limrank_plugins.errors import InputError

pytest.importorskip("sklearn", reason="needs scikit-learn: pip install 'limrank[evals]'")


def drawn(count: int = 400, seed: int = 1, scale: float = 1.0, digits: int = 2) -> list[JudgedScore]:
    """Scores whose documents are relevant with probability score²: overconfident below, right at the ends."""
    draw = random.Random(seed)
    scores = []
    for i in range(count):
        score = round(draw.random(), digits)  # rounded, so that many are equal
        scores.append(JudgedScore(f"q{i % 40}", score * scale, draw.random() < score**2))
    return scores


def arrays(scores: list[JudgedScore]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([s.score for s in scores]), np.array([float(s.relevant) for s in scores])


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_isotonic_is_scikit_learns(scale: float):
    from sklearn.isotonic import IsotonicRegression

    scores = drawn(scale=scale)
    x, y = arrays(scores)
    theirs = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(x, y)
    curve = fit_curve(scores, "isotonic")
    grid = np.concatenate([x, np.linspace(-0.5, 1.5, 301) * scale])
    assert [curve(value) for value in grid.tolist()] == pytest.approx(theirs.predict(grid).tolist(), abs=1e-9)


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1e-4, 0.0), (300.0, -150.0)])
def test_platt_has_the_least_loss_on_platts_targets(scale: float, offset: float):
    from scipy.optimize import minimize

    scores = [JudgedScore(q, s * scale + offset, r) for q, s, r in drawn()]
    x, y = arrays(scores)
    units = (x - offset) / scale
    relevant = y.sum()
    target = np.where(y > 0, (relevant + 1) / (relevant + 2), 1 / (len(y) - relevant + 2))

    def loss(parameters: np.ndarray) -> float:
        z = parameters[0] * units + parameters[1]
        return float(np.sum(np.logaddexp(0, z) - target * z))

    best = minimize(loss, np.zeros(2), method="BFGS", options={"gtol": 1e-8})
    curve = fit_curve(scores, "platt")
    assert isinstance(curve, Platt)
    assert curve.slope * scale == pytest.approx(best.x[0], rel=1e-4)
    assert curve.slope * offset + curve.intercept == pytest.approx(best.x[1], rel=1e-4)


def test_platt_agrees_with_a_plain_logistic_regression_on_many_documents():
    from sklearn.linear_model import LogisticRegression

    scores = drawn(20_000, seed=3, digits=6)
    x, y = arrays(scores)
    theirs = LogisticRegression(C=np.inf).fit(x[:, None], y)
    curve = fit_curve(scores, "platt")
    grid = np.linspace(0, 1, 50)
    assert [curve(v) for v in grid.tolist()] == pytest.approx(
        theirs.predict_proba(grid[:, None])[:, 1], abs=1e-3
    )


def test_scores_that_separate_have_a_finite_logistic_curve():
    scores = [JudgedScore("q", i / 10, i >= 5) for i in range(10)]
    curve = fit_curve(scores, "platt")
    assert curve(0.0) < 0.2
    assert curve(0.9) > 0.8


@pytest.mark.parametrize("method", ["isotonic", "platt"])
@pytest.mark.parametrize("kind", ["falling", "constant"])
def test_scores_that_say_nothing_are_refused(method: str, kind: str):
    scores = [JudgedScore("q", 0.5 if kind == "constant" else -float(i), i >= 5) for i in range(10)]
    with pytest.raises(InputError, match="do not rise with relevance"):
        fit_curve(scores, method)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="method must be isotonic or platt"):
        fit_curve(scores, "beta")  # type: ignore[arg-type]


# ---- measures -------------------------------------------------------------------------------------


def test_ece_and_brier_are_a_brute_force_reading():
    scores = [*drawn(300, seed=5), JudgedScore("q", 1.0, True), JudgedScore("q", 1.0, False)]
    probabilities = [s.score for s in scores]
    found = reliability(probabilities, [s.relevant for s in scores], bins=7)
    error = 0.0
    for place in range(7):
        low, high = place / 7, (place + 1) / 7
        members = [s for s in scores if low <= s.score < high or (place == 6 and s.score == 1)]
        if members:
            confidence = sum(s.score for s in members) / len(members)
            right = sum(s.relevant for s in members) / len(members)
            error += len(members) / len(scores) * abs(confidence - right)
    assert found.ece == pytest.approx(error)
    assert found.brier == pytest.approx(sum((s.score - s.relevant) ** 2 for s in scores) / len(scores))
    assert sum(each.documents for each in found.bins) == len(scores)
    assert reliability([1.0, 0.0], [True, False]).ece == 0


def test_calibrating_lowers_the_error_of_queries_that_were_not_fitted():
    judged = JudgedScores(tuple(drawn(4000)), 0, "irrelevant", 0, 0)
    parts = divide(judged)
    relevant = [s.relevant for s in parts.held_out]
    before = reliability([s.score for s in parts.held_out], relevant)
    for method in ("isotonic", "platt"):
        curve = fit_curve(parts.fitted, method)
        after = reliability([curve(s.score) for s in parts.held_out], relevant)
        assert after.ece < before.ece / 2
        assert after.brier < before.brier


def test_which_scores_read_as_probabilities():
    assert as_they_are("probability")(0.25) == 0.25
    assert as_they_are("logit")(0.0) == 0.5
    assert as_they_are("logit")(-1e6) == 0.0
    assert as_they_are("similarity") is None


@pytest.mark.parametrize("target", [0.3, 0.5, 0.8])
def test_the_threshold_is_the_lowest_with_the_precision(target: float):
    scores = drawn(200, seed=9)
    curve = fit_curve(drawn(400, seed=8))
    found = precise_threshold(scores, curve, target)
    values = [(curve(s.score), s.relevant) for s in scores]

    def precision(threshold: float) -> float:
        kept = [r for p, r in values if p >= threshold]
        return sum(kept) / len(kept) if kept else 0.0

    assert found.precision == precision(found.threshold) >= target
    assert found.interval.low <= found.precision <= found.interval.high
    lower = {p for p, _ in values if p < found.threshold}
    assert all(precision(p) < target for p in lower)
    kept = [r for p, r in values if p >= found.threshold]
    assert (found.kept, found.recall) == (len(kept), sum(kept) / sum(r for _, r in values))


def test_no_threshold_may_be_precise_enough():
    scores = [JudgedScore("q", i / 10, i in (3, 5)) for i in range(8)]
    with pytest.raises(InputError, match=r"no threshold reaches precision 0\.9: the most .* is 0\.400"):
        precise_threshold(scores, Isotonic((0.0, 1.0), (0.0, 1.0)), 0.9)


def test_the_plot_shows_every_bin():
    scores = drawn(100)
    found = reliability([s.score for s in scores], [s.relevant for s in scores])
    drawing = draw_reliability({"before": found, "after": found})
    assert drawing.count("<circle") == 2 * len(found.bins)
    assert f"ECE {found.ece:.3f}" in drawing


# ---- what is judged, and the division -------------------------------------------------------------


def record(query: str, *hits: tuple[str, float | None]) -> dict[str, object]:
    written = [{"id": d, "score": s, "failure": None if s is not None else "no"} for d, s in hits]
    return {"query_id": query, "score_kind": "probability", "hits": written, "failures": []}


def test_what_counts_and_what_is_left_out():
    run = detailed_run_of(
        [
            record("a", ("x", 0.9), ("y", 0.8), ("z", None), ("u", 0.7), ("out", 0.6)),
            record("b", ("x", 0.5)),
            record("c", ("x", None)),
        ]
    )
    qrels = {"a": {"x": 2, "y": 0, "z": 1}, "c": {"x": 1}, "d": {"x": 1}}
    judged = judged_scores(run, qrels, excluded={"a": {"out"}})
    assert judged.scores == (
        JudgedScore("a", 0.9, True), JudgedScore("a", 0.8, False), JudgedScore("a", 0.7, False),
    )  # fmt: skip
    assert (judged.unjudged, judged.failed, judged.queries_left_out) == (1, 2, 2)
    assert judged.notes() == [
        "1 document without a judgement: counted as irrelevant",
        "2 documents that could not be judged by the model: left out (the first: no)",
        "2 queries without judgements or scores: left out",
    ]
    left_out = judged_scores(run, qrels, excluded={"a": {"out"}}, unjudged="left-out", grade=3)
    assert [s.relevant for s in left_out.scores] == [False, False]
    with pytest.raises(InputError, match="no document could be judged by the model; the first: no"):
        judged_scores(detailed_run_of([record("a", ("x", None))]), qrels)


def test_queries_are_held_out_with_all_their_documents():
    judged = JudgedScores(tuple(drawn()), 0, "irrelevant", 0, 0)
    divisions = [divide(judged, 0.25, seed) for seed in range(5)]
    for parts in divisions:
        fitted, held_out = ({score.query for score in part} for part in parts)
        assert not fitted & held_out
        assert len(held_out) == 10
        assert sorted((*parts.fitted, *parts.held_out)) == sorted(judged.scores)
    assert divide(judged, 0.25, 3) == divisions[3]
    assert all(first != second for first, second in pairwise(divisions))
    backwards = JudgedScores(judged.scores[::-1], 0, "irrelevant", 0, 0)
    assert sorted(divide(backwards, 0.25, 3).held_out) == sorted(divisions[3].held_out)


def test_too_few_queries_and_one_kind_alone_are_refused():
    few = [JudgedScore(f"q{i}", 0.5, bool(i % 2)) for i in range(9)]
    with pytest.raises(InputError, match="9 judged queries with scores are too few"):
        divide(JudgedScores(tuple(few), 0, "irrelevant", 0, 0))
    for relevant, said in ((True, "is irrelevant"), (False, "is relevant")):
        one = [JudgedScore(f"q{i}", 0.5, relevant) for i in range(40)]
        with pytest.raises(InputError, match=f"to fit on {said}: a calibration needs both"):
            divide(JudgedScores(tuple(one), 0, "irrelevant", 0, 0))
