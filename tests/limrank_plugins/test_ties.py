"""How ties break, against a plain reading of the rule."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from limrank_plugins import Document
from limrank_plugins.data import Verdict
from limrank_plugins.images import Image
from limrank_plugins.ties import best_first, in_input_order, same_text, score_keys, shared_ranks

IMAGE = Image(b"GIF89a image")
documents = st.lists(
    st.builds(
        Document,
        st.sampled_from("ab"),
        prior=st.sampled_from([None, 1.0, 2.0]),
        images=st.sampled_from([(), (IMAGE,)]),
    ),
    max_size=8,
)


@given(st.lists(st.integers(0, 3), max_size=10))
def test_equal_keys_keep_their_order(keys: list[int]):
    assert best_first(keys) == sorted(range(len(keys)), key=lambda i: (-keys[i], i))


def test_a_tie_breaker_that_only_some_have_makes_no_difference():
    assert score_keys([Verdict(1.0, tie=0.9), Verdict(1.0)]) == [(1.0, 0.0), (1.0, 0.0)]
    assert score_keys([Verdict(1.0, tie=0.9), Verdict(1.0, tie=0.1)]) == [(1.0, 0.9), (1.0, 0.1)]


def test_equal_keys_share_the_first_of_their_ranks():
    assert shared_ranks([0.9, 0.5, 0.5, 0.5, 0.1]) == [1, 2, 2, 2, 5]


@given(documents, st.booleans())
def test_same_text_is_the_first_that_reads_the_same(given_documents: list[Document], priors: bool):
    keys = [(d.passage, d.images, d.prior if priors else None) for d in given_documents]
    assert same_text(given_documents, priors=priors) == [keys.index(key) for key in keys]


@given(st.data())
def test_those_that_read_the_same_stand_in_input_order_among_their_places(
    data: st.DataObject,
):
    given_documents = data.draw(documents)
    order = data.draw(st.permutations(range(len(given_documents))))
    arranged = in_input_order(order, given_documents)
    first = same_text(given_documents)
    assert [first[i] for i in arranged] == [first[i] for i in order]
    for group in set(first):
        members = [i for i in arranged if first[i] == group]
        assert members == sorted(members)
