"""`limrank bench retrieval` on few passages: each first stage in its own process, and what is missing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from limrank_evals.bench import first_stages, passages, retrieval
from limrank_evals.bench.first_stages import FirstStage, Search
from limrank_evals.cli.bench_retrieval import retrieval as command
from limrank_plugins import samples
from limrank_plugins.data import Document
from limrank_plugins.errors import InputError, MissingExtra


def missing(documents: Iterable[Document], folder: Path) -> Search:
    """A library that is not there."""
    raise MissingExtra("limrank bench retrieval needs nothing_like_it, which is not installed")


def broken(documents: Iterable[Document], folder: Path) -> Search:
    """A library that fails."""
    raise OSError("no space\nleft")


@pytest.fixture(scope="module")
def source() -> list[str]:
    return passages.sentences()


def test_passages_are_put_together_from_sentences_and_differ(source: list[str]):
    made = list(passages.passages(source, 300))
    assert made == list(passages.passages(source, 300))
    assert len({document.text for document in made}) == 300
    known = set(" ".join(source).split())
    assert all(sum(word not in known for word in document.text.split()) == 2 for document in made)


def test_queries_are_words_of_the_passages(source: list[str]):
    text = "\n".join(source)
    made = passages.queries(source, 50)
    assert all(query in text and 4 <= len(query.split()) <= 9 for query in made)


def test_a_corpus_without_sentences_is_refused(tmp_path: Path):
    (tmp_path / "corpus.jsonl").write_text('{"_id": "1", "text": "too short"}\n')
    with pytest.raises(InputError, match="no sentence of 8 to 60 words"):
        passages.sentences(str(tmp_path / "corpus.jsonl"))


@pytest.mark.parametrize("stage", [first_stages.OURS, *first_stages.PEERS], ids=lambda stage: stage.name)
def test_each_first_stage_finds_the_passage_that_a_query_is_from(stage: FirstStage, tmp_path: Path):
    corpus = samples.documents()[:40]
    named = [Document(document.passage, id=str(i)) for i, document in enumerate(corpus)]
    try:
        search = stage.build(named, tmp_path)
    except MissingExtra as error:
        pytest.skip(str(error))
    words = " ".join(corpus[7].text.split()[:12])
    assert search(words)[0][0] == "7"
    assert len(search(words)) <= first_stages.K


def test_peers_that_agree_and_peers_that_cannot_be_measured():
    peers = [
        FirstStage("bm25s", first_stages.bm25s, same_formula=True),
        FirstStage("absent", missing),
        FirstStage("broken", broken),
        FirstStage("small", missing, most=10),
    ]
    ours, bm25s, absent, failed, small = retrieval.measured(60, queries=5, rounds=2, peers=peers)
    assert (ours.name, ours.ratio, ours.not_measured) == ("limrank", None, "")
    assert ours.peak_bytes > 1e6
    assert ours.disk_bytes > 60 * 100
    assert bm25s.same_best == 1.0
    assert bm25s.max_score_difference == pytest.approx(0, abs=1e-5)
    assert bm25s.queries_per_second > 0
    assert absent.not_measured.startswith("not installed: limrank bench retrieval needs nothing_like_it")
    assert failed.not_measured == "broken failed: no space left"
    assert small.not_measured == "more than 10 passages are too many for it"


def test_the_json_and_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    asked: list[tuple[int, str | None, int]] = []
    rows = [
        retrieval.Measured("limrank", 1.0, 2_000_000, 3_000_000, 40.0, None, 0.1),
        retrieval.Measured("bm25s", 2.0, 5_000_000, 0, 10.0, 4.0, 0.2, 1.0, 0.0),
        retrieval.Measured("rank-bm25", not_measured="more than 100,000 passages"),
    ]

    def measured(count: int, corpus: str | None, *, queries: int, rounds: int) -> list[retrieval.Measured]:
        asked.append((count, corpus, rounds))
        return rows

    monkeypatch.setattr(retrieval, "measured", measured)
    command(quick=True, as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert (printed["bench"], printed["passages"]) == ("retrieval", retrieval.QUICK)
    assert printed["ours"]["peak_bytes"] == 2_000_000
    assert [(peer["name"], peer["ratio"]) for peer in printed["peers"]] == [
        ("bm25s", 4.0),
        ("rank-bm25", None),
    ]
    command(passages=70, corpus="samples")
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].split() == ["bm25s", "2.00", "5", "0.0", "10.0", "4.00×", "0.20", "1.000"]
    assert "ours is compared with nothing" not in err
    said = [line for line in err.splitlines() if ": done" in line or "not measured" in line]
    assert said == ["limrank: done", "bm25s: done", "rank-bm25 is not measured: more than 100,000 passages"]
    del rows[1]
    command()
    assert "ours is compared with nothing: no other first stage could be measured" in capsys.readouterr().err
    assert asked == [(retrieval.QUICK, None, 3), (70, "samples", 7), (retrieval.FULL, None, 7)]


def test_every_peer_takes_as_many_passages_as_there_are_by_default():
    assert all(peer.most is None or peer.most >= retrieval.FULL for peer in first_stages.PEERS)
