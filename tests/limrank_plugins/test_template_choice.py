"""Models that were not trained with a recipe's raw completion are asked in a chat, and it is said."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import chats
import pytest
import tiny
import torch
import transformers
from servers import Call, LoopbackServer, chat
from typer.testing import CliRunner

from limrank_plugins import Reranker, ScriptedBackend, load_recipe, recipe_names
from limrank_plugins.backends.openai import OpenAIBackend
from limrank_plugins.backends.protocols import ModelFacts
from limrank_plugins.backends.transformers import TransformersBackend
from limrank_plugins.cli import build_app
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import load_template
from limrank_plugins.template_choice import choose_template

QUERY, PASSAGES = "why does milk curdle in tea", ["acid curdles milk", "bread rises", "rivers carve valleys"]
TRAINED, CHAT = load_template("limrank"), load_template("limrank-chat")


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with a chat template, of which nothing is known."""
    return chats.build(tmp_path_factory.mktemp("models") / "talker")


def put_card(folder: Path, **entries: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "limrank.json").write_text(json.dumps(entries))
    return folder


# ---- which one ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("songtingyu/limrank", "limrank"),
        ("jhu-clsp/rank1-7b", "limrank"),
        ("jhu-clsp/rank1-0.5b", "limrank"),
        ("me/rank1-14b-awq", "limrank"),
        ("/models/LimRank", "limrank"),
        ("/models/limrank/", "limrank"),
        ("limrank.Q4_K_M.gguf", "limrank"),
        ("somebody/limrank-GGUF:limrank.Q8_0.gguf", "limrank"),
        ("limrank:latest", "limrank"),
        ("/cache/hub/models--songtingyu--limrank/snapshots/0a1b2c", "limrank"),
        ("/home/me/limrank/models/smollm2", "limrank-chat"),
        ("Qwen/Qwen2.5-7B-Instruct", "limrank-chat"),
        ("limranker", "limrank-chat"),
        ("rank1", "limrank-chat"),
        ("m", "limrank-chat"),
    ],
)
@pytest.mark.parametrize("recipe", ["limrank", "rank1", "limrank:intent=direct"])
def test_a_checkpoint_is_known_by_its_name(name: str, chosen: str, recipe: str):
    facts = ModelFacts((name,), chats=True, has_files=False)
    choice = choose_template(load_recipe(recipe), None, facts)
    assert choice.template == load_template(chosen)
    assert choice.is_guess == (chosen == "limrank-chat")
    assert repr(name) in choice.reason
    assert repr(chosen) in choice.reason


@pytest.mark.parametrize(
    ("name", "chosen"), [("castorini/monot5-3b-msmarco", "monot5"), ("songtingyu/limrank", "limrank-chat")]
)
def test_each_recipe_has_its_own_checkpoints(name: str, chosen: str):
    choice = choose_template(load_recipe("monot5"), None, ModelFacts((name,), chats=True, has_files=False))
    assert choice.template == load_template(chosen)


@pytest.mark.parametrize(
    ("card", "chosen"),
    [
        ({"recipe": "limrank", "prompt_sha256": TRAINED.digest}, "limrank"),
        ({"recipe": "rank1"}, "limrank"),
        ({"recipe": "limrank:intent=direct"}, "limrank"),
        ({"recipe": "limrank", "prompt_sha256": CHAT.digest}, "limrank-chat"),
        ({"recipe": "rankgpt"}, "limrank-chat"),
        ({"recipe": "of-another-package"}, "limrank-chat"),
    ],
)
def test_a_card_wins_over_the_name(tmp_path: Path, card: dict[str, str], chosen: str):
    folder = put_card(tmp_path / "limrank-mine", **card)
    recipe = load_recipe("limrank")
    assert choose_template(recipe, None, ModelFacts((str(folder),), True)).template == load_template(chosen)
    beside_its_base = ModelFacts((str(folder), "Qwen/Qwen2.5-0.5B-Instruct"), True)
    assert choose_template(recipe, None, beside_its_base).template == load_template(chosen)


