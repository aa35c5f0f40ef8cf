"""Documents that cannot be shown fail at their places; captions stand for images that nobody sees."""

from __future__ import annotations

from typing import Any

import pytest
from scripts import full_backend, passage_of, passages_of

from limrank_plugins import Document, Reranker, ScriptedBackend
from limrank_plugins.errors import RankingFailed
from limrank_plugins.images import Image

GIF = Image(b"GIF89a" + b"image")
BROKEN = Document("x", id="broken", unreadable="the image is damaged")


def stated(prompt: Any) -> tuple[float, float]:
    return (float(passage_of(prompt).split()[-1]), 0.0)


def seeing(sees: bool | None, **scripts: Any) -> ScriptedBackend:
    backend = full_backend(**scripts)
    if sees is not None:
        backend.shows_images = sees
    return backend


def documents(*numbers: int) -> list[Document]:
    return [Document(f"says {number}", id=f"d{number}") for number in numbers]


@pytest.mark.parametrize("top_n", [None, 2])
def test_an_unreadable_document_fails_at_its_place_and_is_never_asked_about(top_n: int | None):
    backend = seeing(None, read_labels=stated)
    reranker = Reranker("limrank", backend=backend, reasoning="none")
    one, two, three = documents(1, 2, 3)
    ranking = reranker.rank("q", [one, BROKEN, two, three], top_n=top_n)
    assert ranking.ids == ["d3", "broken", "d2", "d1"][:top_n]
    assert [hit.index for hit in ranking] == [3, 1, 2, 0][:top_n]
    assert [(f.id, f.reason) for f in ranking.failures] == [("broken", "the image is damaged")]
    assert len(backend.requests) == 3


def test_it_is_raised_where_failures_are():
    reranker = Reranker("limrank", backend=seeing(None), reasoning="none", on_failure="raise")
    with pytest.raises(RankingFailed, match="document 'broken' could not be judged: the image is damaged"):
        reranker.rank("q", [*documents(1), BROKEN])


def test_a_list_of_nothing_else_asks_nothing():
    for recipe in ("limrank", "rankgpt", "setwise", "mini", "fuse"):
        backend = full_backend()
        ranking = Reranker(recipe, backend=backend).rank("q", [BROKEN])
        assert [hit.failure for hit in ranking] == [BROKEN.unreadable], recipe
        assert backend.requests == [], recipe


@pytest.mark.parametrize("recipe", ["rankgpt", "setwise", "pairwise", "vote", "mini", "cascade"])
def test_the_others_are_ranked_as_if_it_were_not_there(recipe: str):
    others = [Document(text, id=text) for text in ("a", "b", "c", "d", "e")]
    made = Reranker(recipe, backend=full_backend())
    alone = made.rank("q", others)
    ranking = made.rank("q", [*others[:2], BROKEN, *others[2:]])
    assert ranking.ids == [*alone.ids[:2], "broken", *alone.ids[2:]]
    assert [hit.score for hit in ranking if hit.id != "broken"] == [hit.score for hit in alone]


@pytest.mark.parametrize(
    ("recipe", "sees", "shown"),
    [
        ("limrank", False, False),
        ("limrank", None, False),  # nobody knows, and the recipe is not made for images
        ("limrank", True, True),
        ("ragvl", None, True),
        ("ragvl", False, False),
    ],
)
def test_a_caption_stands_for_an_image_that_is_not_seen(recipe: str, sees: bool | None, shown: bool):
    backend = seeing(sees)
    made = Reranker(recipe, backend=backend, **({"reasoning": "none"} if recipe == "limrank" else {}))
    captioned = Document("a graph", id="p", images=[GIF], captioned=True)
    (hit,) = made.rank("q", [captioned])
    assert hit.failure is None
    assert hit.document is captioned
    (request,) = backend.requests
    assert request.prompt.images == ((GIF,) if shown else ())
    assert passage_of(request.prompt) == "a graph"


@pytest.mark.parametrize(
    "document",
    [
        Document("", id="p", images=[GIF], captioned=True),
        Document(" \n", id="p", images=[GIF], captioned=True),
        Document("text", id="p", images=[GIF]),
    ],
)
@pytest.mark.parametrize("recipe", ["limrank", "mini", "cross-encoder", "rankgpt", "icr"])
def test_an_image_that_cannot_be_seen_and_has_no_caption_fails_alone(recipe: str, document: Document):
    backend = seeing(False)
    ranking = Reranker(recipe, backend=backend).rank("q", [*documents(1, 2, 3), document])
    assert [failure.id for failure in ranking.failures] == ["p"]
    assert ranking[3].failure is not None
    for words in (f"recipe {recipe!r}", "cannot see", "no caption", "ragvl"):
        assert words in ranking[3].failure
    assert sorted(ranking.ids[:3]) == ["d1", "d2", "d3"]


def test_a_damaged_image_does_not_take_its_window_with_it():
    pytest.importorskip("PIL", reason="damage is seen where Pillow is installed")
    from tiny_vision import picture

    backend = seeing(True)
    pages = [Document(f"page {i}", id=f"p{i}", images=[picture(seed=i)]) for i in range(4)]
    damaged = Document("page x", id="px", images=[Image(b"\x89PNG\r\n\x1a\n" + b"damage")])
    ranking = Reranker("mm-r5", backend=backend).rank("q", [*pages[:2], damaged, *pages[2:]])
    (failure,) = ranking.failures
    assert failure.id == "px"
    assert "cannot be read" in failure.reason
    assert ranking.ids[2] == "px"
    assert "page x" not in [text for request in backend.requests for text in passages_of(request.prompt)]
