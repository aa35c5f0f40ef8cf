"""What a query wants, said behind it: the option `intent` of `limrank` and `rank1`."""

from __future__ import annotations

import json

import pytest
from scripts import full_backend
from typer.testing import CliRunner

from limrank_plugins import Reranker, load_recipe
from limrank_plugins.backends.protocols import Generate
from limrank_plugins.cli import build_app
from limrank_plugins.data import Query
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import instructions, load_template

PROMPT = (
    "Determine if the following passage is relevant to the query. Answer only with 'true' or 'false'.\n"
    "Query: {query}\nPassage: {passage}\n<think>"
)
SAID = {
    intent: instructions()[f"intent/{intent}"].removeprefix("{{ query }}")
    for intent in ("direct", "background")
}
both = pytest.mark.parametrize("name", ["limrank", "rank1"])


def asked(recipe: str, query: str | Query = "why", passage: str = "a", **options: object) -> str:
    backend = full_backend()
    Reranker(recipe, backend=backend, **options).rank(query, [passage])
    assert isinstance(backend.requests[0], Generate)
    return backend.requests[0].prompt.text


@both
@pytest.mark.parametrize("option", ["", ":intent=either"])
def test_by_default_the_prompt_is_the_trained_one_to_the_byte(name: str, option: str):
    assert asked(name + option) == PROMPT.format(query="why", passage="a")


@both
@pytest.mark.parametrize("intent", SAID)
def test_the_sentence_stands_where_instructions_do_and_nothing_else_changes(name: str, intent: str):
    assert SAID[intent].startswith(" A passage is relevant ")
    wanted = PROMPT.format(query="why" + SAID[intent], passage="a")
    assert asked(f"{name}:intent={intent}") == wanted
    # It is said just as a query's own instruction would be, so the model sees one and the same prompt.
    assert asked(name, Query("why", instruction=SAID[intent].strip())) == wanted


def test_it_stands_behind_every_other_instruction():
    text = asked(
        "limrank:intent=direct",
        Query("why", instruction="Only black ones."),
        instruction="Find: {{ query }}!",
    )
    assert f"Query: Find: why Only black ones.!{SAID['direct']}\n" in text


def test_a_query_that_holds_the_mark_is_not_filled_in_again():
    text = asked("limrank:intent=direct", "a {{ query }} b", "{{ query }}")
    assert f"Query: a {{{{ query }}}} b{SAID['direct']}\nPassage: {{{{ query }}}}\n" in text


def test_the_sentence_is_shared_by_all_documents_of_a_query():
    backend = full_backend()
    Reranker("limrank:intent=background", backend=backend).rank("why", ["a", "b"])
    first, second = (request.prompt for request in backend.requests[:2])
    assert first.shared_text == second.shared_text
    assert SAID["background"] in first.shared_text


def test_only_the_readout_differs_so_a_checkpoints_card_fits():
    plain, direct = load_recipe("limrank"), load_recipe("limrank", intent="direct")
    assert direct.name == "limrank:intent=direct"
    assert (direct.template, direct.model, direct.schedule) == (plain.template, plain.model, plain.schedule)
    assert load_template("limrank").digest == Reranker(direct, backend=full_backend()).template.digest
    identities = {Reranker(recipe, backend=full_backend()).identity for recipe in (plain, direct)}
    assert len(identities) == 2, "journals of the two are told apart"


@both
@pytest.mark.parametrize("intent", ["indirect", "Direct", "1"])
def test_another_intent_is_named(name: str, intent: str):
    with pytest.raises(InputError, match=r"intent must be one of either, direct, background, but got"):
        load_recipe(f"{name}:intent={intent}")


def test_through_auto_cascades_and_votes():
    backend = full_backend()
    Reranker("limrank:intent=direct", backend=backend, reasoning="auto").rank("why", ["a", "b"])
    assert backend.requests
    assert all(SAID["direct"] in request.prompt.text for request in backend.requests)
    backend = full_backend()
    Reranker("cascade:first=prior,then=limrank(intent=direct)", backend=backend).rank("why", ["a", "b"])
    assert backend.requests
    assert all(SAID["direct"] in request.prompt.text for request in backend.requests)


def test_prompt_show():
    done = CliRunner().invoke(build_app(), ["prompt", "show", "limrank:intent=direct", "--json"])
    assert done.exit_code == 0, done.output
    assert SAID["direct"] in json.dumps(json.loads(done.stdout))


@pytest.mark.parametrize("recipe", ["limrank:intent=direct", "rank1:intent=background"])
def test_the_frameworks_take_it_as_part_of_the_name(recipe: str, monkeypatch: pytest.MonkeyPatch):
    from haystack import Document as HaystackDocument
    from haystack_integrations.components.rankers.limrank import LimRankRanker
    from llama_index.core.schema import NodeWithScore, TextNode
    from llama_index.postprocessor.limrank import LimRankRerank

    backends = []

    def built(recipe: object, *_: object) -> object:
        backends.append(full_backend())
        return backends[-1]

    monkeypatch.setattr("limrank_plugins.reranker.backend_for", built)
    nodes = [NodeWithScore(node=TextNode(text="a", id_="a"), score=1.0)]
    LimRankRerank(recipe=recipe).postprocess_nodes(nodes, query_str="why")
    ranker = LimRankRanker(recipe=recipe)
    ranker.warm_up()
    ranker.run(query="why", documents=[HaystackDocument(id="a", content="a")])
    asked_of = [request for backend in backends for request in backend.requests]
    assert len(backends) == 2
    assert all(SAID[recipe.partition("=")[2]] in request.prompt.text for request in asked_of)
    assert LimRankRanker.from_dict(ranker.to_dict()).recipe == recipe
