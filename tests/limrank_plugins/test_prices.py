"""Prices: the table, what overrules it, and what a ranking says that it cost."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import LoopbackServer, completion
from typer.testing import CliRunner

from limrank_plugins import Document, Reranker, ScriptedBackend, Store
from limrank_plugins.backends.remote.replies import usage_of
from limrank_plugins.cli import build_app
from limrank_plugins.data import Usage
from limrank_plugins.errors import InputError
from limrank_plugins.prices import Price, paid, price_of

counts = st.integers(0, 10**9)
prices = st.floats(0, 1e3)


@given(counts, counts, counts, prices, prices, prices)
def test_cached_tokens_have_a_price_of_their_own(
    fresh: int, cached: int, written: int, p: float, c: float, w: float
):
    cost = Price(prompt=p, completion=w, cached=c).cost(fresh + cached, written, cached)
    assert cost == pytest.approx((fresh * p + cached * c + written * w) / 1e6)
    plain = Price(prompt=p, completion=w)
    assert plain.cost(fresh + cached, written, cached) == pytest.approx(plain.cost(fresh + cached, written))


def test_the_table_is_overruled_by_a_file_and_both_by_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    here = "https://api.openai.com/v1"
    monkeypatch.delenv("LIMRANK_PRICES", raising=False)
    assert price_of(here, "gpt-4o-mini") == Price(0.15, 0.6, 0.075)
    assert price_of(here, "gpt-4o-mini-2024-07-18") == Price(0.15, 0.6, 0.075)
    assert price_of("https://api.cohere.com/v2", "rerank-v3.5") == Price(search=0.002)
    for address, model in (("http://localhost:8000/v1", "gpt-4o-mini"), (here, "gpt-4o-mini-x")):
        assert price_of(address, model) is None
    mine = tmp_path / "prices.toml"
    mine.write_text(
        '["api.openai.com"."gpt-4o-mini"]\ntoken_price = 1\n["localhost:8000"."m"]\ncompletion_price = 0\n'
        '["localhost:8000"."empty"]\n'
    )
    monkeypatch.setenv("LIMRANK_PRICES", str(mine))
    assert price_of(here, "gpt-4o-mini") == Price(1.0)
    assert price_of(here, "gpt-4.1") == Price(2.0, 8.0, 0.5)
    assert price_of("http://localhost:8000/v1", "m") == Price()
    assert price_of("http://localhost:8001/v1", "m") is None
    assert price_of("http://localhost:8000/v1", "empty") is None
    assert price_of(here, "gpt-4o-mini", token_price=3.0) == Price(3.0)
    for one_alone in ({"token_price": 3.0, "completion_price": None}, {"completion_price": None}):
        with pytest.raises(InputError, match="token_price and completion_price belong together"):
            price_of(here, "gpt-4o-mini", **one_alone)  # 3.0 as an argument; 1 in the file
    assert price_of(here, "gpt-4.1", completion_price=None) == Price(2.0, 8.0, 0.5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[broken", "is not TOML"),
        ('["host"]\nm = 3', r"'m' must be a table"),
        ("m = 3", r"'m' must be a table"),
        ('["host"."m"]\ntoken_price = "2"', "token_price must be a number"),
        ('["host"."m"]\ntoken_price = -1', "token_price must be a number >= 0"),
        ('["host"."m"]\ntoken_price = nan', "token_price must be a number >= 0"),
        ('["host"."m"]\nprice = 1', "sets 'price', which no file may set"),
        ('["host"."m"]\ncached_price = 1', "cached_price needs token_price"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
):
    (tmp_path / "p.toml").write_text(text)
    monkeypatch.setenv("LIMRANK_PRICES", str(tmp_path / "p.toml"))
    with pytest.raises(InputError, match=said) as caught:
        price_of("http://host/v1", "m")
    assert "p.toml" in str(caught.value)


def test_what_is_not_counted_has_no_known_cost():
    assert paid(None, Usage(prompt_tokens=5)).known_cost == 0.0  # no call, as nobody counted one
    assert paid(Price(1.0), Usage(calls=1)).known_cost is None
    assert paid(Price(1.0), Usage(calls=1), answered=False).known_cost == 0.0
    assert paid(Price(search=1.0), Usage(calls=1, prompt_tokens=5)).known_cost is None
    assert paid(Price(search=1.0), Usage(calls=1, searches=2)).known_cost == 2.0
    assert paid(Price(1.0), Usage(calls=1, generated_tokens=5)).known_cost is None
    assert paid(Price(), Usage(calls=1)).known_cost == 0.0
    known = paid(Price(1e6), Usage(calls=1, prompt_tokens=1))
    assert (known + known).known_cost == 2.0
    assert (known + Usage(calls=1)).known_cost is None
    assert (known + Usage(cached=1)).known_cost == 1.0


@pytest.mark.parametrize(
    ("usage", "shared"),
    [
        ({"prompt_tokens_details": {"cached_tokens": 60}}, 60),
        ({"prompt_cache_hit_tokens": 60, "prompt_cache_miss_tokens": 40}, 60),
        ({"cache_read_input_tokens": 60}, 60),
        ({"prompt_tokens_details": {"cached_tokens": 0}, "cache_read_input_tokens": 60}, 60),
        ({"prompt_tokens_details": None, "prompt_cache_hit_tokens": None}, 0),
        ({"cache_read_input_tokens": 10**6}, 100),
    ],
)
def test_cached_tokens_are_read_wherever_a_server_writes_them(usage: dict[str, Any], shared: int):
    read = usage_of({"usage": {"prompt_tokens": 100, "completion_tokens": 1, **usage}})
    assert (read.prompt_tokens, read.shared_tokens, read.generated_tokens) == (100, shared, 1)


@pytest.mark.parametrize("field", ["prompt_tokens", "completion_tokens"])
@pytest.mark.parametrize("count", [-5, 2.5, "many", True, 10**400])
def test_what_is_no_number_of_tokens_makes_no_cost(field: str, count: Any):
    usage = usage_of({"usage": {"prompt_tokens": 100, "completion_tokens": 1, field: count}})
    assert paid(Price(1.0, 8.0), replace(usage, calls=1)).known_cost is None


@pytest.mark.parametrize(
    "said",
    [
        {"prompt_tokens": 100},
        {"prompt_tokens": 100, "total_tokens": 150},
        {"prompt_tokens": 100, "completion_tokens": None},
        {"completion_tokens": 50},
        {"prompt_tokens": 0, "completion_tokens": 50},
        *(
            {"prompt_tokens": 100, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": cached}}
            for cached in (-5, "60", 2.5, True)
        ),
        {"prompt_tokens": 100, "completion_tokens": 1, "prompt_cache_hit_tokens": -3},
    ],
)
def test_a_count_that_is_missing_or_none_makes_no_cost(said: dict[str, Any]):
    usage = usage_of({"usage": said})
    assert paid(Price(1.0, 8.0), replace(usage, calls=1)).known_cost is None
    assert paid(Price(), replace(usage, calls=1)).known_cost == 0.0
    pytest.importorskip("openai")
    with LoopbackServer(lambda call: answer() | {"usage": said}) as server:
        reranker = served(server, token_price=1.0, completion_price=1.0)
        assert reranker.rank("q", TEXTS).cost is None
        reranker.close()


# ---- a ranking's cost -----------------------------------------------------------------------------

TEXTS = ["Bread rises.", "Acid curdles milk.", "Rain falls."]


def answer(cached: int | None = 60) -> dict[str, Any]:
    body = completion({" true": -0.1, " false": -2.4})
    body["usage"] = {"prompt_tokens": 100, "completion_tokens": 1}
    if cached is not None:
        body["usage"]["prompt_tokens_details"] = {"cached_tokens": cached}
    return body


def served(server: LoopbackServer, **more: Any) -> Reranker:
    asked = {"api": "completions", "reasoning": "none", "template": "limrank"}
    return Reranker("limrank", "m", "openai", base_url=server.url, **asked, **more)


EACH = (40 * 2.0 + 60 * 0.5 + 1 * 8.0) / 1e6


def test_a_served_model_with_a_price_says_what_a_ranking_cost(tmp_path: Path):
    pytest.importorskip("openai")
    with LoopbackServer(lambda call: answer()) as server, Store(tmp_path / "s.sqlite") as store:
        reranker = served(server, token_price=2.0, cached_price=0.5, completion_price=8.0, store=store)
        ranking = reranker.rank("q", TEXTS)
        assert ranking.cost == pytest.approx(3 * EACH)
        assert (ranking.usage.shared_tokens, ranking.usage.priced) == (180, 3)
        again = asyncio.run(reranker.arank("q", [*TEXTS, "a new one", "a new one "]))
        assert again.cost == pytest.approx(2 * EACH)
        stored = reranker.rank("q", TEXTS)
        assert (stored.cost, stored.usage.cached, stored.usage.calls) == (0.0, 3, 0)
        reranker.close()


def test_without_a_price_or_a_count_the_cost_is_not_known():
    pytest.importorskip("openai")
    with LoopbackServer(lambda call: answer()) as server:
        reranker = served(server)
        assert reranker.rank("q", TEXTS).cost is None
        reranker.close()
        with pytest.raises(InputError, match="token_price and completion_price belong together"):
            served(server, token_price=1.0)
    with LoopbackServer(lambda call: answer() | {"usage": None}) as server:
        reranker = served(server, token_price=1.0, completion_price=1.0)
        assert reranker.rank("q", TEXTS).cost is None
        reranker.close()


def test_one_call_without_counts_is_not_hidden_by_the_others_of_its_document():
    pytest.importorskip("openai")
    body = answer(None)
    body["choices"][0] |= {"logprobs": None, "text": " true"}
    texts = (" true", " false")

    def script(call: Any) -> dict[str, Any]:
        uncounted = {"usage": {"prompt_tokens": 100}} if call.number == 4 else {}
        return body | {"choices": [body["choices"][0] | {"text": texts[call.number % 2]}]} | uncounted

    with LoopbackServer(script) as server:
        reranker = served(server, token_price=1.0, completion_price=1.0, draws=4, concurrency=1)
        with pytest.warns(UserWarning, match="sampled answers"):
            ranking = reranker.rank("q", ["Acid curdles milk."])
        assert (len(server.calls), ranking.failures, ranking.cost) == (7, (), None)
        assert (ranking.usage.priced, ranking.usage.cost) == (0, 0.0)
        reranker.close()


def test_an_answer_without_a_choice_costs_what_it_says():
    pytest.importorskip("openai")
    with LoopbackServer(lambda call: answer() | {"choices": []}) as server:
        reranker = served(server, token_price=2.0, cached_price=0.5, completion_price=8.0)
        ranking = reranker.rank("q", TEXTS)
        assert len(ranking.failures) == 3
        assert ranking.cost == pytest.approx(3 * EACH)
        reranker.close()


def test_every_drawn_answer_is_paid_for_though_its_prompt_is_counted_once():
    pytest.importorskip("openai")
    body = answer(None)
    body["choices"][0]["logprobs"] = None
    body["choices"][0]["text"] = " true"

    def script(call: Any) -> dict[str, Any]:
        text = " false" if call.number % 2 else " true"
        return body | {"choices": [body["choices"][0] | {"text": text}]}

    with LoopbackServer(script) as server:
        reranker = served(server, token_price=1.0, completion_price=1.0, draws=4, concurrency=1)
        with pytest.warns(UserWarning, match="sampled answers"):
            ranking = reranker.rank("q", ["Acid curdles milk."])
        assert ranking.failures == ()
        assert ranking.usage.prompt_tokens == 100
        assert ranking.cost is not None
        assert ranking.cost >= 5 * 101 / 1e6  # the call without log-probabilities, and four draws
        reranker.close()


@pytest.mark.parametrize("recipe", ["limrank", "rank1"])
def test_labels_behind_reasoning_count_their_prompt_once_and_all_that_was_written(recipe: str):
    pytest.importorskip("openai")

    def script(call: Any) -> dict[str, Any]:
        body = answer(40)
        body["usage"]["completion_tokens"] = 3
        if call.body["max_tokens"] > 4:
            return body | {"choices": [{"index": 0, "text": "It tells.", "finish_reason": "stop"}]}
        return body

    with LoopbackServer(script) as server:
        reranker = Reranker(
            recipe, "m", "openai", base_url=server.url, api="completions", template="limrank",
            reasoning="full", max_reasoning_tokens=20, concurrency=1, token_price=1.0, completion_price=10.0,
        )  # fmt: skip
        ranking = reranker.rank("q", ["Acid curdles milk."])
        reranker.close()
    usage = ranking.usage
    assert (usage.prompt_tokens, usage.shared_tokens, usage.generated_tokens) == (100, 40, 2 * 3)
    assert ranking.cost == pytest.approx(2 * (100 + 10 * 3) / 1e6)


def test_a_model_on_this_machine_has_no_price():
    backend = ScriptedBackend(read_labels=lambda prompt: (1.0, 0.0))
    assert Reranker("limrank", backend=backend, reasoning="none").rank("q", TEXTS).cost is None
    assert Reranker("prior").rank("q", [Document("a", prior=1.0)]).cost == 0.0


def test_the_command_line_says_what_it_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("openai")
    monkeypatch.setenv("LIMRANK_CACHE", str(tmp_path / "cache"))
    queries = tmp_path / "q.jsonl"
    queries.write_text('{"_id": "1", "text": "why does milk go lumpy in tea"}\n')

    def limrank(*words: object) -> Any:
        options = ["base_url=" + server.url, "api=completions", "template=limrank"]
        asked = [
            "--recipe",
            "limrank",
            "--backend",
            "openai",
            "--model",
            "m",
            "--reasoning",
            "none",
            "--k",
            "3",
        ]
        more = [word for option in options for word in ("--option", option)]
        done = CliRunner().invoke(build_app(), [*map(str, words), *asked, *more])
        assert done.exit_code == 0, done.output
        return done

    prices = [word for name in ("token", "completion") for word in ("--option", f"{name}_price=1000")]
    each = 101 * 1000 / 1e6
    rerank = ["rerank", "-q", queries, "-c", "samples", "-o"]
    with LoopbackServer(lambda call: answer()) as server:
        unknown = limrank(*rerank, tmp_path / "a.jsonl", "--json", "--store", tmp_path / "a.sqlite")
        assert json.loads(unknown.stdout)["cost"] is None
        assert json.loads(unknown.stdout)["usage"]["shared_tokens"] == 180
        said = limrank(*rerank, tmp_path / "b.jsonl", "--store", tmp_path / "b.sqlite")
        assert "cost not known: calls of a model without a known price" in said.output
        known = limrank(*rerank, tmp_path / "c.jsonl", "--json", "--store", tmp_path / "c.sqlite", *prices)
        assert json.loads(known.stdout)["cost"] == pytest.approx(3 * each)
        same = ["--top-n", 2, "--store", tmp_path / "c.sqlite", *prices]
        again = limrank(*rerank, tmp_path / "d.jsonl", *same)
        assert "$" not in again.output  # every query is in the journal
        found = limrank("search", "samples", "why milk", *prices, "--store", tmp_path / "e.sqlite")
        assert f"${3 * each:.4f}" in found.output
        stored = limrank("search", "samples", "why milk", *prices, "--store", tmp_path / "e.sqlite")
        assert "$0.00: all replies were in the store" in stored.output
