"""`LimRankRanker`: what goes in and what comes out."""

from __future__ import annotations

import copy

import pytest

pytest.importorskip("haystack", reason="haystack is not installed: pip install 'limrank[haystack]'")

from haystack import Document
from haystack_helpers import both, ids, ranker, stating
from haystack_integrations.components.rankers.limrank import LimRankRanker

# ---- the order and the scores ---------------------------------------------------------------------


async def test_ranks_by_probability_best_first(scripted):
    output = await both(ranker(), query="why?", documents=stating(0.2, 0.9, 0.5))
    assert ids(output) == ["d1", "d2", "d0"]
    assert [d.score for d in output["documents"]] == pytest.approx([0.9, 0.5, 0.2])
    assert all(type(d.score) is float for d in output["documents"])


async def test_the_retrievers_score_is_the_prior_and_input_order_breaks_ties(scripted):
    documents = [Document(id=i, content="relevance 0.5", score=s) for i, s in (("a", 3.0), ("b", 2.0))]
    output = await both(ranker(), query="why?", documents=documents)
    assert ids(output) == ["a", "b"]
    assert output["meta"]["retrieval_scores"] == {"a": 3.0, "b": 2.0}


async def test_a_nan_from_the_retriever_is_no_prior(scripted):
    documents = [Document(id="a", content="relevance 0.5", score=float("nan"))]
    output = await both(ranker(), query="why?", documents=documents)
    assert output["documents"][0].score == pytest.approx(0.5)
    assert output["meta"]["retrieval_scores"] == {}


async def test_top_k_cuts_and_run_overrides_init(scripted):
    documents = stating(0.2, 0.9, 0.5)
    assert ids(await both(ranker(top_k=2), query="why?", documents=documents)) == ["d1", "d2"]
    assert ids(await both(ranker(top_k=2), query="why?", documents=documents, top_k=1)) == ["d1"]
    assert len(ids(await both(ranker(top_k=1), query="why?", documents=documents, top_k=99))) == 3


@pytest.mark.parametrize("top_k", [0, -1])
async def test_top_k_must_be_positive(scripted, top_k):
    with pytest.raises(ValueError, match=f"top_k must be > 0, but got {top_k}"):
        ranker(top_k=top_k)
    with pytest.raises(ValueError, match=f"top_k must be > 0, but got {top_k}"):
        ranker().run(query="why?", documents=stating(0.5), top_k=top_k)
    with pytest.raises(ValueError, match=f"top_k must be > 0, but got {top_k}"):
        await ranker().run_async(query="why?", documents=[], top_k=top_k)


async def test_the_threshold_filters_before_top_k_cuts(scripted):
    output = await both(
        ranker(top_k=2, score_threshold=0.5), query="why?", documents=stating(0.4, 0.5, 0.9, 0.6)
    )
    assert ids(output) == ["d2", "d3"]
    output = await both(ranker(score_threshold=0.5), query="why?", documents=stating(0.4, 0.6))
    assert ids(output) == ["d1"]


async def test_a_threshold_of_zero_is_a_threshold(scripted):
    component = ranker(score_threshold=0.9)
    documents = stating(0.2, 0.5)
    assert ids(await both(component, query="why?", documents=documents)) == []
    assert ids(await both(component, query="why?", documents=documents, score_threshold=0.0)) == ["d1", "d0"]
    assert ranker(score_threshold=0.0).score_threshold == 0.0


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), "x", True])
def test_a_threshold_must_be_a_number(scripted, threshold):
    with pytest.raises(ValueError, match="score_threshold must be a finite number"):
        ranker(score_threshold=threshold)


def test_a_threshold_on_scores_that_are_not_comparable_is_refused():
    with pytest.raises(ValueError, match="scores of recipe 'mini' are not comparable"):
        LimRankRanker(recipe="mini", score_threshold=0.5)
    with pytest.raises(ValueError, match="not comparable"):
        LimRankRanker(recipe="mini").run(query="why?", documents=stating(0.5), score_threshold=0.0)


def test_an_unknown_recipe_is_refused_at_once():
    with pytest.raises(ValueError, match="there is no recipe 'nope'"):
        LimRankRanker(recipe="nope")


# ---- documents in and out ---------------------------------------------------------------------------


async def test_no_documents_ask_no_model_and_load_none(scripted):
    output = await both(ranker(), query="why?", documents=[])
    assert output["documents"] == []
    assert output["meta"]["failures"] == []
    assert scripted.made == []


