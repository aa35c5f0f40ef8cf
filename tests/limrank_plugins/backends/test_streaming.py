"""Texts are told as they are written: what was told is what the reply holds, no more and no earlier."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from plain import LABELS, TEMPLATE, eager_to_stop

from limrank_plugins import Reranker
from limrank_plugins.backends.protocols import Generate, Generated
from limrank_plugins.backends.streaming import ToldText, listening
from limrank_plugins.backends.transformers import TransformersBackend

PASSAGES = ["acid curdles milk", "bread rises", "light bends in water", ""]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    eager_to_stop("qwen2", 2.5, 1.5).save_pretrained(path)
    tiny.tokenizer().save_pretrained(path)
    return path


def requests(**options: Any) -> list[Generate]:
    made = {"stop": ("</think>",), "max_tokens": 24, "labels": LABELS} | options
    return [Generate(TEMPLATE.render("why does milk curdle", [text]), **made) for text in PASSAGES]


# ---- one text -----------------------------------------------------------------------------------


@given(st.lists(st.text("ab<ü/", max_size=4), max_size=12), st.sampled_from([(), ("</a>",), ("<b", "</")]))
def test_nothing_is_told_that_a_stop_string_takes_back(steps: list[str], stops: tuple[str, ...]):
    """Token by token, until a stop string is whole: the pieces joined are the text in front of it."""
    told: list[str] = []
    text = ToldText(
        Generate(TEMPLATE.render("q", ["d"]), stops, 9), lambda request, piece: told.append(piece)
    )
    written = ""
    for step in steps:
        written += step
        found = [place for stop in stops if (place := written.find(stop)) != -1]
        if found:
            text.ended(written[: min(found)])
            break
        text.grown(written)
    else:
        text.ended(written)
    ends = [place for stop in stops if (place := written.find(stop)) != -1]
    assert "".join(told) == written[: min(ends, default=len(written))]
    assert all(told)


def test_half_a_character_waits_for_its_other_half():
    told: list[str] = []
    text = ToldText(Generate(TEMPLATE.render("q", ["d"]), (), 9), lambda request, piece: told.append(piece))
    text.grown("a\ufffd")
    assert told == ["a"]
    text.grown("aé")
    text.ended("aé")
    assert told == ["a", "é"]


# ---- a model ------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"stop": (), "labels": ()}, {"temperature": 1.0, "seed": 3}])
def test_what_a_batch_writes_is_told_text_by_text(folder: Path, options: dict[str, Any]):
    backend = TransformersBackend(str(folder))
    silent = backend.generate(requests(**options))
    told: dict[Generate, list[str]] = {request: [] for request in requests(**options)}
    with listening(lambda request, piece: told[request].append(piece)):
        replies = backend.generate(requests(**options))
    assert replies == silent
    texts = [reply.text for reply in replies if isinstance(reply, Generated)]
    assert ["".join(pieces) for pieces in told.values()] == texts
    assert max(len(pieces) for pieces in told.values()) > 3
    before = dict(told)
    backend.generate(requests(**options))  # nobody listens any more
    assert told == before


def test_async_code_hears_its_own_texts_only(folder: Path):
    reranker = Reranker("limrank", str(folder), max_reasoning_tokens=12)

    async def heard(text: str) -> tuple[str, str | None]:
        pieces: list[str] = []
        with listening(lambda request, piece: pieces.append(piece)):
            ranking = await reranker.arank("why does milk curdle", [text])
        return "".join(pieces).strip(), ranking[0].explanation

    async def both() -> list[tuple[str, str | None]]:
        return await asyncio.gather(*map(heard, PASSAGES[:2]))

    for told, explanation in asyncio.run(both()):
        assert explanation
        assert told.startswith(explanation)  # which is cut back to its last sentence


def test_a_listener_that_fails_ends_the_writing_and_the_model_can_be_asked_again(folder: Path):
    def fail(request: Generate, piece: str) -> None:
        raise ConnectionError("the reader has gone")

    backend = TransformersBackend(str(folder))
    with pytest.raises(ConnectionError, match="has gone"), listening(fail):
        backend.generate(requests())
    assert all(isinstance(reply, Generated) for reply in backend.generate(requests()))
