"""Confused pairs, counted one by one."""

from __future__ import annotations

import pytest
from error_lists import DIRECT, OUTDATED, REFUTING, SUPPORTING, UNTRUE, kinds, listing, scored
from hypothesis import given
from hypothesis import strategies as st

from limrank_evals.comparison import Resampling
from limrank_evals.errors.confusion import SORT_PAIRS, Relation, confusion_of
from limrank_evals.errors.kinds import sort_of

QUICK = Resampling(0.95, 50, 0)
Run = dict[str, list[tuple[str, "float | None"]]]


def by_hand(
    lists: Run, named: dict[str, dict[str, str]], fits
) -> dict[str, list[tuple[bool, bool, float, str]]]:
    """For every query its pairs: is the worse one above, are scores equal, the gap, and the worse one."""
    told: dict[str, list[tuple[bool, bool, float, str]]] = {}
    for query, found in lists.items():
        for place, (worse, low) in enumerate(found):
            for other, (better, high) in enumerate(found):
                a, b = (named.get(query, {}).get(d) for d in (worse, better))
                if a and b and low is not None and high is not None and fits(a, b):
                    told.setdefault(query, []).append((place < other, low == high, high - low, worse))
    return told


def check(relation: Relation | None, wanted: dict[str, list[tuple[bool, bool, float, str]]]) -> None:
    found = relation.by_query if relation else {}
    assert set(found) == set(wanted)
    for query, pairs in wanted.items():
        one = found[query]
        assert (one.pairs, one.confused, one.tied) == (
            len(pairs),
            sum(above for above, _, _, _ in pairs),
            sum(tied for _, tied, _, _ in pairs),
        )
        assert one.gap == pytest.approx(sum(gap for _, _, gap, _ in pairs) / len(pairs))
        assert one.rate == one.confused / one.pairs
        # The best-placed of all is a worse one: it is above every better one, in as many pairs as those are.
        assert one.first == any(
            sum(above for above, worse in sides if worse == name) == sum(worse == name for _, worse in sides)
            for sides in [[(above, worse) for above, _, _, worse in pairs]]
            for name in {worse for _, worse in sides}
        )


@given(scored(), scored(), kinds, kinds)
def test_every_relation_is_what_counting_pairs_gives(first, second, of_first, of_second):
    lists, named = {"a": first, "b": second}, {"a": of_first, "b": of_second}
    found = confusion_of(listing(lists).lists, named)
    for worse, better in SORT_PAIRS:
        sorts = ("direct", "indirect") if better == "relevant" else (better,)
        wanted = by_hand(
            lists, named, lambda a, b, worse=worse, sorts=sorts: sort_of(a) == worse and sort_of(b) in sorts
        )
        check(found.relation(worse, better), wanted)
    seen = {(one.worse, one.better): one for one in found.matrix}
    assert len(seen) == len(found.matrix)
    for (worse, better), one in seen.items():
        assert (sort_of(worse), sort_of(better)) in SORT_PAIRS
        check(one, by_hand(lists, named, lambda a, b, w=worse, v=better: (a, b) == (w, v)))
    for one in found.negatives:
        check(
            one,
            by_hand(lists, named, lambda a, b, w=one.worse: a == w and sort_of(b) in ("direct", "indirect")),
        )
    means = [sum(one.rates.values()) / len(one.rates) for one in found.negatives]
    assert means == sorted(means, reverse=True)


def test_the_paper_s_case():
    """An indirect passage scored as high as the direct one, where the direct one is wanted."""
    lists = {
        "q1": [("i", 0.9), ("d", 0.9), ("n", 0.1)],
        "q2": [("d", 0.8), ("i", 0.7), ("n", 0.2)],
        "q3": [("n", 0.9), ("i", 0.6), ("d", 0.5)],
    }
    named = {query: {"d": DIRECT, "i": SUPPORTING, "n": OUTDATED} for query in lists}
    found = confusion_of(listing(lists).lists, named)
    one = found.relation("indirect", "direct")
    assert one.rates == {"q1": 1.0, "q2": 0.0, "q3": 1.0}
    told = one.as_json(QUICK)
    assert told["rate"]["mean"] == pytest.approx(2 / 3)
    assert (told["queries"], told["pairs"], told["confused"], told["tied"]) == (3, 3, 2, 1)
    assert told["gap"]["mean"] == pytest.approx((0 + 0.1 - 0.1) / 3)
    assert told["worse_is_first"]["queries"] == 2
    assert found.relation("negative", "relevant").rates == {"q1": 0.0, "q2": 0.0, "q3": 1.0}
    assert found.counts == {"queries": 3, "not_wanting_direct": 0, "not_ranked": 0, "failed": 0}