async def test_duplicates_are_asked_about_once_the_highest_score_stays(scripted):
    documents = [
        Document(id="a", content="relevance 0.3", score=1.0),
        Document(id="b", content="relevance 0.6", score=None),
        Document(id="a", content="relevance 0.8", score=5.0),
        Document(id="b", content="relevance 0.1", score=float("nan")),
        Document(id="a", content="relevance 0.2", score=2.0),
    ]
    output = ranker().run(query="why?", documents=documents)
    assert ids(output) == ["a", "b"]
    assert [d.score for d in output["documents"]] == pytest.approx([0.8, 0.6])
    assert output["meta"]["usage"]["calls"] == 2
    assert output["meta"]["retrieval_scores"] == {"a": 5.0}


async def test_duplicates_keep_the_place_where_they_were_first_seen(scripted):
    documents = [Document(id=i, content="relevance 0.5", score=s) for i, s in (("a", 1), ("b", 9), ("a", 5))]
    assert ids(await both(ranker(), query="why?", documents=documents)) == ["a", "b"]


async def test_inputs_are_not_changed_and_outputs_are_new(scripted):
    # In-place assignment on a Document warns, and warnings are errors here.
    documents = [
        Document(content=f"relevance {n}", meta={"k": [n]}, score=7.0, embedding=[0.1, n]) for n in (0.2, 0.9)
    ]
    before = copy.deepcopy(documents)
    output = await both(ranker(), query="why?", documents=documents)
    assert documents == before
    assert ids(output) == [documents[1].id, documents[0].id], "a content-hash id survives a new score"
    for document in output["documents"]:
        assert all(document is not given for given in documents)
        document.meta["later"] = "component"
    assert documents == before
    assert output["documents"][0].embedding == [0.1, 0.9]


async def test_meta_fields_are_read_before_the_content(scripted):
    component = ranker(meta_fields_to_embed=["title", "year", "gone", "none"], embedding_separator=" | ")
    meta = {"title": "Milk", "year": 0, "none": None, "secret": "not asked for"}
    await both(component, query="why?", documents=[Document(content="relevance 0.5", meta=meta)])
    assert all("Passage: Milk | 0 | relevance 0.5\n" in prompt for prompt in scripted.prompts)
    assert not any("not asked for" in prompt for prompt in scripted.prompts)


async def test_a_document_without_content_is_judged_by_its_meta(scripted):
    documents = [Document(id="a", content=None, meta={"title": "relevance 0.7"})]
    output = await both(ranker(meta_fields_to_embed=["title"]), query="why?", documents=documents)
    assert output["documents"][0].score == pytest.approx(0.7)
    assert output["documents"][0].content is None


@pytest.mark.parametrize("query", ["", "  \n"])
async def test_an_empty_query_judges_nothing(scripted, query):
    documents = [Document(id=i, content="relevance 0.5", score=3.0) for i in "aab"]
    output = await both(ranker(top_k=1), query=query, documents=documents)
    assert ids(output) == ["a"]
    assert output["documents"][0].score is None, "a retriever's score would pass for a verdict"
    assert [f["id"] for f in output["meta"]["failures"]] == ["a", "b"]
    assert "query is empty" in output["meta"]["failures"][0]["reason"]
    assert scripted.made == []
    with pytest.raises(ValueError, match="query is empty"):
        ranker(raise_on_failure=True).run(query=query, documents=documents)


async def test_the_meta_output_says_what_it_cost(scripted):
    output = await both(ranker(reasoning="full", model="my-model"), query="why?", documents=stating(0.2, 0.9))
    meta = output["meta"]
    assert (meta["recipe"], meta["model"], meta["score_kind"]) == ("limrank", "my-model", "probability")
    assert meta["usage"]["calls"] == 2
    assert meta["usage"]["generated_tokens"] == 2
    assert (meta["failures"], meta["repairs"], meta["cut_tokens"]) == ([], 0, {})


async def test_the_reasoning_is_kept_off_the_documents_unless_asked_for(scripted):
    documents = stating(0.2, 0.9, meta={"k": 1})
    output = await both(ranker(reasoning="full"), query="why?", documents=documents)
    assert output["meta"]["explanations"] == {"d0": "Because.", "d1": "Because."}
    assert all(d.meta == {"k": 1} for d in output["documents"])
    asked = ranker(reasoning="full", explanation_meta_field="why")
    output = await both(asked, query="why?", documents=documents)
    assert all(d.meta == {"k": 1, "why": "Because."} for d in output["documents"])
    assert all(d.meta == {"k": 1} for d in documents)
