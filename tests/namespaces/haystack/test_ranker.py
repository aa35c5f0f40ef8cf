"""`LimRankRanker` on its own: what goes in, what comes out, what survives, what stays secret."""

from __future__ import annotations

import asyncio
import copy
import inspect
import logging
import threading

import pytest

pytest.importorskip("haystack", reason="haystack is not installed: pip install 'limrank[haystack]'")

from haystack import Document, Pipeline
from haystack.utils import ComponentDevice, DeviceMap, Secret
from haystack_integrations.components.rankers.limrank import LimRankRanker

from limrank_plugins import ScriptedFailure
from limrank_plugins.errors import BackendError, CapabilityError, InputError

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


@pytest.mark.parametrize("threshold", [float("nan"), float("inf")])
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


# ---- failures -----------------------------------------------------------------------------------------


def failing(prompt):
    raise ScriptedFailure(f"429 for the key {KEY}")


async def test_a_failed_document_keeps_its_place_without_a_score(scripted, caplog):
    judged = scripted.read_labels
    scripted.read_labels = lambda prompt: failing(prompt) if "0.5" in prompt.text else judged(prompt)
    component = ranker(score_threshold=0.3, api_key=Secret.from_token(KEY))
    output = await both(component, query="why?", documents=stating(0.4, 0.5, 0.9, 0.1))
    assert ids(output) == ["d2", "d1", "d0"]
    assert [d.score for d in output["documents"]] == [pytest.approx(0.9), None, pytest.approx(0.4)]
    assert output["meta"]["failures"] == [{"id": "d1", "reason": "429 for the key <redacted>"}]
    assert "could not judge 1 of 4 documents; the first: 429" in caplog.text
    assert KEY not in caplog.text


async def test_nan_is_a_failure_not_a_score(scripted):
    scripted.read_labels = lambda prompt: (float("nan"), 0.0)
    output = await both(ranker(), query="why?", documents=stating(0.4))
    assert output["documents"][0].score is None
    assert len(output["meta"]["failures"]) == 1


async def test_a_model_that_fails_as_a_whole_loses_no_document(scripted, caplog):
    def broken(prompt):
        raise RuntimeError(f"out of memory; key {KEY}")

    scripted.read_labels = broken
    documents = [Document(id=i, content="x", score=5.0) for i in "abca"]
    output = await both(ranker(top_k=2, token=Secret.from_token(KEY)), query="why?", documents=documents)
    assert ids(output) == ["a", "b"]
    assert [d.score for d in output["documents"]] == [None, None]
    reason = "RuntimeError: out of memory; key <redacted>"
    assert output["meta"]["failures"] == [{"id": i, "reason": reason} for i in "abc"]
    assert "could not judge any document: RuntimeError: out of memory" in caplog.text
    assert KEY not in caplog.text


async def test_raise_on_failure_raises_without_the_key(scripted):
    scripted.read_labels = failing
    component = ranker(raise_on_failure=True, api_key=Secret.from_token(KEY))
    for run in (
        lambda: component.run("why?", stating(0.5)),
        lambda: asyncio.run(component.run_async("why?", stating(0.5))),
    ):
        with pytest.raises(RuntimeError, match="document 'd0' could not be judged: 429") as caught:
            await asyncio.to_thread(run)
        assert_no_key_in(caught.value)


@pytest.mark.parametrize("error", [ValueError, OSError, BackendError, InputError])
def test_no_key_in_what_loading_raises(scripted, error):
    def refuse():
        try:
            raise KeyError(KEY)
        except KeyError as cause:
            raise error(f"bad key {KEY}") from cause

    scripted.on_load = refuse
    with pytest.raises((ValueError, RuntimeError), match="bad key <redacted>") as caught:
        ranker(api_key=Secret.from_token(KEY)).warm_up()
    assert_no_key_in(caught.value)


def test_no_key_in_what_caused_an_error(scripted):
    def refuse():
        raise OSError("refused") from KeyError(KEY)

    scripted.on_load = refuse
    with pytest.raises(RuntimeError, match="^OSError: refused$") as caught:
        ranker(api_key=Secret.from_token(KEY)).warm_up()
    assert_no_key_in(caught.value)


def assert_no_key_in(error: BaseException | None) -> None:
    while error is not None:
        assert KEY not in str(error)
        assert KEY not in repr(error)
        error = error.__cause__ or error.__context__


def test_errors_without_a_key_are_raised_as_they_are(scripted):
    def refuse():
        raise OSError("no such folder")

    scripted.on_load = refuse
    with pytest.raises(OSError, match="no such folder"):
        ranker(api_key=Secret.from_token(KEY)).warm_up()


