"""Saved indexes: what comes back is what was saved, and half of one or a wrong one is a clear error."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from bm25_reference import PASSAGES, WORDS, corpora, questions
from hypothesis import HealthCheck, given, settings

from limrank_plugins import Document, ScriptedBackend, folders
from limrank_plugins.errors import InputError
from limrank_plugins.retrievers import Retriever, build_retriever, folder, load_retriever, retriever_names
from limrank_plugins.retrievers.bm25s import BM25sRetriever
from limrank_plugins.retrievers.dense import DenseRetriever


def counts(text: str, role: str) -> list[float]:
    words = text.lower().split()
    return [float(words.count(word)) for word in WORDS] + [1.0]


def kinds() -> list[Any]:
    def dense(documents: Any) -> Retriever:
        return build_retriever("dense", documents, backend=ScriptedBackend(encode=counts, identity="counts"))

    options = {"backend": ScriptedBackend(encode=counts, identity="counts")}
    return [
        pytest.param(lambda d: build_retriever("bm25s", d), {}, id="bm25s"),
        pytest.param(lambda d: build_retriever("bm25s", d), {"mmap": True}, id="bm25s-mmap"),
        pytest.param(lambda d: build_retriever("rank_bm25", d), {}, id="rank_bm25"),
        pytest.param(dense, options, id="dense"),
        pytest.param(dense, options | {"mmap": True}, id="dense-mmap"),
    ]


each_kind = pytest.mark.parametrize(("build", "options"), kinds())

DOCUMENTS = [
    Document("Acid curdles milk.", id="a", title="Dairy", meta={"page": 3, "tags": ["x", None]}),
    Document("two\nlines\r\nand\u2028three\u0085four milk", id="b\n"),
    Document("", id=""),
    Document("naïve 😀 café", id="é", meta=MappingProxyType({"k": 1.5})),
    Document("a \ud800 surrogate in milk", id="s", title="\udfff", meta={"raw": "\ud800"}),
    Document("x" * 100_000 + " milk", id="long"),
]
QUERIES = ["milk", "curdled milk dairy", "café", "surrogate", "zebra"]


@each_kind
def test_what_comes_back_is_what_was_saved(
    tmp_path: Path, build: Callable[[Any], Retriever], options: dict[str, Any]
) -> None:
    if build(["x"]).name == "rank_bm25":
        pytest.importorskip("rank_bm25", reason="rank-bm25 is not installed")
    built = build(DOCUMENTS)
    built.save(tmp_path / "index")
    loaded = load_retriever(tmp_path / "index", **options)
    assert type(loaded) is type(built)
    assert len(loaded) == len(built) == 6
    for query in QUERIES:
        here, there = built.search(query), loaded.search(query)
        assert here == there
        assert [dict(hit.meta) for hit in here] == [dict(hit.meta) for hit in there]
    # Saving what was loaded gives the same again.
    loaded.save(tmp_path / "again")
    for query in QUERIES:
        assert load_retriever(tmp_path / "again", **options).search(query) == built.search(query)


@given(corpora, questions)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mapped_memory_and_built_are_one(tmp_path: Path, passages: list[str], query: str) -> None:
    built = BM25sRetriever.build(passages)
    built.save(tmp_path / "index")
    expected = built.search(query)
    assert BM25sRetriever.load(tmp_path / "index").search(query) == expected
    assert BM25sRetriever.load(tmp_path / "index", mmap=True).search(query) == expected


def test_parameters_are_kept(tmp_path: Path) -> None:
    options: dict[str, Any] = {"k1": 1.7, "b": 0.1, "stopwords": ["milk"], "stemmer": None}
    built = BM25sRetriever.build(PASSAGES, token_pattern=r"\w+", **options)
    built.save(tmp_path / "i")
    loaded = BM25sRetriever.load(tmp_path / "i")
    assert (loaded.k1, loaded.b) == (1.7, 0.1)
    assert loaded.analyzer.parameters == built.analyzer.parameters
    assert loaded.search("acid curdles milk in tea") == built.search("acid curdles milk in tea")


def test_equal_corpora_make_equal_files_in_every_process(tmp_path: Path) -> None:
    code = (
        "import sys; from limrank_plugins.retrievers import build_retriever;"
        "build_retriever('bm25s', ['acid milk bread', 'tea acid', 'milk tea']).save(sys.argv[1])"
    )
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", code, str(tmp_path / seed)], check=True, env=environment)
    files = sorted(p.relative_to(tmp_path / "1") for p in (tmp_path / "1").rglob("*") if p.is_file())
    assert len(files) > 5
    for file in files:
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "2" / file).read_bytes(), file


@each_kind
def test_nothing_is_pickled(
    tmp_path: Path, build: Callable[[Any], Retriever], options: dict[str, Any]
) -> None:
    build(PASSAGES).save(tmp_path / "i")
    for file in (tmp_path / "i").rglob("*"):
        if file.is_file():
            assert file.suffix in (".json", ".jsonl", ".npy")
            if file.suffix == ".npy":
                np.load(file, allow_pickle=False)


@each_kind
def test_a_file_that_is_missing_or_cut_is_named(
    tmp_path: Path, build: Callable[[Any], Retriever], options: dict[str, Any]
) -> None:
    built = build(PASSAGES)
    built.save(tmp_path / "whole")
    names = [p.relative_to(tmp_path / "whole") for p in (tmp_path / "whole").rglob("*") if p.is_file()]
    for name in names:
        for number, change in enumerate((lambda f: f.unlink(), lambda f: f.write_bytes(f.read_bytes()[:-3]))):
            place = tmp_path / f"{name.name}-{number}"
            built.save(place)
            change(place / name)
            with pytest.raises(InputError, match="build the index again") as told:
                load_retriever(place, **options)
            assert str(place) in str(told.value)


def without_checksums(place: Path) -> None:
    """As earlier versions wrote an index."""
    body = json.loads((place / folder.MANIFEST).read_bytes())
    del body["checksums"]
    (place / folder.MANIFEST).write_text(json.dumps(body))


@each_kind
def test_one_changed_byte_is_noticed(
    tmp_path: Path, build: Callable[[Any], Retriever], options: dict[str, Any]
) -> None:
    place = tmp_path / "i"
    build(PASSAGES).save(place)
    load_retriever(place, **options)
    parts = [file for file in place.rglob("*") if file.is_file() and file.name != folder.MANIFEST]
    assert len(parts) >= 2
    for file in parts:
        whole = file.read_bytes()
        for position in (0, len(whole) // 2, len(whole) - 1):
            file.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
            with pytest.raises(InputError, match=f"{file.name} is corrupt.*build the index again"):
                load_retriever(place, **options)
        file.write_bytes(whole)
    load_retriever(place, **options)


@each_kind
def test_a_file_of_the_right_size_with_wrong_bytes(
    tmp_path: Path, build: Callable[[Any], Retriever], options: dict[str, Any]
) -> None:
    built = build(PASSAGES)
    built.save(tmp_path / "whole")
    names = [p.relative_to(tmp_path / "whole") for p in (tmp_path / "whole").rglob("*") if p.is_file()]
    for name in names:
        place = tmp_path / name.name
        built.save(place)
        without_checksums(place)
        size = (place / name).stat().st_size
        (place / name).write_bytes(b"\x80" + b"\xff" * (size - 1))
        if name.name == folder.DOCUMENTS and options.get("mmap"):
            loaded = load_retriever(place, **options)  # texts are read when they are asked for
            with pytest.raises(InputError, match=r"documents.jsonl, line \d+ is corrupt"):
                loaded.search("acid")
            continue
        with pytest.raises(InputError, match="build the index again"):
            load_retriever(place, **options)


def test_arrays_that_do_not_fit_each_other(tmp_path: Path) -> None:
    BM25sRetriever.build(PASSAGES).save(tmp_path / "i")
    without_checksums(tmp_path / "i")
    file = tmp_path / "i" / "bm25s" / "indices.csc.index.npy"
    indices = np.load(file)
    indices[0] = 10_000
    np.save(file, indices)
    with pytest.raises(InputError, match=r"indices\.csc\.index\.npy is corrupt .*build the index again"):
        BM25sRetriever.load(tmp_path / "i")
    offsets = tmp_path / "i" / folder.OFFSETS
    wrong = np.load(offsets)
    wrong[1] = wrong[2]
    np.save(offsets, wrong)
    with pytest.raises(InputError, match="offsets must grow"):
        BM25sRetriever.load(tmp_path / "i")


WRONG_NUMBERS = [
    *[("bm25s", "data.csc.index.npy", value) for value in (np.nan, np.inf, -np.inf, -1.0)],
    *[("bm25s", "indices.csc.index.npy", value) for value in (-1, len(PASSAGES))],
    *[("dense", "vectors.npy", value) for value in (np.nan, np.inf, -np.inf)],
]


def with_wrong_number(place: Path, kind: str, name: str, value: float, at: int) -> dict[str, Any]:
    """Saves an index with one number of it replaced, its manifest renewed, and how it is opened."""
    backend = ScriptedBackend(encode=counts, identity="counts")
    options = {"backend": backend} if kind == "dense" else {}
    build_retriever(kind, PASSAGES, **options).save(place)
    without_checksums(place)
    file = next(place.rglob(name))
    array = np.load(file)
    array.flat[at] = value
    np.save(file, array)
    return options


@pytest.mark.parametrize(("kind", "name", "value"), WRONG_NUMBERS)
@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("at", [0, -1])
def test_a_number_that_no_index_holds_is_refused(
    tmp_path: Path, kind: str, name: str, value: float, mmap: bool, at: int
) -> None:
    options = with_wrong_number(tmp_path / "i", kind, name, value, at)
    with pytest.raises(InputError, match=rf"{name} is corrupt \(its numbers must be .*build the index again"):
        load_retriever(tmp_path / "i", mmap=mmap, **options)


@pytest.mark.parametrize(("kind", "name", "value"), WRONG_NUMBERS)
def test_what_stays_on_disk_is_looked_at_when_it_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str, value: float
) -> None:
    options = with_wrong_number(tmp_path / "i", kind, name, value, 0)
    monkeypatch.setattr(folders, "_WHOLE", 0)
    loaded = load_retriever(tmp_path / "i", mmap=True, **options)
    with pytest.raises(InputError, match=rf"{name} is corrupt \(its numbers must be .*build the index again"):
        loaded.search(" ".join(PASSAGES))


def test_a_vector_whose_scores_overflow_is_not_the_indexs_fault(tmp_path: Path) -> None:
    backend = ScriptedBackend(encode=counts, identity="counts")
    dense = DenseRetriever.build(PASSAGES, backend=backend)
    with pytest.raises(InputError, match="too long for scores that are finite"):
        dense.search_vector(np.full(len(WORDS) + 1, 3e38, dtype=np.float32))


@pytest.mark.parametrize("parameter", ["k1", "b"])
@pytest.mark.parametrize("kind", ["bm25s", "rank_bm25"])
def test_a_parameter_that_is_no_number_is_a_damaged_manifest(
    tmp_path: Path, kind: str, parameter: str
) -> None:
    build_retriever(kind, PASSAGES).save(tmp_path / "i")
    file = tmp_path / "i" / folder.MANIFEST
    body = json.loads(file.read_bytes())
    body["parameters"][parameter] = float("nan")
    file.write_text(json.dumps(body))
    with pytest.raises(InputError, match=f"{parameter} must be .*nan.*build the index again"):
        load_retriever(tmp_path / "i")


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no index at"):
        load_retriever(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"it has no manifest\.json"):
        load_retriever(tmp_path)
    BM25sRetriever.build(PASSAGES).save(tmp_path / "i")
    with pytest.raises(InputError, match="kind 'bm25s', not 'dense'"):
        DenseRetriever.load(tmp_path / "i")
    manifest = tmp_path / "i" / folder.MANIFEST
    body = json.loads(manifest.read_bytes())
    for change, message in (
        ({"format": 2}, "format 2, but this limrank reads 1"),
        ({"kind": "other"}, "no retriever 'other'"),
        ({"parameters": {}}, "corrupt"),
        ({"parameters": 3}, "corrupt"),
        ({"count": 99}, "corrupt"),
    ):
        manifest.write_text(json.dumps(body | change))
        with pytest.raises(InputError, match=message):
            load_retriever(tmp_path / "i")


def test_an_index_replaces_an_index_and_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "i"
    place.mkdir()
    BM25sRetriever.build(PASSAGES).save(place)
    old = BM25sRetriever.load(place, mmap=True)
    BM25sRetriever.build(["acid rain"]).save(place)
    assert [hit.text for hit in BM25sRetriever.load(place).search("acid")] == ["acid rain"]
    assert len(old.search("acid")) == 2  # what was open stays as it was
    assert os.listdir(tmp_path) == ["i"]
    other = tmp_path / "mine"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds something that is no index"):
        old.save(other)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="holds something that is no index"):
        old.save(tmp_path / "file")
    assert (other / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("name", ["manifest.json", "documents.jsonl"])
def test_a_damaged_index_can_be_built_again_in_its_place(tmp_path: Path, name: str) -> None:
    index = BM25sRetriever.build(PASSAGES)
    for damage in (lambda f: f.write_bytes(b"{"), lambda f: f.unlink()):
        index.save(tmp_path / "i")
        damage(tmp_path / "i" / name)
        with pytest.raises(InputError, match="build the index again"):
            load_retriever(tmp_path / "i")
        index.save(tmp_path / "i")
        assert len(load_retriever(tmp_path / "i")) == len(PASSAGES)


def test_a_save_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"meta of document 'bad' cannot be saved as JSON"):
        BM25sRetriever.build([Document("a", id="ok"), Document("b", id="bad", meta={"x": object()})]).save(
            tmp_path / "i"
        )
    circular: dict[str, Any] = {}
    circular["self"] = circular
    with pytest.raises(InputError, match="cannot be saved"):
        BM25sRetriever.build([Document("acid", meta=circular)]).save(tmp_path / "i")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_leaves_the_old_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    BM25sRetriever.build(PASSAGES).save(tmp_path / "i")
    index = BM25sRetriever.build(["acid rain"])
    monkeypatch.setattr(index._index, "save", lambda *a, **k: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        index.save(tmp_path / "i")
    assert len(load_retriever(tmp_path / "i")) == len(PASSAGES)
    assert os.listdir(tmp_path) == ["i"]


def test_many_savers_and_readers_of_one_place(tmp_path: Path) -> None:
    place = tmp_path / "i"
    indexes = [BM25sRetriever.build([*PASSAGES, *["acid"] * n]) for n in range(4)]
    indexes[0].save(place)
    errors: list[InputError | OSError] = []

    def save(index: BM25sRetriever) -> None:
        try:
            for _ in range(10):
                index.save(place)
        except (InputError, OSError) as error:
            errors.append(error)

    threads = [threading.Thread(target=save, args=(index,)) for index in indexes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert 6 <= len(load_retriever(place)) <= 9
    assert os.listdir(tmp_path) == ["i"]


@pytest.mark.parametrize(("module", "name"), [(folders, "_checksum"), (folder, "_StoredDocuments")])
def test_an_index_that_is_taken_away_while_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    """Another process replaces it just then: that is said as of one that is missing."""
    BM25sRetriever.build(PASSAGES).save(tmp_path / "i")
    original = getattr(module, name)

    def taken_away(file: Path, *arguments: Any) -> Any:
        (tmp_path / "i").rename(tmp_path / "aside")
        return original(file, *arguments)

    monkeypatch.setattr(module, name, taken_away)
    with pytest.raises(InputError, match="build the index again"):
        load_retriever(tmp_path / "i", mmap=True)


def test_an_index_of_another_encoder(tmp_path: Path) -> None:
    one = ScriptedBackend(encode=counts, identity="one")
    DenseRetriever.build(PASSAGES, backend=one).save(tmp_path / "i")
    with pytest.raises(InputError, match="built with backend 'one': pass backend="):
        load_retriever(tmp_path / "i")
    with pytest.raises(InputError, match="holds vectors of 'one', but the backend is 'two'"):
        load_retriever(tmp_path / "i", backend=ScriptedBackend(encode=counts, identity="two"))
    assert len(load_retriever(tmp_path / "i", backend=one)) == 6


def test_names_and_options() -> None:
    assert retriever_names() == ["bm25s", "rank_bm25", "lucene", "dense", "bm25q"]
    with pytest.raises(InputError, match="no retriever 'tfidf'; there are: bm25s, rank_bm25, lucene, dense"):
        build_retriever("tfidf", PASSAGES)
    with pytest.raises(InputError, match=r"no retriever 'BM25'; did you mean bm25s or bm25q\?"):
        build_retriever("BM25", PASSAGES)
    with pytest.raises(InputError, match=r"retriever 'bm25s' has no such option: .*'colour'"):
        build_retriever("bm25s", PASSAGES, colour="red")
    with pytest.raises(InputError, match="b must be"):
        build_retriever("bm25s", PASSAGES, b="x")


def test_best_is_a_stable_sort() -> None:
    from limrank_plugins.retrievers import best

    chance = random.Random(0)
    for _ in range(300):
        scores = np.array([chance.choice([0.0, 0.5, 0.5, 1.0, 2.0]) for _ in range(chance.randint(1, 30))])
        k = chance.randint(1, 35)
        expected = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:k]
        assert best(scores, k) == [(i, scores[i]) for i in expected]
