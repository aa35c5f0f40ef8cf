"""The fields of `LimRankRerank`: every one survives serialisation, none of them tells a secret."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import pickle
from typing import Any

import pytest

pytest.importorskip("llama_index.core", reason="needs llama-index-core: pip install 'limrank[llama-index]'")

from llama_index.core.callbacks import CallbackManager
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode
from llama_index.postprocessor.limrank import LimRankRerank
from scripts import reranker

from limrank_plugins import Reranker, ScriptedBackend, ScriptedFailure
from limrank_plugins.errors import LimRankError

# One value per field that is not its default. A new field fails the test until it is listed.
OTHER: dict[str, Any] = {
    "recipe": "rank1",
    "model": "folder",
    "backend": "transformers",
    "reasoning": "auto",
    "budget": "3 documents",
    "samples": 3,
    "seed": 7,
    "temperature": 0.5,
    "top_p": 0.9,
    "max_reasoning_tokens": 100,
    "cut_to_sentence": False,
    "instruction": "bright",
    "template": "limrank",
    "chunks": "max",
    "calibration": "calibration.json",
    "trace": True,
    "on_failure": "raise",
    "device": "cpu",
    "dtype": "float32",
    "base_url": "http://127.0.0.1:1/v1",
    "backend_options": {"adapter": "lora", "max_length": 5},
    "store": "answers.sqlite",
    "top_n": 4,
    "threshold": 0.25,
    "prompt": "Is {document} about {query}?",
    "metadata_mode": MetadataMode.LLM,
    "keep_retrieval_score": True,
    "keep_explanation": False,
}
NEVER_SERIALISED = {"api_key", "reranker", "callback_manager"}
KEY = "sk-planted-0123456789"
NODES = [NodeWithScore(node=TextNode(text=text, id_=text), score=0.5) for text in ("a", "b", "c")]


def test_every_argument_survives_serialisation() -> None:
    parameters = inspect.signature(LimRankRerank).parameters
    assert set(OTHER) | NEVER_SERIALISED == set(parameters)
    defaults = LimRankRerank()
    assert not [name for name, value in OTHER.items() if getattr(defaults, name) == value]
    rerank = LimRankRerank(**OTHER)
    for again in (
        LimRankRerank.from_dict(rerank.to_dict()),
        LimRankRerank.from_json(rerank.to_json()),
        LimRankRerank.model_validate(rerank.model_dump()),
        LimRankRerank.model_validate_json(rerank.model_dump_json()),
        LimRankRerank.from_dict(json.loads(json.dumps(rerank.to_dict()))),
    ):
        assert {name: getattr(again, name) for name in OTHER} == OTHER
    assert rerank.to_dict()["class_name"] == "LimRankRerank"


def test_every_argument_is_described() -> None:
    undescribed = [n for n, f in LimRankRerank.model_fields.items() if n in OTHER and not f.description]
    assert undescribed == []


def test_whatever_a_reranker_takes_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = set(inspect.signature(Reranker).parameters) - {"options"}
    assert taken <= set(LimRankRerank.model_fields)
    parameters = inspect.signature(Reranker).parameters
    fields = LimRankRerank.model_fields

    class WithAnotherArgument(Reranker):
        def __init__(self, *args: Any, another: int = 0, **options: Any) -> None:
            super().__init__(*args, **options)
            self.another = another

    monkeypatch.setattr("llama_index.postprocessor.limrank.base.Reranker", WithAnotherArgument)
    rerank = LimRankRerank(recipe="mini", backend_options={"another": 7})
    assert rerank._ready().another == 7
    same = taken - {"recipe", "reasoning", "store", "template"}
    assert {n: fields[n].default for n in same} == {n: parameters[n].default for n in same}
    assert fields["recipe"].default == "limrank"


def test_arguments_reach_the_reranker_and_its_backend(built: list[dict[str, Any]], tmp_path: Any) -> None:
    unread = {"template": None, "chunks": None, "calibration": None, "trace": False}
    arguments = OTHER | unread | {"store": str(tmp_path / "s.sqlite"), "api_key": KEY}
    rerank = LimRankRerank(**arguments)
    ready = rerank._ready()
    assert built == [
        {
            "model": "folder",
            "device": "cpu",
            "dtype": "float32",
            "base_url": "http://127.0.0.1:1/v1",
            "api_key": KEY,
            "adapter": "lora",
            "max_length": 5,
        }
    ]
    assert (ready.recipe.name, ready.on_failure) == ("rank1", "raise")
    assert (ready.reasoning, ready.budget) == ("auto", "3 documents")
    for name in ("samples", "seed", "temperature", "top_p", "max_reasoning_tokens"):
        assert getattr(ready.settings, name) == OTHER[name]
    assert (ready.settings.cut_to_sentence, ready.settings.instruction) == (False, "bright")
    assert (tmp_path / "s.sqlite").exists()


def test_options_that_are_not_set_are_not_passed(built: list[dict[str, Any]]) -> None:
    LimRankRerank()._ready()
    assert built == [{"model": "songtingyu/limrank"}]


def test_stored_answers_are_not_asked_again(built: list[dict[str, Any]], tmp_path: Any) -> None:
    reranked = []
    for _ in range(2):
        rerank = LimRankRerank(store=str(tmp_path / "s.sqlite"))
        reranked.append(rerank.postprocess_nodes(NODES, query_str="why"))
    assert reranked[0] == reranked[1]
    assert rerank._ready().backend.requests == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"topn": 3}, "topn"),
        ({"top_n": 0}, "top_n must be a whole number >= 1, but got 0"),
        ({"top_n": -1}, "but got -1"),
        ({"top_n": True}, "valid integer"),
        ({"top_n": 2.0}, "valid integer"),
        ({"threshold": float("nan")}, "finite number"),
        (
            {"threshold": 0.5, "recipe": "mini"},
            "threshold=0.5 has no meaning here: .*'mini'",
        ),
        ({"threshold": 0.5, "recipe": "limrnk"}, "no recipe 'limrnk'"),
        ({"threshold": 0.5, "reranker": Reranker("prior")}, "has no meaning here: scores of recipe 'prior'"),
        ({"samples": 0}, "greater than 0"),
        ({"on_failure": "ignore"}, "'mark' or 'raise'"),
        ({"reasoning": "deep"}, "'full'"),
        ({"recipe": "limrnk"}, r"no recipe 'limrnk'; did you mean limrank\?"),
        ({"prompt": "{query}"}, r"\{document\} is missing"),
        ({"backend_options": {"api_key": "x"}}, "api_key must be given as an argument of its own"),
        ({"backend_options": {"adaptor": "x"}}, "backend 'transformers' has no such option: .*'adaptor'"),
        ({"backend": "openai", "backend_options": {"adapter": "x"}}, "backend 'openai' has no such option"),
        ({"backend": "opanai"}, "there is no backend 'opanai'"),
        ({"base_url": f"http://me:{KEY}@host/v1"}, "give api_key"),
    ],
)
def test_values_that_cannot_be_used(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LimRankRerank(**arguments)


def test_what_decides_on_the_model_is_fixed_and_the_rest_is_checked() -> None:
    rerank = LimRankRerank()
    for name, value in (OTHER | {"api_key": KEY, "reranker": None}).items():
        if name in (
            "top_n",
            "threshold",
            "prompt",
            "metadata_mode",
            "keep_retrieval_score",
            "keep_explanation",
        ):
            setattr(rerank, name, value)
            assert getattr(rerank, name) == value
        else:
            with pytest.raises(ValueError, match=f"{name} cannot be changed"):
                setattr(rerank, name, value)
    with pytest.raises(ValueError, match="top_n must be"):
        rerank.top_n = 0
    with pytest.raises(ValueError, match="topn"):
        rerank.topn = 3
    unscored = LimRankRerank(recipe="mini")
    with pytest.raises(ValueError, match="has no meaning here"):
        unscored.threshold = 0.5
    assert unscored.threshold is None
    manager = CallbackManager([])
    rerank.callback_manager = manager  # as RetrieverQueryEngine does
    assert rerank.callback_manager is manager


def test_a_ready_reranker_describes_itself_in_the_fields() -> None:
    ready = reranker("rank1", samples=2, seed=5, temperature=0.3, instruction="bright", on_failure="raise")
    rerank = LimRankRerank(reranker=ready, top_n=3)
    fields = rerank.to_dict()
    expected = {
        "recipe": "rank1",
        "reasoning": "full",
        "samples": 2,
        "seed": 5,
        "temperature": 0.3,
        "instruction": "bright",
        "on_failure": "raise",
        "top_n": 3,
    }
    assert fields | expected == fields
    with pytest.raises(ValueError, match="model, samples: the reranker that was passed has decided this"):
        LimRankRerank(reranker=ready, samples=2, model="m")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"device": "gpu"}, "device 'gpu' cannot be used here"),
        ({"device": "cuda:999"}, "device 'cuda:999' cannot be used here: this machine has"),
        ({"device": "cpu", "backend": "openai"}, "backend 'openai' takes no device"),
    ],
)
def test_a_device_that_is_none_is_told_at_construction(options: dict[str, Any], match: str) -> None:
    pytest.importorskip("torch", reason="which GPUs there are, torch says")
    with pytest.raises(ValueError, match=match):
        LimRankRerank(**options)


# ---- secrets ----------------------------------------------------------------------------------------


def test_a_key_is_in_no_repr_dict_json_or_pickle() -> None:
    rerank = LimRankRerank(api_key=KEY)
    shown = [repr(rerank), str(rerank), repr(rerank.to_dict()), rerank.to_json(), rerank.model_dump_json()]
    shown += [
        repr(rerank.model_dump()),
        rerank.json(),
        repr(rerank.model_copy(deep=True)),
        repr(list(rerank)),
    ]
    shown += [repr(pickle.dumps(rerank))]
    assert not [text for text in shown if KEY in text]
    assert "api_key" not in rerank.to_dict()
    assert rerank.api_key.get_secret_value() == KEY


@pytest.mark.parametrize(
    "wrong",
    [{"apikey": KEY}, {"api_key": [KEY]}, {"api_key": KEY, "top_n": 0}]
    + [
        {"base_url": address}
        for address in (f"http://{KEY}@host/", f"http://host/?key={KEY}", f"http://h/?{KEY}")
    ],
)
def test_a_key_is_in_no_error_of_construction(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as caught:
        LimRankRerank(**wrong)
    assert KEY not in f"{caught.value} {caught.value!r}"


def test_a_key_is_in_no_error_of_assignment() -> None:
    for name in ("api_key", "apikey", "top_n", "prompt"):
        with pytest.raises(ValueError) as caught:
            setattr(LimRankRerank(), name, {"value": KEY})
        assert KEY not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize("path", ["sync", "async"])
@pytest.mark.parametrize("behaviour", ["fails", "raises", "raises ours", "cannot be made"])
def test_a_key_that_a_server_quotes_goes_no_further(
    path: str,
    behaviour: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    observed: Any,
) -> None:
    class Quotes(ScriptedBackend):
        def __init__(self, model: str, api_key: str) -> None:
            if behaviour == "cannot be made":
                raise OSError(f"refused {api_key}")
            super().__init__(read_labels=self.quote)
            self.key = api_key

        def quote(self, prompt: Any) -> tuple[float, float]:
            kinds = {"fails": ScriptedFailure, "raises": RuntimeError, "raises ours": LimRankError}
            raise kinds[behaviour](f"401 Incorrect API key provided: {self.key}")

    monkeypatch.setattr("limrank_plugins.arguments.backend_class", lambda name: Quotes)
    rerank = LimRankRerank(api_key=KEY, reasoning="none")
    caplog.set_level(logging.DEBUG)

    def call() -> list[NodeWithScore]:
        if path == "async":
            return asyncio.run(rerank.apostprocess_nodes(NODES, QueryBundle("why")))
        return rerank.postprocess_nodes(NODES, query_str="why")

    if behaviour == "fails":
        reranked = call()
        assert [node.score for node in reranked] == [None] * 3
        assert "API key provided: ***" in reranked[0].node.metadata["limrank_failure"]
        shown = repr([node.to_dict() for node in reranked])
    else:
        with pytest.raises(LimRankError, match=r"\*{3}") as caught:
            call()
        logging.getLogger().error("as an application would", exc_info=caught.value)
        shown = f"{caught.value} {caught.value!r}"
    shown += caplog.text + repr(observed.events)
    assert "***" in caplog.text
    assert KEY not in shown


def test_planted_key_would_be_found() -> None:
    # The checks above look for the key; this one shows that they could find it.
    assert KEY in repr(LimRankRerank(backend="openai", backend_options={"body": {"user": KEY}}))


def test_a_misspelt_argument_is_told_with_those_that_there_are():
    with pytest.raises(ValueError, match=r"has no argument 'topn'; did you mean top_n.*threshold, ") as no:
        LimRankRerank(topn=KEY)
    assert KEY not in str(no.value)
