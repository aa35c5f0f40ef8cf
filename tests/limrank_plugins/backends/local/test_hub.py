"""A hub that cannot be reached is asked once; one that can is left to its library."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import LoopbackServer

from limrank_plugins import Reranker
from limrank_plugins.errors import BackendError, InputError

constants = pytest.importorskip("huggingface_hub.constants")
hub = pytest.importorskip("limrank_plugins.backends.local.hub")


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a hub that does not answer: the port is taken, and nobody listens there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield address


@pytest.mark.parametrize("recipe", ["limrank", "cross-encoder", "mini"])
def test_one_sentence_without_retries(nobody: str, recipe: str, caplog: pytest.LogCaptureFixture):
    if recipe != "limrank":
        pytest.importorskip("sentence_transformers")
    with caplog.at_level(logging.WARNING), pytest.raises(BackendError) as raised:
        Reranker(recipe, model="never/there", device="cpu").rank("why", ["a"])
    assert "'never/there'" in str(raised.value)
    assert f"{nobody} cannot be reached (" in str(raised.value)
    assert "the hub's cache lacks files of it" in str(raised.value)
    assert not [record for record in caplog.records if "etry" in record.getMessage()]
    assert constants.HF_HUB_OFFLINE is False, "the switch is put back"


def test_a_card_too(nobody: str):
    with pytest.raises(InputError, match=r"cannot be reached"):
        Reranker.from_pretrained("never/there")


def test_what_answers_is_asked_and_what_lies_here_needs_no_hub(
    nobody: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with hub.hub_or_cache(str(tmp_path)):
        assert constants.HF_HUB_OFFLINE is False
    with hub.hub_or_cache("never/there"):
        assert constants.HF_HUB_OFFLINE is True
    with LoopbackServer(lambda call: {}) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        with hub.hub_or_cache("never/there"):
            assert constants.HF_HUB_OFFLINE is False
