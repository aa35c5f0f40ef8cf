"""The other libraries of `limrank bench scoring`: what they are given, and what is said if one cannot run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limrank_evals.bench import scoring
from limrank_evals.bench.causal import Work
from limrank_evals.bench.scoring_peers import Judging, Peer, Scorer, frame, probabilities, prompts
from limrank_plugins.errors import InputError


def test_the_frame_around_query_and_passage_is_the_recipes_prompt():
    before, between, behind = frame()
    rendered = "".join(segment.text for segment in prompts("a query", ["a passage"])[0].segments)
    assert f"{before}a query{between}a passage{behind}" == rendered


def test_two_logits_become_the_probability_of_the_first():
    assert probabilities([[2.0, 2.0], [1.0, 0.0]]) == pytest.approx([0.5, 1 / (1 + np.exp(-1.0))])


def test_a_library_that_stumbles_is_said_to_be_not_measured_with_its_error(monkeypatch: pytest.MonkeyPatch):
    def gone(judging: Judging) -> Scorer:
        raise AttributeError("no attribute prepare_for_model")

    def late(judging: Judging) -> Scorer:
        def score(passages: Sequence[str]) -> Any:
            raise RuntimeError("cannot read it")

        return score

    def fine(judging: Judging) -> Scorer:
        return lambda passages: np.zeros(len(passages))

    table = (
        Peer("gone", "json", "pip install gone", gone),
        Peer("fine", "json", "pip install fine", fine),
        Peer("late", "json", "pip install late", late),
        Peer("absent", "limrank_absent", "pip install absent", fine),
        Peer("gguf", "json", "pip install gguf", fine, needs_gguf=True),
    )
    monkeypatch.setattr(scoring, "PEERS", table)
    subject = scoring.Scoring("unused", Work("a query", ["a passage"]))
    judging = Judging(Any, "a query", (1, 2), "float32")  # type: ignore[arg-type]
    assert [name for name, _ in subject._peers(judging)] == ["fine"]
    assert subject.not_measured == {
        "gone": "does not run here: AttributeError: no attribute prepare_for_model",
        "late": "does not run here: RuntimeError: cannot read it",
        "absent": "not installed: pip install absent",
        "gguf": "reads GGUF files: name one of the same weights with --gguf",
    }


def test_with_a_gguf_file_llama_cpp_is_tried():
    peer = Peer("gguf", "json", "pip install gguf", lambda judging: lambda passages: np.zeros(1), True)
    assert peer.missing(Path("weights.gguf")) is None


def test_precisions_are_those_asked_for_once_or_a_clear_error() -> None:
    assert scoring.checked_precisions(["bfloat16", "float32", "bfloat16"]) == ("bfloat16", "float32")
    assert scoring.checked_precisions(None)[0] == "float32"
    with pytest.raises(InputError, match="--precision is float32 or bfloat16, but got 'int8'"):
        scoring.checked_precisions(["int8"])


def test_of_peers_that_are_named_the_others_are_neither_measured_nor_missed(monkeypatch: pytest.MonkeyPatch):
    peers = [Peer(name, "no_such_module", f"pip install {name}", lambda _: None) for name in ("one", "other")]
    monkeypatch.setattr(scoring, "PEERS", tuple(peers))
    subject = scoring.Scoring("unused", Work("a query", ["a passage"]), peers=["the"])
    assert list(subject._peers(None)) == []
    assert subject.not_measured == {"other": "not installed: pip install other"}


def test_a_word_of_no_library_is_refused_and_names_them_all():
    assert scoring.checked_peers(["mteb", "padded"]) == ("mteb", "padded")
    with pytest.raises(InputError, match=r"--peer 'rankify' stands in none of these names: .*; mteb, "):
        scoring.checked_peers(["rankify"])
