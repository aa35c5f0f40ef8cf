"""Prompts and copies of `LimRankRerank`, and what importing it costs."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip("llama_index.core", reason="needs llama-index-core: pip install 'limrank[llama-index]'")

from llama_index.core import PromptTemplate
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.prompts import ChatPromptTemplate
from llama_index.postprocessor.limrank import LimRankRerank
from scripted_nodes import QUERY, nodes, rerank
from scripts import reranker

from limrank_plugins import Reranker
from limrank_plugins.prompts import load_template

# ---- prompts ----------------------------------------------------------------------------------------


def test_the_recipes_prompt_is_handed_out_as_llamaindex_writes_prompts() -> None:
    prompt = LimRankRerank().get_prompts()["rerank_prompt"]
    assert prompt.template_vars == ["query", "document"]
    written = prompt.format(query="Q?", document="D.")
    template = load_template("limrank")
    assert written == template.render("Q?", ["D."]).text


def test_a_prompt_that_comes_back_unchanged_asks_in_the_same_bytes() -> None:
    plain, updated = LimRankRerank(reranker=reranker()), LimRankRerank(reranker=reranker())
    updated.update_prompts(updated.get_prompts())
    for postprocessor in (plain, updated):
        postprocessor.postprocess_nodes(nodes("a { b }", "{{ query }}"), query_str="{document}")
    assert plain.reranker.backend.requests == updated.reranker.backend.requests


def test_an_updated_prompt_is_what_the_model_reads(built: list[dict[str, Any]]) -> None:
    postprocessor = LimRankRerank(reasoning="none")
    postprocessor.postprocess_nodes(nodes("acid"), query_str=QUERY)
    wording = 'Is {{this}} {% useful %} {# for #} "{query}"?\n{language}: {document} <think>'
    postprocessor.update_prompts({"rerank_prompt": PromptTemplate(wording, language="English")})
    postprocessor.postprocess_nodes(nodes("acid"), query_str=QUERY)
    asked = postprocessor._ready().backend.requests[-1].prompt
    expected = f'Is {{{{this}}}} {{% useful %}} {{# for #}} "{QUERY}"?\nEnglish: acid <think>'
    assert asked.text == expected + "\n</think>"
    assert [s.trusted for s in asked.segments if s.text in (QUERY, "acid")] == [False, False]
    assert len(built) == 1  # another wording is no reason to load the model again
    again = LimRankRerank.from_dict(postprocessor.to_dict())
    assert again.get_prompts() == postprocessor.get_prompts()


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ({"rerank_prompt": PromptTemplate("only {query}")}, r"\{document\} is missing"),
        (
            {"rerank_prompt": ChatPromptTemplate.from_messages([("user", "{query} {document}")])},
            "chat prompt",
        ),
        ({"text_qa_template": PromptTemplate("{query} {document}")}, "no prompt text_qa_template"),
    ],
)
def test_prompts_that_cannot_be_used(prompts: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LimRankRerank().update_prompts(prompts)


def test_recipes_without_a_prompt_have_none() -> None:
    postprocessor = LimRankRerank(recipe="mini")
    assert postprocessor.get_prompts() == {}
    with pytest.raises(ValueError, match="no prompt"):
        postprocessor.update_prompts({"rerank_prompt": PromptTemplate("{query} {document}")})


# ---- copies -----------------------------------------------------------------------------------------


def test_copies_share_the_loaded_model_unless_they_ask_for_another(built: list[dict[str, Any]]) -> None:
    postprocessor = LimRankRerank(model="one")
    postprocessor.postprocess_nodes(nodes("a"), query_str=QUERY)
    for same in (
        copy.copy(postprocessor),
        copy.deepcopy(postprocessor),
        postprocessor.model_copy(update={"top_n": 1}, deep=True),
    ):
        same.postprocess_nodes(nodes("a"), query_str=QUERY)
    assert len(built) == 1
    postprocessor.model_copy(update={"model": "two"}).postprocess_nodes(nodes("a"), query_str=QUERY)
    assert [arguments["model"] for arguments in built] == ["one", "two"]


def test_a_deep_copy_shares_the_ready_reranker() -> None:
    postprocessor = rerank()
    assert copy.deepcopy(postprocessor).reranker is postprocessor.reranker


def test_pickling(built: list[dict[str, Any]]) -> None:
    postprocessor = LimRankRerank(model="one", top_n=2)
    postprocessor.postprocess_nodes(nodes("a"), query_str=QUERY)
    again = pickle.loads(pickle.dumps(postprocessor))
    assert again.to_dict() == postprocessor.to_dict()
    with pytest.raises(TypeError, match="cannot be pickled, as one of its arguments cannot"):
        pickle.dumps(rerank())
    ready = LimRankRerank(reranker=Reranker("prior"), top_n=1)
    for again in (pickle.loads(pickle.dumps(ready)), copy.deepcopy(ready)):
        assert again.to_dict() == ready.to_dict()
        assert len(again.postprocess_nodes(nodes("a", "b"), query_str=QUERY)) == 1


# ---- the package ------------------------------------------------------------------------------------


def test_it_is_a_postprocessor_and_importing_it_is_light() -> None:
    assert issubclass(LimRankRerank, BaseNodePostprocessor)
    assert LimRankRerank.class_name() == "LimRankRerank"
    code = (
        "import sys, llama_index.postprocessor.limrank, llama_index.retrievers.limrank; "
        "heavy = {'torch', 'transformers', 'bm25s', 'pyserini', 'jnius', 'openai'} & set(sys.modules); "
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
