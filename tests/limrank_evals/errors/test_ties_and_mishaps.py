"""Equal and saturated scores, failures, cut documents and false claims, counted one by one."""

from __future__ import annotations

from error_lists import DIRECT, UNTRUE, grades, listing, scored
from hypothesis import given

from limrank_evals.errors.detailed_run import detailed_run_of
from limrank_evals.errors.mishaps import false_claims_of, mishaps_of
from limrank_evals.errors.tie_counts import ties_of


@given(scored(), grades)
def test_ties_are_what_counting_gives(found, qrels):
    ties = ties_of(listing({"q": found}, score_kind="probability"), {"q": qrels})
    known = [(d, s) for d, s in found if s is not None]
    if not known:
        assert ties is None
        return
    good = [(d, s) for d, s in known if qrels.get(d, 0) > 0]
    others = [(d, s) for d, s in known if qrels.get(d, 0) <= 0]
    place = {d: i for i, (d, _) in enumerate(found)}
    below = [d for d, s in good if any(s == t and place[o] < place[d] for o, t in others)]
    assert ties.scored == len(known)
    assert ties.tied == sum(any(s == t and d != o for o, t in known) for d, s in known)
    assert (ties.relevant_scored, ties.relevant_below) == (len(good), len(below))
    assert ties.relevant_tied == sum(any(s == t for _, t in others) for _, s in good)
    assert ties.queries_below == (1 if below else 0)
    assert ties.saturated == (
        sum(s == 0 for _, s in known),
        sum(s == 1 for _, s in known),
        sum(s == 0 for _, s in good),
        sum(s == 1 for _, s in others),
    )
    assert {case["document"] for case in ties.cases} == set(below)
    for case in ties.cases:
        above = [o for o, t in others if t == case["score"]]
        assert case["below"] == min(above, key=place.get)
        assert (case["rank"], case["below_rank"]) == (
            place[case["document"]] + 1,
            place[case["below"]] + 1,
        )


def test_saturation_is_asked_of_probabilities_only():
    run = listing({"q": [("a", 0.9995), ("b", 0.5), ("c", 0.0005), ("d", 0.002)]}, score_kind="probability")
    assert ties_of(run, {"q": {"c": 1, "b": 1}}).saturated == (1, 1, 1, 1)
    logits = listing({"q": [("a", 7.0)]}, score_kind="logit")
    assert ties_of(logits, {"q": {"a": 1}}).as_json()["saturated"] is None
    assert ties_of(listing({"q": "a b"}), {"q": {"a": 1}}) is None


def test_the_case_that_could_rise_most_is_first():
    run = listing({"p": [("x", 1.0), ("y", 1.0), ("a", 1.0)], "q": [("z", 0.5), ("x", 0.1), ("a", 0.1)]})
    ties = ties_of(run, {"p": {"a": 1}, "q": {"a": 2, "x": 0}})
    assert [(case["query"], case["below"]) for case in ties.cases] == [("p", "x"), ("q", "x")]
    assert len(ties.as_json(1)["cases"]) == 1


RECORDS = [
    {
        "query_id": "q",
        "hits": [
            {"id": "a", "score": 0.9, "cut_tokens": 7},
            {"id": "b", "score": None, "failure": "context too short"},
            {"id": "c", "score": 0.2, "cut_tokens": 5},
        ],
        "failures": [
            {"id": "b", "reason": "context too short"},
            {"id": "e", "reason": "no label"},
        ],
        "repairs": 2,
    },
    {"query_id": "unjudged", "hits": [{"id": "b", "failure": "x", "cut_tokens": 9}]},
]


def test_failures_and_cuts():
    told = mishaps_of(detailed_run_of(RECORDS), {"q": {"b": 0, "e": 1, "c": 2}}).as_json(top=2)
    assert told == {
        "failures": {
            "documents": 2,
            "queries": 1,
            "relevant": 1,
            "reasons": [
                {"reason": "no label", "documents": 1},
                {"reason": "context too short", "documents": 1},
            ],
            "cases": [
                {"query": "q", "document": "e", "rank": None, "relevant": True, "reason": "no label"},
                {"query": "q", "document": "b", "rank": 2, "relevant": False, "reason": "context too short"},
            ],
        },
        "cut": {
            "documents": 2,
            "queries": 1,
            "tokens": 12,
            "relevant": 1,
            "relevant_below_top": 1,
            "cases": [{"query": "q", "document": "c", "rank": 3, "relevant": True, "cut_tokens": 5}],
        },
        "repairs": 2,
        "cut_queries": 0,
        "cut_documents": 2,
        "not_read": ["2 of 3 documents were longer than the model reads"],
    }
    assert (
        mishaps_of(detailed_run_of(RECORDS), {"q": {"c": 2}}).as_json(top=3)["cut"]["relevant_below_top"] == 0
    )
    plain = detailed_run_of(RECORDS)
    assert mishaps_of(type(plain)(plain.lists), {"q": {"b": 1}}) is None, "a TREC file does not say"


def test_false_claims():
    lists = {
        "top": [("u1", 0.9), ("d", 0.8), ("u2", 0.7)],
        "mid": [("d", 0.9), ("u1", 0.3)],
        "low": [("d", 0.9), ("x", 0.8), ("u1", 0.1)],
        "alone": [("x", 0.9), ("u1", 0.8)],
        "failed": [("u1", None), ("d", 0.8)],
    }
    kinds = {query: {"u1": UNTRUE, "u2": UNTRUE, "d": DIRECT, "x": "negative:outdated"} for query in lists}
    qrels = {query: {"d": 2} for query in lists}
    found = false_claims_of(listing(lists), kinds, qrels, top=2)
    assert (found.queries, found.ranked, found.at_top) == (4, 5, 3)
    told = found.as_json(0.95)
    assert {name: share["queries"] for name, share in told["of_queries"].items()} == {
        "at_top": 3,
        "first": 1,
        "above_relevant": 2,
    }
    assert [(case["query"], case["rank"], case["relevant_rank"]) for case in found.cases] == [
        ("top", 1, 2),
        ("alone", 2, None),
        ("mid", 2, 1),
    ]
    low, high = told["of_queries"]["first"]["interval"]
    assert low < 1 / 4 < high
