"""`LimRankRanker`: what survives YAML, what reaches the backend, what stays secret."""

from __future__ import annotations

import copy
import inspect
import json
import logging
import pickle
from pathlib import Path

import pytest

pytest.importorskip("haystack", reason="haystack is not installed: pip install 'limrank[haystack]'")

from haystack import Pipeline
from haystack.utils import ComponentDevice, DeviceMap, Secret
from haystack_helpers import KEY, assert_no_key_in, ranker, stating
from haystack_integrations.components.rankers.limrank import LimRankRanker
from haystack_integrations.components.retrievers.limrank import LimRankBM25Retriever

from limrank_plugins import Reranker
from limrank_plugins.calibration import Calibration, Platt

# ---- serialisation ----------------------------------------------------------------------------------------

OTHER = {
    "recipe": "rank1",
    "model": "some/model",
    "backend": "transformers",
    "device": ComponentDevice.from_str("cpu"),
    "token": Secret.from_env_var("OTHER_TOKEN"),
    "api_key": Secret.from_env_var(["ONE_KEY", "TWO_KEY"], strict=False),
    "api_base_url": "http://localhost:1",
    "top_k": 3,
    "score_threshold": 0.0,
    "meta_fields_to_embed": ["title"],
    "embedding_separator": "",
    "reasoning": "auto",
    "budget": "3 documents",
    "samples": 2,
    "seed": 5,
    "temperature": 0.0,
    "top_p": 0.5,
    "max_reasoning_tokens": 7,
    "cut_to_sentence": False,
    "instruction": "Find {{ query }}",
    "template": "limrank",
    "chunks": "max",
    "calibration": "calibration.json",
    "trace": True,
    "explanation_meta_field": "why",
    "cache_path": "answers.sqlite",
    "model_kwargs": {"dtype": "bfloat16", "adapter": {"a": [1, None]}},
    "raise_on_failure": True,
}


def test_files_are_named_so_that_yaml_can_hold_them(tmp_path: Path):
    curve = Calibration(Platt(1.0, 0.0), "limrank", "probability")
    for name in ("calibration", "cache_path"):
        with pytest.raises(ValueError, match=f"{name} must be the name of a file, .* but got Calibration"):
            LimRankRanker(**{name: curve})
        data = LimRankRanker(**{name: tmp_path / "file"}).to_dict()
        assert json.loads(json.dumps(data))["init_parameters"][name] == str(tmp_path / "file")


def test_every_parameter_survives_a_round_trip():
    parameters = inspect.signature(LimRankRanker.__init__).parameters
    assert set(OTHER) == set(parameters) - {"self"}, "give the new parameter a value that is not its default"
    assert [name for name, value in OTHER.items() if parameters[name].default == value] == []
    made = LimRankRanker(**OTHER)
    data = made.to_dict()
    assert set(data["init_parameters"]) == set(OTHER)
    again = LimRankRanker.from_dict(copy.deepcopy(data))
    assert {name: getattr(again, name) for name in OTHER} == OTHER
    assert again.to_dict() == data


def test_every_parameter_survives_yaml():
    pipeline = Pipeline()
    pipeline.add_component("ranker", LimRankRanker(**OTHER))
    again = Pipeline.loads(pipeline.dumps()).get_component("ranker")
    assert {name: getattr(again, name) for name in OTHER} == OTHER


def test_defaults_survive_yaml():
    pipeline = Pipeline()
    pipeline.add_component("ranker", LimRankRanker())
    again = Pipeline.loads(pipeline.dumps()).get_component("ranker")
    assert again.to_dict() == LimRankRanker().to_dict()
    assert again.device is None


def test_from_dict_leaves_its_argument_alone():
    data = LimRankRanker(**OTHER).to_dict()
    before = copy.deepcopy(data)
    LimRankRanker.from_dict(data)
    assert data == before


def test_the_class_is_defined_where_pipelines_may_load_it_from():
    # Haystack loads only classes *defined* under its own names; a re-export would be refused.
    assert LimRankRanker.__module__.startswith("haystack_integrations.components.rankers.limrank")
    assert LimRankRanker().to_dict()["type"].startswith("haystack_integrations.")


def test_run_and_run_async_are_twins():
    assert inspect.signature(LimRankRanker.run) == inspect.signature(LimRankRanker.run_async)


def test_init_takes_keywords_only():
    with pytest.raises(TypeError):
        LimRankRanker("limrank")