def test_every_query_counts_the_same_whatever_its_number_of_passages():
    lists = {"many": "i1 i2 i3 i4 d1 d2 d3", "one": "d i"}
    named = {
        "many": {f"i{n}": SUPPORTING for n in range(1, 5)} | {f"d{n}": DIRECT for n in range(1, 4)},
        "one": {"d": DIRECT, "i": REFUTING},
    }
    one = confusion_of(listing(lists).lists, named).relation("indirect", "direct")
    assert one.rate(QUICK).mean == 0.5
    assert sum(pairs.confused for pairs in one.by_query.values()) == 12
    assert {r.worse: r.rate(QUICK).mean for r in confusion_of(listing(lists).lists, named).matrix} == {
        SUPPORTING: 1.0,
        REFUTING: 0.0,
    }


def test_ranks_alone_say_nothing_of_scores():
    found = confusion_of(listing({"q": "i d"}).lists, {"q": {"d": DIRECT, "i": SUPPORTING}})
    told = found.relation("indirect", "direct").as_json(QUICK)
    assert (told["tied"], told["gap"], told["rate"]) == (None, None, {"mean": 1.0, "interval": None})


def test_a_query_that_wants_background_is_left_out_of_direct_against_indirect_only():
    lists = dict.fromkeys(("asks", "studies", "both"), "n i d")
    named = {query: {"d": DIRECT, "i": SUPPORTING, "n": OUTDATED} for query in lists}
    wishes = {"studies": "background", "both": "either"}
    found = confusion_of(listing(lists).lists, named, wishes)
    assert set(found.relation("indirect", "direct").by_query) == {"asks"}
    assert set(found.relation("negative", "relevant").by_query) == set(lists)
    assert found.counts["not_wanting_direct"] == 2
    for one in found.matrix:
        assert set(one.by_query) == ({"asks"} if one.worse == SUPPORTING else set(lists))


def test_what_is_not_ranked_or_failed_is_counted_and_in_no_pair():
    lists = {"q": [("i", 0.9), ("f", None), ("d", 0.4)]}
    named = {"q": {"i": SUPPORTING, "f": DIRECT, "d": DIRECT, "away": DIRECT}, "gone": {"x": DIRECT}}
    found = confusion_of(listing(lists).lists, named)
    assert found.counts == {"queries": 2, "not_wanting_direct": 0, "not_ranked": 2, "failed": 1}
    assert found.relation("indirect", "direct").by_query["q"].pairs == 1


def test_kinds_that_bear_their_sort_s_name_are_themselves_in_the_matrix():
    found = confusion_of(
        listing({"q": "a b d"}).lists, {"q": {"a": "indirect", "b": SUPPORTING, "d": DIRECT}}
    )
    assert {one.worse: one.by_query["q"].pairs for one in found.matrix} == {"indirect": 1, SUPPORTING: 1}
    assert found.relation("indirect", "direct").by_query["q"].pairs == 2


def test_the_cases_are_the_first_in_the_way_and_the_next_better_one():
    lists = {"slight": "d0 i1 d1", "bad": "i1 x i2 d1 d2", "worst": "n1 d1", "fine": "d1 i1 n1"}
    kinds_of = {"d": DIRECT, "i": SUPPORTING, "n": UNTRUE}
    named = {q: {d: kinds_of[d[0]] for d in found.split() if d != "x"} for q, found in lists.items()}
    cases = confusion_of(listing(lists).lists, named).cases(named, 5)
    assert [(c.query, c.worse.document, c.better.document) for c in cases] == [
        ("bad", "i1", "d1"),
        ("slight", "i1", "d1"),
        ("worst", "n1", "d1"),
    ]
    assert [c.weight for c in cases] == [1 - 1 / 4, 1 / 2 - 1 / 3, 1 / 2]
    assert (cases[2].worse_kind, cases[2].better_kind) == (UNTRUE, DIRECT)
    assert [c.query for c in confusion_of(listing(lists).lists, named).cases(named, 1)] == ["bad", "worst"]
    assert confusion_of(listing(lists).lists, named).cases(named, 0) == []


@given(scored(), kinds, st.randoms())
def test_the_order_of_kinds_and_queries_changes_nothing(found, named, dice):
    items = list(named.items())
    dice.shuffle(items)
    both = [confusion_of(listing({"q": found}).lists, {"q": dict(order)}) for order in (named.items(), items)]
    assert [[one.as_json(QUICK) for one in c.matrix + c.sorts + c.negatives] for c in both[:1]] == [
        [one.as_json(QUICK) for one in c.matrix + c.sorts + c.negatives] for c in both[1:]
    ]
