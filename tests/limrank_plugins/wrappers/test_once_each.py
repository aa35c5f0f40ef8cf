"""Documents that read the same are judged once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from scripted_parts import Part, finished
from scripts import unit

from limrank_plugins import Document
from limrank_plugins.data import Usage, Verdict
from limrank_plugins.images import Image
from limrank_plugins.wrappers.once_each import once_each

PICTURE = Image(b"GIF89a picture")
documents = st.builds(
    Document,
    st.sampled_from("abc"),
    prior=st.sampled_from([None, 1.0]),
    images=st.sampled_from([(), (PICTURE,)]),
)


def key(document: Document) -> tuple[object, ...]:
    return document.passage, document.prior, document.images


def say(text: str) -> Verdict:
    return Verdict(unit(text), usage=Usage(calls=1), repairs=1, cut_tokens=2)


@given(st.lists(documents, max_size=8))
def test_each_set_of_duplicates_is_asked_about_once(given_documents: list[Document]):
    part = Part(say)
    outcome = finished(once_each(given_documents, part.rank))
    first = {}
    for i, document in enumerate(given_documents):
        first.setdefault(key(document), i)
    assert part.asked == [[given_documents[i].text for i in first.values()]]
    for i, (document, verdict) in enumerate(zip(given_documents, outcome.verdicts, strict=True)):
        mine = first[key(document)] == i
        assert verdict.score == unit(document.text)
        assert verdict.cut_tokens == 2
        assert (verdict.usage.calls, verdict.repairs) == ((1, 1) if mine else (0, 0))


@given(st.lists(documents, max_size=8))
def test_in_an_order_duplicates_stand_together_as_they_came(given_documents: list[Document]):
    part = Part(lambda text: Verdict(None), order=lambda texts: list(range(len(texts)))[::-1])
    outcome = finished(once_each(given_documents, part.rank))
    first: dict[object, int] = {}
    for i, document in enumerate(given_documents):
        first.setdefault(key(document), i)
    expected = sorted(range(len(given_documents)), key=lambda i: (-first[key(given_documents[i])], i))
    assert outcome.order == expected


def test_a_title_is_read_like_the_text():
    part = Part(say)
    finished(once_each([Document("b", title="a"), Document("a b"), Document("b", title="A")], part.rank))
    assert len(part.asked[0]) == 2
