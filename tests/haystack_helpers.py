"""Short hands of the Haystack tests: rankers on the scripted model, documents that state their score."""

from __future__ import annotations

from haystack import Document
from haystack_integrations.components.rankers.limrank import LimRankRanker

KEY = "sk-planted-7f3a9c"


def ranker(**options) -> LimRankRanker:
    return LimRankRanker(**({"backend": "scripted", "reasoning": "none"} | options))


def stating(*numbers: float, **fields) -> list[Document]:
    return [Document(id=f"d{i}", content=f"relevance {n}", **fields) for i, n in enumerate(numbers)]


def ids(output) -> list[str]:
    return [document.id for document in output["documents"]]


async def both(component: LimRankRanker, **inputs) -> dict:
    """The output of `run`, after checking that `run_async` gives the same."""
    plain = component.run(**inputs)
    later = await component.run_async(**inputs)
    assert later["documents"] == plain["documents"]
    for output in (plain, later):
        output["meta"]["usage"].pop("seconds")
    assert later["meta"] == plain["meta"]
    return plain


def assert_no_key_in(error: BaseException | None) -> None:
    while error is not None:
        assert KEY not in str(error)
        assert KEY not in repr(error)
        error = error.__cause__ or error.__context__
