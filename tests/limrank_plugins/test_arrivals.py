"""Every reply is in the store the moment it arrives, so that a kill inside a batch loses none of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from scripts import full_backend
from servers import Call, LoopbackServer, chat

from limrank_plugins import Reranker, Store
from limrank_plugins.backends.local.requests import Replies
from limrank_plugins.backends.openai import OpenAIBackend
from limrank_plugins.backends.protocols import Arrived, Generate, LabelReading, ReadLabels, Reply
from limrank_plugins.driver import arun, run
from limrank_plugins.reply_store import ReplyStore, To
from limrank_plugins.segments import Prompt, Segment

TEXTS = [f"passage number {i}" for i in range(9)]


class Breaks:
    """Tells of the first replies, then breaks as a killed process would: the batch never comes back."""

    name = identity = "breaks"

    def __init__(self, after: int) -> None:
        self.after, self.asked = after, 0

    def read_labels(self, requests: list[ReadLabels], arrived: Arrived | None = None) -> list[Reply]:
        replies: list[Reply] = []
        for position, _ in enumerate(requests):
            if self.asked == self.after:
                raise RuntimeError("killed")
            self.asked += 1
            replies.append(LabelReading((1.0, 0.0)))
            if arrived is not None:
                arrived(position, replies[-1])
        return replies


class BreaksLater(Breaks):
    """The same as a served model has it."""

    async def read_labels(self, requests, arrived=None):  # type: ignore[no-untyped-def]
        return Breaks.read_labels(self, requests, arrived)


@pytest.mark.parametrize("kind", [Breaks, BreaksLater])
def test_what_arrived_before_an_interrupt_is_not_asked_again(tmp_path: Path, kind: type[Breaks]):
    with Store(tmp_path / "s.sqlite") as store:
        first, second = kind(5), kind(100)
        with pytest.raises(RuntimeError, match="killed"):
            Reranker("limrank", backend=first, reasoning="none", store=store).rank("q", TEXTS)
        ranking = Reranker("limrank", backend=second, reasoning="none", store=store).rank("q", TEXTS)
        assert (first.asked, second.asked) == (5, len(TEXTS) - 5)
        assert (ranking.usage.calls, ranking.usage.cached) == (4, 5)


async def test_replies_to_async_code_are_stored_before_it_goes_on(tmp_path: Path):
    requests = [Generate(Prompt((Segment(f"write {i}"),)), stop=(), max_tokens=5) for i in range(20)]
    with Store(tmp_path / "s.sqlite") as store:
        backend = full_backend(asynchronous=True, generate=lambda prompt: prompt.text)

        def program():  # type: ignore[no-untyped-def]
            replies = yield [To(backend, request) for request in requests]
            stored = ReplyStore(store).find([To(backend, request) for request in requests])
            assert [reply.text for reply in stored] == [reply.text for reply in replies]

        await arun(program(), store)


def test_a_backend_that_tells_of_nothing_is_stored_when_it_is_done(tmp_path: Path):
    class Plain:
        name = identity = "plain"
        asked = 0

        def read_labels(self, requests: list[ReadLabels]) -> list[LabelReading]:
            self.asked += len(requests)
            return [LabelReading((1.0, 0.0))] * len(requests)

    with Store(tmp_path / "s.sqlite") as store:
        backend = Plain()
        for _ in range(2):
            Reranker("limrank", backend=backend, reasoning="none", store=store).rank("q", TEXTS)
        assert backend.asked == len(TEXTS)


def test_a_killed_rerank_asks_again_at_most_what_was_in_flight(tmp_path: Path):
    """24 documents, four calls at a time; SIGKILL after 12 replies."""
    with (tmp_path / "c.jsonl").open("w") as corpus:
        for i in range(24):
            corpus.write(json.dumps({"_id": f"d{i}", "text": f"acid curdles milk, note {i}"}) + "\n")
    (tmp_path / "q.jsonl").write_text(json.dumps({"_id": "q", "text": "why does acid curdle milk"}) + "\n")

    async def script(call: Call) -> object:
        if call.number >= 12:
            await server.gate.wait()
        return chat(None, "It fits.\n<score>80</score>")

    with LoopbackServer(script) as server:
        options = [f"base_url={server.url}", "api_key=k", "concurrency=4", "api=chat", "server=generic"]
        command = [sys.executable, "-m", "limrank_plugins", "rerank", "-q", "q.jsonl", "-c", "c.jsonl"]
        command += ["-o", "o.jsonl", "--recipe", "retro", "--backend", "openai", "--model", "m"]
        command += ["--store", "s.sqlite", *(word for option in options for word in ("--option", option))]
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as first:
            server.wait_for(lambda s: len(s.calls) == 16)  # 12 were answered, 4 hang
            first.send_signal(signal.SIGKILL)
        before = len(server.calls)
        server.open()
        subprocess.run(command, cwd=tmp_path, check=True, stderr=subprocess.DEVNULL, timeout=120)
        assert before == 16
        assert len(server.calls) <= 24 + 4
    hits = json.loads((tmp_path / "o.jsonl").read_text())["hits"]
    assert len(hits) == 24
    assert {hit["failure"] for hit in hits} == {None}


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_that_a_server_returns_apart_is_kept(tmp_path: Path, name: str):
    answer = chat(None, "second")
    answer["choices"][0]["message"][name] = "The second is about acid."
    request = Generate(Prompt((Segment("which?", role="user"),)), stop=(), max_tokens=9)
    with LoopbackServer(lambda call: answer) as server, Store(tmp_path / "s.sqlite") as store:
        backend = OpenAIBackend("m", base_url=server.url, server="generic", api="chat")

        def program():  # type: ignore[no-untyped-def]
            return (yield [To(backend, request)])

        for _ in range(2):  # the second time from the store
            (reply,) = run(program(), store)
            assert (reply.text, reply.reasoning) == ("second", "The second is about acid.")
        assert server.served == 1
        backend.close()


def test_fields_of_the_caller_reach_the_server_and_refused_ones_do_not():
    request = Generate(Prompt((Segment("write", role="user"),)), stop=(), max_tokens=9, temperature=0.5)
    with LoopbackServer(lambda call: chat(None, "yes")) as server:
        backend = OpenAIBackend(
            "m",
            base_url=server.url,
            server="generic",
            api="chat",
            body={"chat_template_kwargs": {"enable_thinking": True}, "top_k": 20},
            without=("top_p", "seed"),
            budget="max_completion_tokens",
        )

        def program():  # type: ignore[no-untyped-def]
            return (yield [To(backend, request)])

        run(program())
        sent = server.calls[0].body
        assert sent == backend.request_body(request)
        assert backend.read_body(request, chat(None, "yes")).text == "yes"
        backend.close()
    assert sent["chat_template_kwargs"] == {"enable_thinking": True}
    assert (sent["top_k"], sent["max_completion_tokens"], sent["temperature"]) == (20, 9, 0.5)
    assert not {"top_p", "seed", "max_tokens"} & set(sent)


def test_a_verdict_behind_reasoning_that_came_apart_is_not_taken_for_reasoning():
    prompts: list[str] = []

    def script(call: Call) -> object:
        if call.body.get("logprobs"):
            prompts.append(json.dumps(call.body["messages"]))
            return chat({"true": -0.1, "false": -2.4}, "true")
        reply = chat(None, "\n\ntrue")
        reply["choices"][0]["message"]["reasoning_content"] = "Acid is the cause."
        return reply

    with LoopbackServer(script) as server:
        backend = OpenAIBackend("m", base_url=server.url, server="generic", api="chat")
        hit = Reranker("limrank", backend=backend).rank("why does milk curdle", ["acid"])[0]
        backend.close()
    assert hit.explanation == "Acid is the cause."
    assert "Acid is the cause." in prompts[0]
    assert "true</think>" not in prompts[0].replace("\\n", "")


class InPasses:
    """A local model whose passes hold four requests each; the third pass breaks on its way."""

    name = identity = "in passes"

    def __init__(self, breaks: bool = False) -> None:
        self.breaks = breaks

    def read_labels(self, requests: list[ReadLabels], arrived: Arrived | None = None) -> list[Reply]:
        replies = Replies(arrived)
        for start in range(0, len(requests), 4):
            with replies.together():
                for position in range(start, min(start + 4, len(requests))):
                    if self.breaks and position == 10:
                        raise RuntimeError("killed")
                    replies[position] = LabelReading((float(position), 0.0))
        return replies.in_order()


@pytest.mark.parametrize("breaks", [False, True])
def test_replies_of_one_pass_are_one_transaction(tmp_path: Path, breaks: bool):
    texts = [f"passage number {i}" for i in range(12)]
    commits: list[str] = []
    with Store(tmp_path / "s.sqlite") as store:
        store._db.set_trace_callback(lambda said: commits.append(said) if said == "COMMIT" else None)
        backend = InPasses(breaks)
        reranker = Reranker("limrank", backend=backend, reasoning="none", store=store)
        if breaks:
            with pytest.raises(RuntimeError, match="killed"):
                reranker.rank("q", texts)
        else:
            reranker.rank("q", texts)
        assert len(commits) == 3
        backend.breaks = False
        again = reranker.rank("q", texts)
    assert again.usage.cached == (10 if breaks else 12), "what arrived before the end of a pass is kept"


def test_what_another_thread_tells_of_meanwhile_is_kept_at_once(tmp_path: Path):
    backend = InPasses()
    requests = [To(backend, ReadLabels(Prompt((Segment(f"read {i}"),)), ("a", "b"))) for i in range(2)]
    with Store(tmp_path / "s.sqlite") as store:
        replies = ReplyStore(store)
        keeper = replies.keeper(requests)
        with keeper.together():
            keeper(0, LabelReading((1.0, 0.0)))
            other = threading.Thread(target=keeper, args=(1, LabelReading((2.0, 0.0))))
            other.start()
            other.join()
            assert [reply is not None for reply in replies.find(requests)] == [False, True]
        assert [reply is not None for reply in replies.find(requests)] == [True, True]
    assert keeper.kept == {0, 1}