def test_a_broken_card_is_named(tmp_path: Path):
    facts = ModelFacts((str(put_card(tmp_path / "mine", labels=[])),), True)
    with pytest.raises(InputError, match="names its 'recipe'"):
        choose_template(load_recipe("limrank"), None, facts)


def test_without_a_chat_template_and_without_facts_the_trained_one_is_used():
    recipe = load_recipe("limrank")
    silent = choose_template(recipe, None, ModelFacts(("base",), chats=False, has_files=False))
    assert (silent.template, silent.is_guess) == (TRAINED, True)
    assert "no chat template" in silent.reason
    unknown = choose_template(recipe, None, ScriptedBackend(read_labels=lambda prompt: (1, 0)))
    assert (unknown.template, unknown.reason, unknown.is_guess) == (TRAINED, "", False)


@pytest.mark.parametrize("named", ["limrank", "limrank-chat"])
@pytest.mark.parametrize("name", ["songtingyu/limrank", "Qwen/Qwen2.5-7B-Instruct"])
def test_the_caller_decides(named: str, name: str):
    choice = choose_template(load_recipe("limrank"), named, ModelFacts((name,), True, False))
    assert (choice.template, choice.reason, choice.is_guess) == (load_template(named), "", False)


def test_every_recipe_asks_any_model_in_a_chat_or_reads_no_answer():
    """A raw completion that has to be answered has a chat beside it; `qlm` reads the query's likelihood."""
    raw = {}
    for name in recipe_names():
        recipe = load_recipe(name)
        if recipe.template is not None and not load_template(recipe.template).chat:
            raw[name] = recipe.chat_template
    assert raw == {
        "limrank": "limrank-chat",
        "rank1": "limrank-chat",
        "monot5": "limrank-chat",
        "qlm": None,
        "qwen3-reranker": "qwen3-reranker-chat",
        "mxbai-rerank": "mxbai-rerank-chat",
    }
    for name in recipe_names():
        recipe = load_recipe(name)
        if recipe.chat_template is not None:
            template = load_template(recipe.chat_template)
            assert template.chat
            assert len(template.labels) == 2


# ---- what is asked ------------------------------------------------------------------------------