def test_a_misspelt_argument_is_told_with_those_that_there_are():
    with pytest.raises(ValueError, match=r"LimRankRanker has no argument 'topk'; did .* top_k.*: recipe, "):
        LimRankRanker(topk=3)
    with pytest.raises(ValueError, match=r"BM25Retriever has no argument 'topk'; did you mean top_k\?"):
        LimRankBM25Retriever(topk=3)


@pytest.mark.parametrize("name", ["token", "api_key"])
def test_a_key_given_as_it_is_cannot_be_serialised_and_the_error_names_it(name):
    component = LimRankRanker(**{name: Secret.from_token(KEY)})
    with pytest.raises(ValueError, match=f"{name} cannot be serialised.*from_env_var") as caught:
        component.to_dict()
    assert_no_key_in(caught.value)


@pytest.mark.parametrize("name", ["token", "api_key"])
def test_a_key_given_as_it_is_is_in_no_pickle_and_in_every_copy(name, scripted):
    component = ranker(**{name: Secret.from_token(KEY)})
    with pytest.raises(ValueError, match=f"{name} cannot be serialised.*from_env_var") as caught:
        pickle.dumps(component)
    assert_no_key_in(caught.value)
    for copied in (copy.copy(component), copy.deepcopy(component)):
        copied.run(query="why?", documents=stating(0.5))
    assert [options[name] for options in scripted.options] == [KEY]  # loaded once, for both


@pytest.mark.parametrize("used", [False, True])
def test_a_ranker_in_a_pipeline_is_pickled_and_copied(scripted, monkeypatch, used):
    monkeypatch.setenv("PLANTED", KEY)
    pipeline = Pipeline()
    pipeline.add_component("ranker", ranker(api_key=Secret.from_env_var("PLANTED"), model_kwargs={}))
    asked = {"ranker": {"query": "why?", "documents": stating(0.2, 0.9)}}
    if used:
        pipeline.run(asked)
    data = pickle.dumps(pipeline)
    assert KEY.encode() not in data
    for again in (pickle.loads(data), copy.deepcopy(pipeline)):
        assert [d.id for d in again.run(asked)["ranker"]["documents"]] == ["d1", "d0"]
        component = again.get_component("ranker")
        assert component.__haystack_input__._component is component
        assert component.model_kwargs is not pipeline.get_component("ranker").model_kwargs


# ---- keys, devices, addresses -------------------------------------------------------------------------


