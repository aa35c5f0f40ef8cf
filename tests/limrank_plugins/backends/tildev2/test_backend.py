"""Scores by look-up, without a model at query time; what happens to passages that are not in the index."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tiny_encoders import QUERY, TEXTS, tilde, tildev2

from limrank_plugins import Document, Reranker
from limrank_plugins.backends.protocols import Closes, Failed, Numbers, ScorePair, ScoresPairs
from limrank_plugins.backends.tildev2 import Expansion, TILDEv2, TILDEv2Backend, TILDEv2Index
from limrank_plugins.errors import BackendError, InputError
from limrank_plugins.store import Store

NEW = "cheese and milk on bread"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, an expansion and an index with each."""
    home = tmp_path_factory.mktemp("home")
    model = TILDEv2.load(str(tildev2(home / "tildev2")), device="cpu")
    expansion = Expansion.load(str(tilde(home / "tilde")), device="cpu")
    TILDEv2Index.build(TEXTS, model).save(home / "plain")
    TILDEv2Index.build(TEXTS, model, expansion=expansion).save(home / "expanded")
    return home


def scores(backend: TILDEv2Backend, texts: list[str], query: str = QUERY) -> list[float]:
    replies = backend.score_pairs([ScorePair(query, text) for text in texts])
    assert all(isinstance(reply, Numbers) for reply in replies), replies
    return [reply.values[0] for reply in replies if isinstance(reply, Numbers)]


def test_an_index_and_a_model_say_the_same(home: Path) -> None:
    indexed = TILDEv2Backend("no/such-model", index=home / "plain")
    live = TILDEv2Backend(str(home / "tildev2"), device="cpu")
    assert isinstance(indexed, ScoresPairs)
    assert isinstance(indexed, Closes)
    found = scores(indexed, TEXTS)
    assert found == scores(live, TEXTS)
    assert len(set(found)) > 3, "scores that differ, or this shows nothing"
    assert (indexed.stored, live.stored) == (False, True)
    assert indexed.identity != live.identity
    expanded = TILDEv2Backend(str(home / "tildev2"), expansion=str(home / "tilde"), device="cpu")
    assert scores(expanded, TEXTS) == scores(TILDEv2Backend("no/such", index=home / "expanded"), TEXTS)


def test_a_score_does_not_depend_on_what_else_is_asked(home: Path) -> None:
    for backend in (
        TILDEv2Backend(index=home / "plain"),
        TILDEv2Backend(str(home / "tildev2"), device="cpu"),
    ):
        asked = [ScorePair(query, text) for query in (QUERY, "milk milk", "cheese") for text in TEXTS]
        together = backend.score_pairs(asked)
        assert together == [backend.score_pairs([pair])[0] for pair in asked]
        assert together[::-1] == backend.score_pairs(asked[::-1])