def plain_probability(folder: Path, written: str) -> float:
    """P(true) by the libraries alone, behind the chat and what was written in answer to it."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    text = CHAT.render(QUERY, [PASSAGES[0]]).text
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
    )
    ids = tokenizer(asked + written, add_special_tokens=False)["input_ids"]
    labels = [tokenizer(label, add_special_tokens=False)["input_ids"] for label in CHAT.labels]
    assert [len(label) for label in labels] == [1, 1]
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0, -1].double()
    first, second = (float(logits[label[0]]) for label in labels)
    return 1 / (1 + math.exp(second - first))


def test_the_verdict_is_read_at_its_place_with_and_without_reasoning(talker: Path):
    at_once = Reranker("limrank", str(talker), reasoning="none").rank(QUERY, PASSAGES[:1])[0]
    assert at_once.score == pytest.approx(plain_probability(talker, CHAT.no_think), abs=1e-5)
    thought = Reranker("limrank", str(talker), max_reasoning_tokens=12, cut_to_sentence=False)
    hit = thought.rank(QUERY, PASSAGES[:1])[0]
    assert hit.explanation
    assert hit.score == pytest.approx(plain_probability(talker, hit.explanation + CHAT.close), abs=1e-5)


@pytest.mark.parametrize("reasoning", ["none", "full"])
def test_a_checkpoint_with_a_chat_template_still_gets_the_trained_bytes(tmp_path: Path, reasoning: str):
    folder = chats.build(tmp_path / "limrank")
    tokens = chats.tokenizer()
    tokens.chat_template = None
    plain = tiny.build(tmp_path / "plain", tokens=tokens, max_position_embeddings=4096)
    options: dict[str, Any] = {"reasoning": reasoning, "max_reasoning_tokens": 8}
    known = Reranker("limrank", str(folder), **options)
    forced = Reranker("limrank", str(chats.build(tmp_path / "talker")), template="limrank", **options)
    expected = Reranker("limrank", str(plain), **options).rank(QUERY, PASSAGES)
    for reranker in (known, forced):
        assert reranker.template == TRAINED
        found = reranker.rank(QUERY, PASSAGES)
        assert [(hit.id, hit.score, hit.explanation) for hit in found] == [
            (hit.id, hit.score, hit.explanation) for hit in expected
        ]


def test_a_chat_has_a_budget_of_its_own(talker: Path):
    """Small models come to no end by themselves: 4,096 tokens a passage would take hours."""
    assert Reranker("limrank", str(talker)).settings.max_reasoning_tokens == 128
    assert Reranker("limrank", str(talker), max_reasoning_tokens=9).settings.max_reasoning_tokens == 9
    assert Reranker("limrank", str(talker), template="limrank").settings.max_reasoning_tokens == 8192
    auto = Reranker("limrank", str(talker), reasoning="auto")
    assert [part.settings.max_reasoning_tokens for part in auto.parts] == [128, 128]


def test_an_answer_that_came_by_itself_and_one_that_was_forced():
    """The reasoning ends where the model begins its answer; where it does not, the answer is begun for it."""
    asked: list[str] = []

    def read(prompt: Any) -> tuple[float, float]:
        asked.append(prompt.text)
        return (2.0, 0.0)

    def write(prompt: Any) -> str:
        if "acid" in prompt.text:
            return f"It says why.\n\n{CHAT.stop[0]} true"
        return "It is: about bread" if "bread" in prompt.text else "It runs on. And on and on and"

    backend = ScriptedBackend(read_labels=read, generate=write)
    made = Reranker("limrank", backend=backend, template="limrank-chat", max_reasoning_tokens=7)
    ranking = made.rank(QUERY, PASSAGES)
    assert [hit.explanation for hit in ranking] == ["It says why.", "It is: about bread", "It runs on."]
    assert asked[1:] == [
        f"{CHAT.render(QUERY, [PASSAGES[1]]).text}It is: about bread{CHAT.close}",
        f"{CHAT.render(QUERY, [PASSAGES[2]]).text}It runs on.{CHAT.close}",
    ]


def test_a_served_model_is_asked_in_a_chat_unless_its_name_is_known():
    def script(call: Call) -> object:
        if "messages" in call.body:
            return chat({"Yes": -0.1, "No": -2.4}, "Yes")
        return {"choices": [{"text": " true", "logprobs": {"top_logprobs": [{" true": -0.1, " false": -2}]}}]}

    with LoopbackServer(script) as server:
        for model, path in (("m", "/v1/chat/completions"), ("songtingyu/limrank", "/v1/completions")):
            backend = OpenAIBackend(model, base_url=server.url)
            hit = Reranker("limrank", backend=backend, reasoning="none").rank(QUERY, PASSAGES[:1])[0]
            backend.close()
            assert hit.failure is None
            assert server.calls[-1].path == path
        assert server.calls[0].prompt == CHAT.render(QUERY, PASSAGES[:1]).text + CHAT.no_think
        assert server.calls[1].prompt == TRAINED.render(QUERY, PASSAGES[:1]).text + TRAINED.no_think


def test_parts_choose_for_themselves(talker: Path):
    backend = TransformersBackend(str(talker))
    cascade = Reranker("cascade:first=prior,then=limrank", backend=backend, reasoning="none")
    assert cascade.template == CHAT
    assert "'limrank-chat'" in cascade.template_reason
    thinking = Reranker("limrank", backend=backend, reasoning="auto", max_reasoning_tokens=4)
    assert [part.template for part in thinking.parts] == [CHAT, CHAT]
    forced = Reranker("limrank", backend=backend, reasoning="auto", template="limrank")
    assert [part.template for part in forced.parts] == [TRAINED, TRAINED]


def test_the_plugins_ask_as_the_reranker_does(talker: Path):
    pytest.importorskip(
        "llama_index.core", reason="needs llama-index-core: pip install 'limrank[llama-index]'"
    )
    pytest.importorskip("haystack", reason="needs haystack-ai: pip install 'limrank[haystack]'")
    pytest.importorskip("langchain_core", reason="needs langchain-core: pip install 'limrank[langchain]'")
    from haystack import Document as HaystackDocument
    from haystack_integrations.components.rankers.limrank import LimRankRanker
    from langchain_core.documents import Document as LangChainDocument
    from llama_index.core.schema import NodeWithScore, TextNode
    from llama_index.postprocessor.limrank import LimRankRerank

    from limrank_plugins.langchain import LimRankCompressor

    shared: dict[str, Any] = {"recipe": "limrank", "model": str(talker)}
    ranking = Reranker("limrank", str(talker), reasoning="none", template="limrank-chat").rank(
        QUERY, PASSAGES
    )
    expected = {hit.document.text: hit.score for hit in ranking}

    of_llama_index = LimRankRerank(reasoning="none", top_n=3, **shared)
    prompt = of_llama_index.get_prompts()["rerank_prompt"]  # nothing is loaded yet
    assert prompt.format(query="q", document="d") == CHAT.render("q", ["d"]).text
    nodes = [NodeWithScore(node=TextNode(text=passage)) for passage in PASSAGES]
    found = of_llama_index.postprocess_nodes(nodes, query_str=QUERY)
    assert {node.text: node.score for node in found} == expected
    assert of_llama_index.get_prompts()["rerank_prompt"].format(query="q", document="d") == (
        CHAT.render("q", ["d"]).text
    )

    of_haystack = LimRankRanker(reasoning="none", **shared)
    documents = [HaystackDocument(content=passage) for passage in PASSAGES]
    ranked = of_haystack.run(query=QUERY, documents=documents)["documents"]
    assert {document.content: document.score for document in ranked} == expected

    of_langchain = LimRankCompressor(options={"reasoning": "none"}, **shared)
    compressed = of_langchain.compress_documents([LangChainDocument(passage) for passage in PASSAGES], QUERY)
    assert {
        document.page_content: document.metadata["relevance_score"] for document in compressed
    } == expected


def test_real_weights_write_about_the_passage(smollm2: str):
    """SmolLM2 continued the raw completion with "The answer is:", or one sentence over and over."""
    made = Reranker("limrank", smollm2, device="cpu", max_reasoning_tokens=24, cut_to_sentence=False)
    (hit,) = made.rank(QUERY, ["Acid makes the proteins of milk clump together."])
    assert made.template == CHAT
    assert hit.explanation.startswith("The passage")
    assert 0 < hit.score < 1


# ---- that it is said ----------------------------------------------------------------------------


def test_it_is_logged_once_and_shown(talker: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    folder = chats.build(tmp_path / "newcomer")
    with caplog.at_level(logging.WARNING):
        made = [Reranker("limrank", str(folder), reasoning="none") for _ in range(2)]
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    for said in ("'limrank-chat'", str(folder), "template='limrank'"):
        assert said in told[0]
    assert "template='limrank-chat'" in repr(made[0])
    assert made[0].identity != Reranker("limrank", str(folder), reasoning="none", template="limrank").identity


def test_the_command_line_says_it(talker: Path, tmp_path: Path):
    corpus = tmp_path / "c.jsonl"
    corpus.write_text(json.dumps({"_id": "a", "text": "acid curdles milk"}) + "\n")
    command = ["search", str(corpus), "milk", "--recipe", "limrank", "--model", str(talker)]
    command += ["--reasoning", "none", "--store", str(tmp_path / "store.db")]
    done = CliRunner().invoke(build_app(), command)
    assert done.exit_code == 0, done.output
    assert done.stderr.count("is asked in a chat (template 'limrank-chat')") == 1
    forced = CliRunner().invoke(build_app(), [*command, "--template", "limrank"])
    assert forced.exit_code == 0, forced.output
    assert "prompt:" not in forced.stderr


def test_prompt_show_shows_what_this_model_reads(talker: Path):
    def show(*options: str) -> Any:
        return CliRunner().invoke(
            build_app(), ["prompt", "show", "limrank", "--query", "q", "--document", "d", *options]
        )

    text = CHAT.render("q", ["d"]).text
    assert show().stdout == TRAINED.render("q", ["d"]).text
    assert show("--template", "limrank-chat").stdout == text
    of_model = show("--model", str(talker))
    assert of_model.stdout == f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
    assert "'limrank-chat'" in of_model.stderr
