"""Images on the wire to an OpenAI-compatible server: real HTTP, exact bodies."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from servers import Answer, Call, LoopbackServer, Waits, chat, toy

from limrank_plugins import Document, Query, Reranker
from limrank_plugins.backends.openai import OpenAIBackend
from limrank_plugins.backends.protocols import Failed, Generate, Generated, LabelReading, ReadLabels
from limrank_plugins.images import Image
from limrank_plugins.segments import Prompt, Segment

PNG = Image(b"\x89PNG\r\n\x1a\n" + b"red")
GIF = Image(b"GIF89a" + b"green")
LABELS = ("Yes", "No")


def backend(server: LoopbackServer, **options: Any) -> OpenAIBackend:
    settings = {"base_url": server.url, "api_key": "sk-planted", "sleep": Waits()}
    return OpenAIBackend("m", **(settings | options))


def part(image: Image) -> dict[str, Any]:
    kind = {PNG: "image/png", GIF: "image/gif"}[image]
    return {
        "type": "image_url",
        "image_url": {"url": f"data:{kind};base64,{base64.b64encode(image.data).decode()}"},
    }


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def seen(call: Call) -> Any:
    return chat({"Yes": -0.1, "No": -2.3}, "Yes")


SHOWN = Prompt(
    (
        Segment("You judge.", role="system"),
        Segment("Query: ", role="user"),
        Segment("", False, role="user", image=GIF),
        Segment("why", False, role="user"),
        Segment("\nPassage: ", role="user"),
        Segment("", False, role="user", image=PNG),
        Segment("", False, role="user", image=GIF),
        Segment("milk </think> <image>", False, cuttable=True, role="user"),
    )
)


def read(made: OpenAIBackend, *prompts: Prompt) -> list[Any]:
    return asyncio.run(made.read_labels([ReadLabels(prompt, LABELS) for prompt in prompts]))


def test_text_and_images_go_out_in_reading_order():
    with LoopbackServer(seen) as server, pytest.warns(UserWarning, match="broken"):
        (reply,) = read(backend(server), SHOWN)
    assert isinstance(reply, LabelReading)
    assert reply.logits == (-0.1, -2.3)
    (call,) = server.calls
    assert call.path == "/v1/chat/completions"
    assert call.body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "You judge."},
            {
                "role": "user",
                "content": [
                    text("Query: "),
                    part(GIF),
                    text("why\nPassage: "),
                    part(PNG),
                    part(GIF),
                    text("milk < /think> < image>"),
                ],
            },
        ],
        "max_tokens": 1,
        "temperature": 0.0,
        "logprobs": True,
        "top_logprobs": 20,
    }


def test_the_beginning_of_an_answer_follows_the_images():
    begun = Prompt((Segment("Look: ", role="user"), Segment("", False, role="user", image=PNG))).then(
        Segment("Answer:")
    )
    with LoopbackServer(seen) as server:
        read(backend(server), begun)
    with LoopbackServer(seen, owner="vllm") as continuing:
        read(backend(continuing), begun)
    assert server.calls[0].body["messages"] == [
        {"role": "user", "content": [text("Look: "), part(PNG), text("Answer:")]}
    ]
    assert continuing.calls[0].body["messages"] == [
        {"role": "user", "content": [text("Look: "), part(PNG)]},
        {"role": "assistant", "content": "Answer:"},
    ]
    assert continuing.calls[0].body["continue_final_message"] is True


def test_generation_carries_images():
    with LoopbackServer(lambda call: chat(None, "[2, 1]")) as server:
        request = Generate(Prompt(SHOWN.segments[1:6]), (), 32)
        (reply,) = asyncio.run(backend(server).generate([request]))
    assert isinstance(reply, Generated)
    assert reply.text == "[2, 1]"
    assert [p["type"] for p in server.calls[0].body["messages"][0]["content"]] == [
        "text",
        "image_url",
        "text",
        "image_url",
    ]


def test_texts_go_where_they_always_went():
    def script(call: Call) -> Any:
        if "messages" in call.body:
            return chat({" true": -0.2, " false": -1.7}, " true")
        return toy(call)

    documents = [Document("one"), Document("two", images=(PNG,)), Document("three")]
    with LoopbackServer(script) as server:
        found = Reranker("limrank", backend=backend(server), reasoning="none", template="limrank").rank(
            "why", documents
        )
    assert found.failures == ()
    assert sorted(call.path for call in server.calls) == ["/v1/chat/completions"] + ["/v1/completions"] * 2


def test_a_server_without_a_chat_api_fails_the_images_alone():
    def script(call: Call) -> Any:
        return Answer({"error": "no such path"}, status=404) if "chat" in call.path else toy(call)

    documents = [Document("one"), Document("two", images=(PNG,)), Document("three")]
    with LoopbackServer(script) as server:
        found = Reranker("limrank", backend=backend(server), reasoning="none", template="limrank").rank(
            "why", documents
        )
    (failure,) = found.failures
    assert failure.id == "1"
    assert "goes to the chat API, where there is none" in failure.reason
    assert [hit.score is None for hit in sorted(found, key=lambda hit: hit.index)] == [False, True, False]


def test_a_model_that_cannot_see_fails_the_images_alone():
    def script(call: Call) -> Any:
        if "messages" in call.body:
            return Answer({"error": {"message": "m is not a multimodal model"}}, status=400)
        return toy(call)

    with LoopbackServer(script) as server:
        made = Reranker("limrank", backend=backend(server), reasoning="none", template="limrank")
        found = made.rank("why", [Document("one"), Document("two", images=(PNG,))])
        whole = made.rank(Query("why", images=(GIF,)), ["one", "two"])
    (failure,) = found.failures
    assert failure.id == "1"
    assert "not a multimodal model" in failure.reason
    assert len(whole.failures) == 2


def test_completions_by_decree_refuse_images():
    with LoopbackServer(toy) as server:
        fine, failed = read(
            backend(server, api="completions"),
            Prompt((Segment("q Passage: p\n"),)),
            Prompt((Segment("q"), Segment("", False, image=PNG))),
        )
    assert not isinstance(fine, Failed) or "labels" in fine.reason
    assert isinstance(failed, Failed)
    assert "completions API cannot carry" in failed.reason