def test_wrong_use_is_always_raised(scripted):
    scripted.generate = None
    with pytest.raises(CapabilityError, match="needs a backend"):
        ranker(reasoning="full").run(query="why?", documents=stating(0.5))
    with pytest.raises(InputError, match="reasoning must be"):
        ranker(reasoning="sometimes").run(query="why?", documents=stating(0.5))
    with pytest.raises(InputError, match="query must be a str"):
        ranker().run(query=7, documents=stating(0.5))


# ---- warming up, closing, threads ----------------------------------------------------------------------


async def test_loads_once_whoever_asks(scripted):
    component = ranker()
    assert scripted.made == []
    component.warm_up()
    await component.warm_up_async()
    component.warm_up()
    await both(component, query="why?", documents=stating(0.5))
    assert len(scripted.made) == 1


def test_many_threads_load_one_model(scripted):
    component = ranker()
    started = threading.Barrier(8)

    def call() -> None:
        started.wait(timeout=20)
        component.warm_up()

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert len(scripted.made) == 1


async def test_closing_releases_and_running_loads_again(scripted, tmp_path):
    component = ranker(cache_path=str(tmp_path / "answers.sqlite"))
    component.close()
    component.run(query="why?", documents=stating(0.5))
    component.close()
    await component.close_async()
    assert (len(scripted.made), scripted.closed) == (1, 1)
    output = await component.run_async(query="why?", documents=stating(0.5))
    assert len(scripted.made) == 2
    assert (output["meta"]["usage"]["calls"], output["meta"]["usage"]["cached"]) == (0, 1)
    await component.close_async()
    assert scripted.closed == 2


@pytest.mark.parametrize("backend", ["scripted", "served"])
async def test_nothing_blocks_the_event_loop(scripted, loop_must_run, backend, tmp_path):
    loop_must_run.watch(asyncio.get_running_loop())
    judged = scripted.read_labels
    scripted.on_load = loop_must_run
    if backend == "scripted":  # an async backend runs on the loop itself
        scripted.read_labels = lambda prompt: (loop_must_run(), judged(prompt))[1]
    component = ranker(backend=backend, cache_path=str(tmp_path / "answers.sqlite"))
    output = await component.run_async(query="why?", documents=stating(0.2, 0.9))
    assert ids(output) == ["d1", "d0"]
    assert output["meta"]["failures"] == []
    assert loop_must_run.calls == (3 if backend == "scripted" else 1)


async def test_warming_up_does_not_block_the_event_loop(scripted, loop_must_run):
    loop_must_run.watch(asyncio.get_running_loop())
    scripted.on_load = loop_must_run
    await ranker().warm_up_async()
    assert loop_must_run.calls == 1


async def test_runs_from_plain_code_inside_a_running_loop(scripted):
    assert ids(ranker(backend="served").run(query="why?", documents=stating(0.2, 0.9))) == ["d1", "d0"]


# ---- serialisation ----------------------------------------------------------------------------------------

OTHER = {
    "recipe": "rank1",
    "model": "some/model",
    "backend": "scripted",
    "device": ComponentDevice.from_str("cuda:1"),
    "token": Secret.from_env_var("OTHER_TOKEN"),
    "api_key": Secret.from_env_var(["ONE_KEY", "TWO_KEY"], strict=False),
    "api_base_url": "http://localhost:1",
    "top_k": 3,
    "score_threshold": 0.0,
    "meta_fields_to_embed": ["title"],
    "embedding_separator": "",
    "reasoning": "none",
    "samples": 2,
    "seed": 5,
    "temperature": 0.0,
    "top_p": 0.5,
    "max_reasoning_tokens": 7,
    "cut_to_sentence": False,
    "instruction": "Find {{ query }}",
    "template": "limrank",
    "explanation_meta_field": "why",
    "cache_path": "answers.sqlite",
    "model_kwargs": {"dtype": "bfloat16", "nested": {"a": [1, None]}},
    "raise_on_failure": True,
}


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


@pytest.mark.parametrize("name", ["token", "api_key"])
def test_a_key_given_as_it_is_cannot_be_serialised_and_the_error_names_it(name):
    component = LimRankRanker(**{name: Secret.from_token(KEY)})
    with pytest.raises(ValueError, match=f"{name} cannot be serialised.*from_env_var") as caught:
        component.to_dict()
    assert_no_key_in(caught.value)


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
        device=ComponentDevice.from_str("cuda:1"),
        api_base_url="http://localhost:1",
        model_kwargs={"dtype": "bfloat16"},
    ).warm_up()
    (options,) = scripted.options
    assert (options["device"], options["base_url"], options["dtype"]) == (
        "cuda:1",
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
