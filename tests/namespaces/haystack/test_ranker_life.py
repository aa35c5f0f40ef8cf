"""`LimRankRanker`: failures, loading, closing, threads, the event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

pytest.importorskip("haystack", reason="haystack is not installed: pip install 'limrank[haystack]'")

from haystack import Document
from haystack.utils import Secret
from haystack_helpers import KEY, assert_no_key_in, both, ids, ranker, stating

from limrank_plugins import ScriptedFailure
from limrank_plugins.errors import BackendError, CapabilityError, InputError

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
    assert output["meta"]["failures"] == [{"id": "d1", "reason": "429 for the key ***"}]
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
    reason = "RuntimeError: out of memory; key ***"
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
    with pytest.raises((ValueError, RuntimeError), match=r"bad key \*\*\*") as caught:
        ranker(api_key=Secret.from_token(KEY)).warm_up()
    assert_no_key_in(caught.value)


def test_no_key_in_what_caused_an_error(scripted):
    def refuse():
        raise OSError("refused") from KeyError(KEY)

    scripted.on_load = refuse
    with pytest.raises(RuntimeError, match=r"^OSError: refused$") as caught:
        ranker(api_key=Secret.from_token(KEY)).warm_up()
    assert_no_key_in(caught.value)


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
