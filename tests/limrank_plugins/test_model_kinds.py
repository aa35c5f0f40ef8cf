"""A model of another kind than a recipe asks is refused before anything is loaded, and what to do is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from limrank_plugins import Reranker
from limrank_plugins.backends.encoder import EncoderBackend
from limrank_plugins.backends.local.model_kind import kind_of_model
from limrank_plugins.errors import BackendError, InputError

POOLED = [
    {"type": "sentence_transformers.models.Transformer"},
    {"type": "sentence_transformers.models.Pooling"},
]


def model(folder: Path, architecture: str | None, modules: list[dict[str, str]] | None = None) -> str:
    folder.mkdir()
    named = {} if architecture is None else {"architectures": [architecture]}
    (folder / "config.json").write_text(json.dumps(named))
    if modules is not None:
        (folder / "modules.json").write_text(json.dumps(modules))
    return str(folder)


@pytest.mark.parametrize(
    ("architecture", "modules", "kind"),
    [
        ("Qwen2ForCausalLM", None, "a language model"),
        ("GPT2LMHeadModel", None, "a language model"),
        ("BertForSequenceClassification", None, "a cross-encoder"),
        ("BertModel", POOLED, "an encoder"),
        ("Qwen3ForCausalLM", POOLED, "an encoder"),
        ("Qwen3ForCausalLM", POOLED[:1], None),
        ("BertModel", None, None),
        (None, None, None),
    ],
)
def test_the_kind_is_read_from_the_files_of_a_folder(tmp_path, architecture, modules, kind):
    assert kind_of_model(model(tmp_path / "model", architecture, modules)) == kind


def test_a_folder_whose_files_are_broken_says_nothing(tmp_path):
    (tmp_path / "config.json").write_text("[1")
    assert kind_of_model(str(tmp_path)) is None
    (tmp_path / "config.json").write_text('["BertModel"]')
    assert kind_of_model(str(tmp_path)) is None


@pytest.mark.parametrize(
    "recipe", ["mini", "mini:pieces=first", "cross-encoder", "cascade:first=mini,then=mini"]
)
@pytest.mark.parametrize("kind", ["gguf", "folder", "checkpoint"])
def test_a_language_model_for_a_recipe_that_asks_none(tmp_path, recipe, kind):
    (tmp_path / "any.gguf").write_bytes(b"GGUF")
    given = {
        "gguf": str(tmp_path / "any.gguf"),
        "folder": model(tmp_path / "chat", "LlamaForCausalLM"),
        "checkpoint": "songtingyu/limrank",
    }[kind]
    with pytest.raises(
        InputError, match=r"needs an? (cross-)?encoder, but model '.*' is a language model"
    ) as no:
        Reranker(recipe, given)
    assert "'qlm' or 'limrank' (--recipe qlm)" in str(no.value)


@pytest.mark.parametrize(
    ("recipe", "architecture", "modules", "said"),
    [
        ("limrank", "BertModel", POOLED, "is an encoder: name a recipe that asks one, such as 'mini'"),
        ("qlm", "BertForSequenceClassification", None, "is a cross-encoder: .* such as 'cross-encoder'"),
        ("mini", "BertForSequenceClassification", None, "needs an encoder, but model .* is a cross-encoder"),
        ("cross-encoder", "BertModel", POOLED, "needs a cross-encoder, but model .* is an encoder"),
    ],
)
def test_an_encoder_or_a_cross_encoder_for_a_recipe_that_asks_another(
    tmp_path, recipe, architecture, modules, said
):
    with pytest.raises(InputError, match=said):
        Reranker(recipe, model(tmp_path / "model", architecture, modules))


def test_an_index_is_told_that_its_encoder_is_a_language_model(tmp_path):
    (tmp_path / "any.gguf").write_bytes(b"GGUF")
    with pytest.raises(
        BackendError, match=r"any\.gguf', which is a language model: give one that embeds texts"
    ):
        EncoderBackend(str(tmp_path / "any.gguf"))


@pytest.mark.parametrize("name", ["smolm2", "smollm3", "SmolLM2"])
@pytest.mark.parametrize("recipe", ["mini", "limrank"])
def test_a_near_miss_of_the_embedded_model_is_asked_about(name, recipe):
    with pytest.raises(BackendError, match=r"did you mean smollm2\?"):
        Reranker(recipe, name)


def test_a_model_that_is_not_here_is_told_with_the_ways_to_go_on():
    with pytest.raises(BackendError, match="download it and give its folder") as error:
        Reranker("limrank")
    for way in ("backend='openai', base_url=", "model='smollm2'"):
        assert way in str(error.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("songtingyu/limrank", r"for recipe 'limrank': Reranker\('limrank', model='songtingyu/limrank'\)$"),
        ("jhu-clsp/rank1-7b", r"Reranker\('rank1', model='jhu-clsp/rank1-7b'\)$"),
        ("somebody/else", r"a model goes into model=, as in Reranker\('limrank', model='somebody/else'\)$"),
        ("org/name:file.gguf", r"model='org/name:file.gguf'\)$"),
        ("smollm2", r"model='smollm2'\)$"),
        ("limrnk", r"did you mean limrank\?$"),
    ],
)
def test_a_model_where_a_recipe_is_expected(given, said):
    with pytest.raises(InputError, match=rf"^there is no recipe '{given}'; .*{said}"):
        Reranker(given)


def test_a_near_miss_of_a_backend_is_asked_about():
    with pytest.raises(InputError, match=r"there is no backend 'opnai'; did you mean openai\?$"):
        Reranker("limrank", "m", "opnai")
    with pytest.raises(InputError, match="there is no backend 'magic'; there are: none, transformers"):
        Reranker("limrank", "m", "magic")