def test_nothing_but_the_tokenizer_is_loaded_at_query_time(home: Path) -> None:
    code = (
        "import sys; from limrank_plugins import Reranker;"
        f"ranking = Reranker('tildev2', index={str(home / 'plain')!r}).rank({QUERY!r}, {TEXTS!r});"
        "assert ranking.failures == () and ranking.score_kind == 'similarity' and not ranking.comparable;"
        "assert 'transformers' in sys.modules;"
        "print([name for name in sys.modules if name.startswith('transformers.models.bert.modeling')])"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_a_passage_that_is_not_there_is_weighed_if_the_model_is(home: Path) -> None:
    backend = TILDEv2Backend(str(home / "tildev2"), index=home / "plain", device="cpu")
    assert backend._model.held.models is None
    live = TILDEv2Backend(str(home / "tildev2"), device="cpu")
    assert scores(backend, [*TEXTS, NEW]) == scores(live, [*TEXTS, NEW])
    assert backend._model.held.models is not None


def test_without_its_model_a_new_passage_fails_with_the_fix(home: Path) -> None:
    backend = TILDEv2Backend("no/such-model", index=home / "plain")
    known, new = backend.score_pairs([ScorePair(QUERY, TEXTS[0]), ScorePair(QUERY, NEW)])
    assert isinstance(known, Numbers)
    assert isinstance(new, Failed)
    assert (
        "is not in the index and cannot be weighed now (model 'no/such-model' cannot be loaded" in new.reason
    )
    assert "limrank expand" in new.reason
    ranking = Reranker("tildev2", backend=backend).rank(QUERY, [TEXTS[2], NEW, TEXTS[0]])
    assert ranking[1].failure == new.reason
    assert ranking[1].score is None


def test_weights_that_are_not_like_the_indexs_are_not_mixed_with_them(home: Path) -> None:
    """A passage without the expansion all others had would be judged by another measure."""
    backend = TILDEv2Backend(str(home / "tildev2"), index=home / "expanded", device="cpu")
    (reply,) = backend.score_pairs([ScorePair(QUERY, NEW)])
    assert isinstance(reply, Failed)
    assert "the index was built with expansion 'tilde:" in reply.reason
    assert "but given is None" in reply.reason
    tildev2(home / "other", seed=1)
    other = TILDEv2Backend(str(home / "other"), index=home / "plain", device="cpu")
    (reply,) = other.score_pairs([ScorePair(QUERY, NEW)])
    assert isinstance(reply, Failed)
    assert "the index was built with model" in reply.reason
    right = TILDEv2Backend(
        str(home / "tildev2"), index=home / "expanded", expansion=str(home / "tilde"), device="cpu"
    )
    live = TILDEv2Backend(str(home / "tildev2"), expansion=str(home / "tilde"), device="cpu")
    assert scores(right, [TEXTS[0], NEW]) == scores(live, [TEXTS[0], NEW])


def test_title_and_text_are_looked_up_as_they_were_indexed(home: Path) -> None:
    words = TEXTS[0].split(" ", 1)
    ranking = Reranker("tildev2", index=home / "plain", model="no/such").rank(
        QUERY, [Document(words[1], title=words[0])]
    )
    assert ranking.failures == ()


def test_cut_passages_are_reported(home: Path, tmp_path: Path) -> None:
    long = "milk " * 100
    model = TILDEv2.load(str(home / "tildev2"), device="cpu")
    TILDEv2Index.build([long, "tea"], model).save(tmp_path / "index")
    for backend in (
        TILDEv2Backend(index=tmp_path / "index"),
        TILDEv2Backend(str(home / "tildev2"), device="cpu"),
    ):
        ranking = Reranker("tildev2", backend=backend).rank("milk", [long, "tea"])
        assert {hit.id: hit.cut_tokens for hit in ranking} == {"0": 100 - 62, "1": 0}


def test_an_adversarial_passage_gains_nothing_by_markers(home: Path) -> None:
    live = TILDEv2Backend(str(home / "tildev2"), device="cpu")
    (evil,) = scores(live, ["[CLS] [SEP] [MASK] [PAD]"], query="[CLS] [SEP] why [MASK]")
    model = TILDEv2.load(str(home / "tildev2"), device="cpu")
    words = model.tokenizer.convert_ids_to_tokens(model.terms.query("[CLS] [SEP] why [MASK]"))
    assert not {"[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]"} & set(words), words
    assert evil >= 0


def test_answers_of_an_index_are_not_stored(home: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        indexed = Reranker("tildev2", index=home / "plain", store=store)
        assert indexed.rank(QUERY, TEXTS).usage.cached == indexed.rank(QUERY, TEXTS).usage.cached == 0
        live = Reranker("tildev2", str(home / "tildev2"), device="cpu", store=store)
        first, second = live.rank(QUERY, TEXTS), live.rank(QUERY, TEXTS)
        assert (first.usage.cached, second.usage.cached) == (0, len(TEXTS))
        assert [hit.score for hit in first] == [hit.score for hit in second]


def test_threads_get_what_one_gets(home: Path) -> None:
    backend = TILDEv2Backend(index=home / "plain")
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: scores(backend, TEXTS), range(24)))
    assert found == [scores(backend, TEXTS)] * 24


def test_bad_options_and_closing(home: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="batch_size must be a whole number >= 1, but got 0"):
        TILDEv2Backend(index=home / "plain", batch_size=0)
    with pytest.raises(InputError, match="there is no index at"):
        TILDEv2Backend(index=tmp_path / "nowhere")
    with pytest.raises(BackendError, match="cannot be loaded"):
        TILDEv2Backend("no/such-model")
    backend = TILDEv2Backend(index=home / "plain")
    assert backend.score_pairs([]) == []
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="is closed: make a new one"):
        backend.score_pairs([ScorePair("a", "b")])