async def test_the_key_reaches_the_backend_and_nothing_else(scripted, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("PLANTED", KEY)
    component = ranker(api_key=Secret.from_env_var("PLANTED"), token=Secret.from_env_var("PLANTED"))
    pipeline = Pipeline()
    pipeline.add_component("ranker", component)
    output = pipeline.run({"ranker": {"query": "why?", "documents": stating(0.5)}})
    assert [(o["api_key"], o["token"]) for o in scripted.options] == [(KEY, KEY)]
    shown = [
        repr(component),
        repr(pipeline),
        pipeline.dumps(),
        repr(output),
        caplog.text,
        repr(vars(component)),
    ]
    assert not [text for text in shown if KEY in text]


@pytest.mark.parametrize("name", ["api_key", "token"])
def test_a_key_given_as_plain_text_is_hidden_and_cannot_be_serialised(name):
    ranker = LimRankRanker(**{name: "sk-plain-text"})
    assert "sk-plain-text" not in repr(vars(ranker))
    with pytest.raises(ValueError, match=name) as error:
        ranker.to_dict()
    assert "sk-plain-text" not in str(error.value)


def test_a_key_that_is_not_set_is_not_passed_on(scripted, monkeypatch):
    for name in ("HF_API_TOKEN", "HF_TOKEN", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    ranker().warm_up()
    assert scripted.options == [
        {
            "model": "songtingyu/limrank",
            "dtype": None,
            "device": None,
            "token": None,
            "api_key": None,
            "base_url": None,
        }
    ]


def test_device_address_and_model_arguments_reach_the_backend(scripted):
    ranker(
        model="m",
        device=ComponentDevice.from_str("cpu"),
        api_base_url="http://localhost:1",
        model_kwargs={"dtype": "bfloat16"},
    ).warm_up()
    (options,) = scripted.options
    assert (options["device"], options["base_url"], options["dtype"]) == (
        "cpu",
        "http://localhost:1",
        "bfloat16",
    )


def test_a_device_or_address_that_the_backend_has_no_use_for_is_an_error(scripted, monkeypatch):
    with pytest.raises(ValueError, match="backend 'bare' takes no api_base_url"):
        ranker(backend="bare", api_base_url="http://localhost:1").warm_up()
    with pytest.raises(ValueError, match="backend 'bare' takes no device"):
        ranker(backend="bare", device=ComponentDevice.from_str("cpu")).warm_up()
    for name in ("token", "api_key"):
        with pytest.raises(ValueError, match=f"backend 'bare' takes no {name}") as caught:
            ranker(backend="bare", **{name: Secret.from_token(KEY)}).warm_up()
        assert_no_key_in(caught.value)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    ranker(backend="bare").warm_up()
    assert scripted.options[-1]["api_key"] is None


@pytest.mark.parametrize(
    ("device", "match"),
    [
        ("gpu", "device 'gpu' cannot be used here"),
        ("cuda:999", "device 'cuda:999' cannot be used here: this machine has"),
        (ComponentDevice.from_str("cuda:999"), "device 'cuda:999' cannot be used here: this machine has"),
        (0, "device must be a name like 'cpu', 'cuda', 'cuda:1' or 'mps', but got 0"),
    ],
)
def test_a_device_that_is_none_is_told_at_construction(device, match):
    pytest.importorskip("torch", reason="which GPUs there are, torch says")
    with pytest.raises(ValueError, match=match):
        LimRankRanker(device=device)


def test_a_device_may_be_given_by_its_name():
    assert LimRankRanker(device="cpu").device == ComponentDevice.from_str("cpu")
    with pytest.raises(ValueError, match="backend 'openai' takes no device"):
        LimRankRanker(backend="openai", device="cpu")


@pytest.mark.parametrize("address", [f"http://localhost:1/v1?key={KEY}", f"http://{KEY}@localhost/v1"])
def test_an_address_with_a_key_is_refused(address):
    with pytest.raises(ValueError, match="base_url") as caught:
        LimRankRanker(api_base_url=address)
    assert_no_key_in(caught.value)


def test_several_devices_are_refused_by_name(scripted):
    several = ComponentDevice.from_multiple(DeviceMap.from_hf({"": "cpu", "head": "cuda:0"}))
    with pytest.raises(ValueError, match="device must be a single one"):
        ranker(device=several).warm_up()


def test_a_strict_key_that_is_not_set_is_an_error_that_names_the_variable(scripted, monkeypatch):
    monkeypatch.delenv("NOT_SET", raising=False)
    with pytest.raises(ValueError, match="NOT_SET"):
        ranker(api_key=Secret.from_env_var("NOT_SET")).warm_up()


@pytest.mark.parametrize("name", ["api_key", "token", "base_url", "device"])
def test_what_has_an_argument_of_its_own_is_refused_in_model_kwargs(name):
    with pytest.raises(ValueError, match=f"model_kwargs holds '{name}'") as caught:
        LimRankRanker(model_kwargs={name: KEY})
    assert_no_key_in(caught.value)


@pytest.mark.parametrize(
    ("name", "own"),
    [("samples", "samples"), ("store", "cache_path"), ("on_failure", "raise_on_failure")],
)
def test_an_argument_of_the_reranker_under_its_own_name_is_refused_in_model_kwargs(name, own):
    with pytest.raises(ValueError, match=f"model_kwargs holds '{name}': give it as {own}=… instead"):
        LimRankRanker(model_kwargs={name: 1})


def test_whatever_a_reranker_takes_can_be_given(scripted, monkeypatch):
    renamed = {"on_failure": "raise_on_failure", "store": "cache_path"}
    taken = {renamed.get(name, name) for name in inspect.signature(Reranker).parameters} - {"options"}
    assert taken <= set(inspect.signature(LimRankRanker.__init__).parameters)

    class WithAnotherArgument(Reranker):
        def __init__(self, *args, another=0, **options):
            super().__init__(*args, **options)
            self.another = another

    monkeypatch.setattr(
        "haystack_integrations.components.rankers.limrank.ranker.Reranker", WithAnotherArgument
    )
    assert ranker(model_kwargs={"another": 7})._loaded().another == 7


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"model_kwargs": {"adaptor": KEY}}, "backend 'transformers' has no such option: .*'adaptor'"),
        ({"backend": "openai", "model_kwargs": {"dtype": "x"}}, "backend 'openai' has no such option"),
        ({"backend": "opanai"}, "there is no backend 'opanai'"),
    ],
)
def test_what_no_backend_takes_is_told_at_construction(wrong, message):
    with pytest.raises(ValueError, match=message) as caught:
        LimRankRanker(**wrong)
    assert KEY not in str(caught.value)
