"""Long documents judged by their pieces, against the pieces judged one by one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_encoders
from scripts import full_backend, passage_of, unit

import limrank_plugins.pieces
from limrank_plugins import Document, Recipe, Reranker, ScriptedBackend, Store
from limrank_plugins.arguments import takes_chunks
from limrank_plugins.backends.protocols import CountsCuts, ScorePair
from limrank_plugins.backends.scripted import ScriptedFailure
from limrank_plugins.data import as_query
from limrank_plugins.errors import InputError
from limrank_plugins.images import Image
from limrank_plugins.io import ranking_record
from limrank_plugins.ranking_job import rank_all
from limrank_plugins.recipes import load_recipe, own_recipes
from limrank_plugins.wrappers import best_piece

LONG = "Acid curdles milk. Bread rises well. Light bends. Iron rusts in air. Rivers carve."
OTHER = "Tea is hot. Milk is cold today."
SHORT = "Milk and tea."
WORDS = 4


def sentences(text: str, fits: Callable[[str], bool]) -> list[tuple[int, int]]:
    """A splitter that needs no package: whole, or every sentence for itself."""
    if fits(text):
        return [(0, len(text))]
    ends = [match.end() for match in re.finditer(r"\.\s*", text)]
    return list(zip([0, *ends[:-1]], ends, strict=True))


@pytest.fixture(autouse=True)
def _splitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(best_piece, "split", sentences)
    monkeypatch.setattr("limrank_plugins.arguments.check_splitter", lambda: None)


class Counting(ScriptedBackend):
    """Reads four words of a passage."""

    def cuts(self, requests: Sequence[Any]) -> list[int]:
        passages = [r.passage if isinstance(r, ScorePair) else passage_of(r.prompt) for r in requests]
        return [max(0, len(passage.split()) - WORDS) for passage in passages]


def pieces(text: str) -> list[str]:
    return [text[a:b] for a, b in sentences(text, lambda piece: False)]


def scored(score: Callable[[str], float] = unit) -> Counting:
    return Counting(score_pairs=lambda query, passage: score(passage))


def reranker(
    backend: Any, chunks: str | None, recipe: str | Recipe = "cross-encoder", **options: Any
) -> Reranker:
    return Reranker(recipe, backend=backend, chunks=chunks, **options)


@pytest.mark.parametrize("how", ["max", "first", "mean-top-2"])
@pytest.mark.parametrize("how_asked", ["rank", "arank"])
def test_against_the_pieces_one_by_one(how: str, how_asked: str):
    backend = scored()
    rank = getattr(reranker(backend, how), how_asked)("q", [LONG, SHORT, OTHER])
    ranking = asyncio.run(rank) if how_asked == "arank" else rank
    wanted = {}
    for number, text in enumerate([LONG, SHORT, OTHER]):
        each = [unit(piece) for piece in (pieces(text) if text != SHORT else [text])]
        best = sorted(each, reverse=True)
        wanted[str(number)] = {"max": best[0], "first": each[0], "mean-top-2": sum(best[:2]) / len(best[:2])}[
            how
        ]
    assert {hit.id: hit.score for hit in ranking} == pytest.approx(wanted)
    assert ranking.ids == sorted(wanted, key=lambda name: -wanted[name])
    by_id = {hit.id: hit for hit in ranking}
    assert by_id["1"].piece is None
    for number, text in (("0", LONG), ("2", OTHER)):
        piece, split = by_id[number].piece, pieces(text)
        assert piece is not None
        deciding = split[0] if how == "first" else max(split, key=unit)
        assert (piece.text, piece.of) == (deciding, len(split))
        assert text[piece.start : piece.end] == piece.text
    asked = 3 if how == "first" else len(pieces(LONG)) + 1 + len(pieces(OTHER))
    assert (ranking.usage.calls, len(backend.requests)) == (asked, asked)
    # All is read, or what is left out is told.
    assert [hit.cut_tokens > 0 for hit in ranking] == [how == "first" and hit.id != "1" for hit in ranking]


def test_without_the_option_nothing_changes():
    backend, other = scored(), scored()
    plain = Reranker("cross-encoder", backend=backend).rank("q", [LONG, SHORT])
    assert [request.passage for request in backend.requests] == [LONG, SHORT]
    assert all(hit.piece is None for hit in plain)
    assert "piece" not in ranking_record(plain)["hits"][0]
    assert Reranker("cross-encoder", backend=other).identity == reranker(other, None).identity
    assert reranker(other, "max").identity.endswith("|chunks=max")


def test_a_document_of_which_a_piece_failed_has_failed():
    def score(passage: str) -> float:
        if "Bread" in passage or "hot" in passage or "cold" in passage:
            raise ScriptedFailure(f"no answer about {passage.split()[0]}")
        return unit(passage)

    ranking = reranker(scored(score), "max").rank("q", [LONG, OTHER, SHORT])
    assert [(hit.id, hit.score, hit.piece) for hit in ranking][:2] == [("0", None, None), ("1", None, None)]
    assert ranking[2].score == unit(SHORT)
    assert [(f.id, f.reason) for f in ranking.failures] == [
        ("0", "1 of its 5 pieces could not be judged; the first one: no answer about Bread"),
        ("1", "2 of its 2 pieces could not be judged; the first one: no answer about Tea"),
    ]
    assert (ranking.usage.calls, ranking.repairs) == (5 + 2 + 1, 0)
    with pytest.raises(Exception, match="document '1' could not be judged: 1 of its 5 pieces"):
        reranker(scored(score), "max", on_failure="raise").rank("q", [SHORT, LONG])


def test_only_what_failed_is_asked_again(tmp_path: Path):
    """The query of a failed piece is not finished; the same job asks about that piece alone."""
    is_down, asked = [True], []

    def score(passage: str) -> float:
        asked.append(passage)
        if is_down[0] and "Bread" in passage:
            raise ScriptedFailure("boom")
        return unit(passage)

    with Store(tmp_path / "store.sqlite") as store:
        made = reranker(scored(score), "max", store=store)
        job = (made, [as_query("q")], [[Document(LONG, id="d"), Document(SHORT, id="e")]], store)
        (record,), ranked = rank_all(*job)
        assert (ranked, len(record["failures"]), sorted(asked)) == (1, 1, sorted([*pieces(LONG), SHORT]))
        is_down[0] = False
        asked.clear()
        (record,), ranked = rank_all(*job)
        assert (ranked, record["failures"]) == (1, [])
        assert asked == [piece for piece in pieces(LONG) if "Bread" in piece]
        (piece,) = [hit["piece"] for hit in record["hits"] if hit["id"] == "d"]
        assert piece["text"] == max(pieces(LONG), key=unit)
        assert rank_all(*job)[1] == 0


def test_the_reasoning_is_that_of_the_piece_that_decided():
    backend = Counting(
        generate=lambda prompt: f"thinks of {passage_of(prompt).split()[0]}</think>",
        read_labels=lambda prompt: (6 * unit(passage_of(prompt)), 3.0),
    )
    (hit,) = reranker(backend, "max", "limrank", reasoning="full").rank("q", [LONG])
    best = max(pieces(LONG), key=unit)
    assert hit.piece is not None
    assert hit.piece.text == best
    assert hit.explanation == f"thinks of {best.split()[0]}"


def test_ties_go_to_the_first_piece_and_the_first_document():
    ranking = reranker(scored(lambda passage: 1.0), "max").rank("q", [OTHER, LONG, SHORT])
    assert ranking.ids == ["0", "1", "2"]
    assert [hit.piece.start for hit in ranking if hit.piece] == [0, 0]
    # Saturated probabilities: the logit decides between pieces, too.
    backend = scored(lambda passage: 50.0 + len(passage))
    (hit,) = reranker(backend, "max", "cross-encoder:activation=sigmoid").rank("q", [LONG])
    assert hit.piece is not None
    assert (hit.score, hit.piece.text) == (1.0, max(pieces(LONG), key=len))


def test_titles_stand_before_every_piece_and_images_keep_a_document_whole():
    backend = scored()
    reranker(backend, "max").rank("q", [Document(LONG, title="On")])
    assert [request.passage for request in backend.requests] == [f"On {piece}" for piece in pieces(LONG)]
    long_title = scored()
    reranker(long_title, "max").rank("q", [Document(LONG, title=LONG)])
    assert len(long_title.requests) == 1, "no piece is short enough beside it"
    seeing = scored()
    seeing.shows_images = True
    picture = Document(LONG, images=(Image(b"GIF89a" + b"image"),), captioned=True)
    assert len(reranker(seeing, "max").rank("q", [picture])) == 1


def test_what_stands_around_the_body_stands_around_every_piece():
    text = f"Tea book:\n{LONG}\n(p. 3)"
    document = Document(text, body=(10, 10 + len(LONG)))
    wanted = [f"Tea book:\n{piece}\n(p. 3)" for piece in pieces(LONG)]
    free = full_backend(score_pairs=lambda query, passage: unit(passage))
    (hit,) = reranker(free, "max:4 words").rank("q", [document])
    assert [request.passage for request in free.requests] == wanted
    assert hit.piece is not None
    assert hit.piece.text == text[hit.piece.start : hit.piece.end]
    assert hit.piece.text == pieces(LONG)[wanted.index(max(wanted, key=unit))]
    whole = full_backend(score_pairs=lambda query, passage: unit(passage))
    (hit,) = reranker(whole, "max:99 words").rank("q", [document])
    assert (hit.piece, whole.requests[0].passage) == (None, text)
    with pytest.raises(InputError, match=r"Document.body must lie in 0 to 3, but is \(1, 4\)"):
        Document("Tea", body=(1, 4))


def test_a_length_in_words_for_models_that_count_nothing():
    backend = full_backend(score_pairs=lambda query, passage: unit(passage))
    assert not isinstance(backend, CountsCuts)
    with pytest.raises(InputError, match=r"'scripted' does not know what fits.*as in chunks='max:300 words'"):
        reranker(backend, "max")
    ranking = reranker(backend, "max:4 words").rank("q", [LONG, SHORT])
    assert {hit.id: hit.score for hit in ranking} == {"0": max(map(unit, pieces(LONG))), "1": unit(SHORT)}
    first = reranker(backend, "first:4 words").rank("q", [LONG])[0]
    assert first.cut_tokens == len(LONG.split()) - len(pieces(LONG)[0].split())
    # A template's own limit in words will do, too.
    limited = full_backend(likelihood=lambda prompt, continuation: [-unit(passage_of(prompt))])
    recipe = replace(load_recipe("qlm"), passage_limit="4 words")
    assert reranker(limited, "max", recipe).rank("q", [LONG])[0].cut_tokens == 0
    assert len(limited.requests) == len(pieces(LONG))


@pytest.mark.parametrize("recipe", [recipe.name for recipe in own_recipes()])
def test_recipes_that_judge_documents_together_refuse(recipe: str):
    if takes_chunks(load_recipe(recipe)):
        assert load_recipe(recipe).score_kind != "rank"
        return
    with pytest.raises(
        InputError, match="chunks='max' needs a recipe that scores each document alone, which"
    ):
        Reranker(recipe, "no/such-model", chunks="max")


def test_which_recipes_take_it():
    names = {recipe.name for recipe in own_recipes() if takes_chunks(recipe)}
    assert {"limrank", "rank1", "qwen3-reranker", "cross-encoder", "monot5", "graded", "rerank-api"} <= names
    assert names.isdisjoint({"rankgpt", "setwise", "pairwise", "mini", "first", "cascade", "icr", "refrank"})
    assert takes_chunks(load_recipe("vote:of=limrank"))
    assert not takes_chunks(load_recipe("vote:of=rankgpt"))


def test_recipes_made_of_others():
    backend = scored()
    ranking = reranker(backend, "max", "vote:of=cross-encoder,times=2").rank("q", [LONG, SHORT])
    assert {hit.id: hit.score for hit in ranking} == pytest.approx(
        {"0": max(map(unit, pieces(LONG))), "1": unit(SHORT)}
    )
    assert {hit.id: hit.piece is None for hit in ranking} == {"0": False, "1": True}


def test_stores_and_journals_know_pieces(tmp_path: Path):
    backend = scored()
    with Store(tmp_path / "store.sqlite") as store:
        made = reranker(backend, "max", store=store)
        records, ranked = rank_all(made, [as_query("q")], [[Document(LONG, id="d")]], store)
        assert ranked == 1
        assert records[0]["hits"][0]["piece"]["text"] == max(pieces(LONG), key=unit)
        again, ranked = rank_all(made, [as_query("q")], [[Document(LONG, id="d")]], store)
        assert (again, ranked, len(backend.requests)) == (records, 0, len(pieces(LONG)))
        # Another rule finds the replies, another job.
        other, ranked = rank_all(
            reranker(backend, "mean-top-2", store=store), [as_query("q")], [[Document(LONG, id="d")]], store
        )
        assert (ranked, len(backend.requests)) == (1, len(pieces(LONG)))
        assert other[0]["hits"][0]["score"] < records[0]["hits"][0]["score"]


def test_a_real_language_model(smollm2: str, monkeypatch: pytest.MonkeyPatch):
    """With the splitter itself: pieces end where sentences do, and are as long as 200 tokens allow."""
    pytest.importorskip("semantic_text_splitter", reason="needs the extra chunks")
    monkeypatch.setattr(best_piece, "split", limrank_plugins.pieces.split)
    text = "Bread rises when yeast makes gas, and a warm kitchen hurries it. " * 8
    text += "Acid curdles the milk in tea, because its proteins clump together. " * 4
    whole = Reranker("limrank", smollm2, reasoning="none", max_length=200)
    query = "why does milk curdle in tea"
    assert whole.rank(query, [text])[0].cut_tokens > 0
    (hit,) = reranker(whole.backend, "max", "limrank", reasoning="none").rank(query, [text])
    assert hit.piece is not None
    assert hit.cut_tokens == 0
    assert hit.piece.text.strip().endswith((".", "?"))
    (alone,) = whole.rank(query, [hit.piece.text])
    assert hit.score == pytest.approx(alone.score, abs=1e-5)


def test_a_real_cross_encoder(tmp_path: Path):
    """Its own tokenizer says what fits: 64 tokens of query and passage."""
    folder = str(tiny_encoders.cross_encoder(tmp_path / "ce"))
    text = " ".join(f"{sentence.strip()}." for sentence in tiny_encoders.TEXTS if sentence) * 3
    whole = Reranker("cross-encoder", folder, device="cpu")
    by_piece = Reranker("cross-encoder", backend=whole.backend, chunks="max")
    assert whole.rank(tiny_encoders.QUERY, [text])[0].cut_tokens > 0
    (hit,) = by_piece.rank(tiny_encoders.QUERY, [text])
    each = whole.rank(tiny_encoders.QUERY, pieces(text))
    assert hit.piece is not None
    assert (hit.score, hit.piece.text) == (each[0].score, each[0].document.text)
    assert hit.cut_tokens == sum(one.cut_tokens for one in each)
