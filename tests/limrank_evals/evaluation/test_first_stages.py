"""First stages by description: what is searched, what is read, and what they are called."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import benchmark_folders as made
import pytest
from needs import needs_mini

from limrank_evals import Benchmark, Split
from limrank_evals.evaluation.first_stages import open_first_stage
from limrank_evals.retriever_specs import with_language
from limrank_evals.runs import arranged
from limrank_evals.split_files import split_file
from limrank_plugins import Document, Query
from limrank_plugins.errors import InputError


def part(*, candidates: dict[str, list[str]] | None = None, are_ranked: bool = True, **more: object) -> Split:
    documents = tuple(Document(text, name) for name, text in made.passages())
    queries = tuple(Query(f"what about {word}", name) for name, word in made.WORDS.items())
    qrels = {query: dict.fromkeys(found, 1) for query, found in made.GOOD.items()}
    lists = {"candidates": candidates or {}, "are_ranked": are_ranked}
    benchmark = Benchmark("made", "pony", queries, documents, qrels, **lists)  # type: ignore[arg-type]
    return Split(benchmark, ("nDCG@10",), **more)  # type: ignore[arg-type]


def test_a_retriever_is_named_with_its_numbers_and_what_was_given():
    assert open_first_stage(part()).name == "bm25s (k1=0.9, b=0.4)"
    assert (
        open_first_stage(part(), "bm25s:b=0.75,stemmer=null").name == "bm25s (k1=0.9, b=0.75, stemmer=None)"
    )
    assert open_first_stage(part(), "bm25s:stemmer=german").name == "bm25s (k1=0.9, b=0.4, stemmer=german)"
    assert open_first_stage(part(), "dense").name == "dense (model=mini)"
    fused = open_first_stage(part(), "bm25s:token_pattern=\\w+,k1=1+dense")
    assert fused.name == (
        "bm25s (k1=1, b=0.4, token_pattern=\\w+) + dense (model=mini), fused by reciprocal ranks"
    )
    for spec, words in [
        ("dense:k1=1", "'dense' has no option k1; there are: model, device"),
        ("bm25s+dense:model", "are written name:option=value"),
    ]:
        with pytest.raises(InputError, match=words):
            open_first_stage(part(), spec)


def test_a_language_goes_to_what_finds_words_and_has_none():
    assert with_language("bm25s", "english") == "bm25s"
    assert with_language("bm25s", "de") == "bm25s:language=german"
    assert with_language("bm25s:k1=1+dense:model=x+rank_bm25:language=french", "auto") == (
        "bm25s:k1=1,language=auto+dense:model=x+rank_bm25:language=french"
    )
    name = open_first_stage(part(), with_language("bm25s:b=0.5", "german")).name
    assert name == "bm25s (k1=0.9, b=0.5, language=german)"
    for spec in ("dense", "given", "some/file.run"):
        with pytest.raises(InputError, match=f"first stage '{spec}' has no language to choose"):
            with_language(spec, "german")
    with pytest.raises(InputError, match="'klingon' is not known"):
        with_language("bm25s", "klingon")


def test_several_are_fused():
    one = part()
    both = open_first_stage(one, "bm25s+bm25s:stemmer=null").find(3)
    alone = open_first_stage(one, "bm25s").find(100)
    assert {q: {row.document_id for row in rows} for q, rows in both.items()} == {
        q: {row.document_id for row in rows[:3]} for q, rows in alone.items()
    }
    assert both["1"][0].score == pytest.approx(2 / 61)


@needs_mini
def test_vectors_are_searched_too(tmp_path: Path):
    found = open_first_stage(part(), "dense:batch_size=8").find(12)
    assert [len(rows) for rows in found.values()] == [12, 12, 12]
    assert found["2"][0].document_id.startswith("b")


def test_every_change_of_what_is_searched_is_another_digest():
    one = part()
    documents = (*one.benchmark.documents[:11], Document("gamma passage, changed", "c3"))
    others = [
        open_first_stage(one, "bm25s:k1=1.2"),
        open_first_stage(part(searched=tuple(Query("x", query.id) for query in one.benchmark.queries))),
        open_first_stage(replace(one, benchmark=replace(one.benchmark, documents=documents))),
    ]
    digests = {stage.digest for stage in (open_first_stage(one), *others)}
    assert len(digests) == 4
    assert open_first_stage(part()).digest in digests


def test_given_lists_in_order_are_a_ranking():
    stage = open_first_stage(part(candidates=made.LISTS), "given")
    assert arranged(stage.find(1), "rank") == made.LISTS
    assert (stage.name, stage.scored) == ("given with the benchmark", False)


def test_given_lists_without_order_are_searched_in():
    """Their order says where the answer is; nothing may be taken from it."""
    lists = {"1": ["a2", "b0", "a1", "c3"], "2": ["b0"]}
    one = part(candidates=lists, are_ranked=False)
    stage = open_first_stage(one)
    assert stage.name == "bm25s (k1=0.9, b=0.4), within the given lists"
    found = arranged(stage.find(1), stage.ties)
    assert set(found["1"][:2]) == {"a1", "a2"}, "those about alpha match"
    assert sorted(found["1"]) == sorted(lists["1"]), "and nothing is lost"
    assert found["2"] == ["b0"]
    assert found["3"] == []
    none = {"1": [name for name, _ in made.passages() if name[0] != "a"]}
    rest = arranged(open_first_stage(part(candidates=none, are_ranked=False)).find(1), "rank")["1"]
    assert rest == sorted(none["1"], key=lambda name: hashlib.sha256(name.encode()).digest())
    turned = part(candidates={q: ids[::-1] for q, ids in lists.items()}, are_ranked=False)
    assert arranged(open_first_stage(turned).find(1), "rank") == found
    given = [arranged(open_first_stage(which, "given").find(1), "rank") for which in (one, turned)]
    assert given[0] == given[1]
    assert given[0]["1"] != lists["1"]
    assert open_first_stage(one, "given").name == "given with the benchmark, in no order"


@pytest.mark.parametrize(
    "name",
    ["pony.run", "pony.trec", "run.pony", "pony.txt", "pony/first-stage.run", "pony/score.json", "pony.json"],
)
def test_a_run_is_found_in_a_folder_of_runs(tmp_path: Path, name: str):
    file = tmp_path / "runs" / name
    made.run(file, made.LISTS)
    if name.endswith(".json"):
        file.write_text(json.dumps({q: {d: -p for p, d in enumerate(f)} for q, f in made.LISTS.items()}))
    stage = open_first_stage(part(), str(tmp_path / "runs"))
    assert arranged(stage.find(100), stage.ties) == made.LISTS
    assert (stage.name, stage.ties) == ("runs", "trec_eval")


def test_the_file_of_a_split(tmp_path: Path):
    file = made.run(tmp_path / "x-pony.run", made.LISTS)
    assert split_file(file, "pony", (), "it") == (file, "x-pony.run")
    assert split_file(tmp_path / "x-{split}.run", "pony", (), "it") == (file, "x-*.run")
    assert split_file(tmp_path, "pony", ("x-{split}.run",), "it") == (file, tmp_path.name)
    (tmp_path / "y-pony.run.gz").touch()
    assert split_file(tmp_path, "pony", ("y-{split}.run",), "it").path.name == "y-pony.run.gz"
    for place, words in [
        (tmp_path / "z-{split}.run", "it: there is no file .*z-pony.run"),
        (tmp_path, r"it: .* holds none of a\.pony"),
        (tmp_path / "none", "it: there is no file or folder"),
    ]:
        with pytest.raises(InputError, match=words):
            split_file(place, "pony", ("a.{split}",), "it")
