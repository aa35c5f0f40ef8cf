"""Files of strangers: bombs, deep JSON, numbers without end, leftovers, links and pipes."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from limrank_evals.ablations.arms import load_ablation
from limrank_evals.guarded_folders import read_settings
from limrank_evals.runs import read_run_lines, run_lines_of
from limrank_pipelines.bulk import missing_partitions
from limrank_pipelines.hybrid import HybridRetriever
from limrank_plugins import Document, files, outputs
from limrank_plugins.backends.local import loading
from limrank_plugins.backends.local.lora import base_of
from limrank_plugins.backends.local.weights import read_config, read_weights
from limrank_plugins.card import read_card
from limrank_plugins.checks import finite_number
from limrank_plugins.cli import build_app
from limrank_plugins.cli.common import parse_options
from limrank_plugins.corpus import corpus_fingerprint, read_corpus
from limrank_plugins.corpus_index import open_index
from limrank_plugins.errors import InputError, LimRankError
from limrank_plugins.files import json_line, read_json, read_lines
from limrank_plugins.folders import whole_folder
from limrank_plugins.images import Image
from limrank_plugins.io import read_documents
from limrank_plugins.outputs import check_apart, check_output, write_whole
from limrank_plugins.prompts import load_template
from limrank_plugins.qrels import read_qrels
from limrank_plugins.retrievers import load_retriever
from limrank_synth.cli.review_rows import guidelines_of
from limrank_synth.run_identity import RunIdentity
from limrank_training.checkpoints import is_whole
from limrank_training.history import read_history
from limrank_training.model_licences import data_licences
from limrank_training.plans import load_plan

PNG = b"\x89PNG\r\n\x1a\n" + b"red"
DEEP = "[" * 100_000 + "]" * 100_000
LONG = "1" * 5000


def dead_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        return process.pid


# ---- what is read -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "read"), [("p.yaml", load_plan), ("a.yaml", load_ablation), ("t.toml", load_template)]
)
@pytest.mark.parametrize(
    ("content", "said"),
    [(b"name = caf\xe9", "is not UTF-8"), (f"name{{}} {LONG}".encode(), "thousands of digits")],
    ids=["latin-1", "digits"],
)
def test_settings_of_strangers_are_one_sentence(
    tmp_path: Path, name: str, read: Callable[[str], object], content: bytes, said: str
):
    file = tmp_path / name
    file.write_bytes(content.replace(b"{}", b":" if name.endswith("yaml") else b" ="))
    with pytest.raises(InputError, match=said):
        read(str(file))


@pytest.mark.parametrize("value", [DEEP, LONG, f"-{LONG}"], ids=["deep", "digits", "negative"])
def test_deep_json_and_numbers_without_end_are_one_sentence(tmp_path: Path, value: str):
    file = tmp_path / "c.jsonl"
    file.write_text(f'{{"_id": "a", "text": "milk", "x": {value}}}\n')
    with pytest.raises(InputError, match=r"c\.jsonl, line 1: not JSON"):
        list(read_documents(file))
    with pytest.raises(InputError, match="not a whole JSON file"):
        read_json(file)


def module_list(folder: Path) -> None:
    loading.refuse_own_modules(str(folder), trust_remote_code=False)


def last_run(folder: Path) -> None:
    missing_partitions(folder, [], "", 1, {})


READERS: dict[str, Callable[[Path], object]] = {
    "limrank.json": lambda folder: read_card(str(folder)),
    "config.json": lambda folder: read_config(str(folder)),
    "model.safetensors.index.json": lambda folder: read_weights(str(folder)),
    "adapter_config.json": base_of,
    "modules.json": module_list,
    "manifest.json": load_retriever,
    "hybrid.json": HybridRetriever.load,
    "bulk.json": last_run,
    "run.json": RunIdentity("run", "seeds", (), {}).claim,
    "report.json": lambda folder: guidelines_of(folder / "rows.jsonl", None),
    "mix.json": lambda folder: data_licences(folder / "rows.jsonl"),
    "settings.json": lambda folder: read_settings(folder, "kind"),
    "history.jsonl": lambda folder: read_history(folder / "history.jsonl"),
    "scores.json": lambda folder: read_run_lines(folder / "scores.json"),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    "text",
    [DEEP, LONG, f'{{"format": {LONG}}}', "{", "7", "\udcff"],
    ids=["deep", "digits", "in it", "half", "7", "bytes"],
)
def test_whatever_a_json_file_holds_is_one_sentence(tmp_path: Path, name: str, text: str):
    (tmp_path / "rows.jsonl").write_text('{"query": "milk"}\n')
    (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape") + b"\n")
    with pytest.raises(LimRankError) as told:
        READERS[name](tmp_path)
    assert name in str(told.value)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 600


def test_a_checkpoint_whose_mark_is_hostile_is_none(tmp_path: Path):
    for text in (DEEP, LONG, "{", "7"):
        (tmp_path / "whole.json").write_text(text)
        assert not is_whole(tmp_path)


def test_an_option_that_is_deep_or_long_is_text():
    for text in (DEEP, LONG):
        assert parse_options([f"a={text}"], "--option") == {"a": text}


@pytest.mark.parametrize(
    "number", [10**400, -(10**400), float("inf"), float("nan")], ids=["long", "less", "inf", "nan"]
)
def test_a_number_that_no_float_holds_is_one_sentence(tmp_path: Path, number: float):
    with pytest.raises(InputError, match="give a finite number"):
        Document("milk", id="d", prior=number)
    with pytest.raises(InputError, match="must be a finite number"):
        finite_number("k1", number)
    with pytest.raises(InputError, match="the score of document 'd' for query 'q'"):
        run_lines_of({"q": {"d": number}})


def test_a_grade_of_thousands_of_digits_is_one_sentence(tmp_path: Path):
    (tmp_path / "q.txt").write_text(f"q 0 d {LONG}\n")
    with pytest.raises(InputError, match=r"q\.txt, line 1: the grade has 5000 digits; 9 are read at most"):
        read_qrels(tmp_path / "q.txt")


@pytest.mark.parametrize("name", ["c.jsonl", "c.jsonl.gz"])
def test_a_line_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 1000)
    content = b'{"_id": "a"}\n' + b"x" * 1000
    pack = gzip.compress if name.endswith(".gz") else bytes
    (tmp_path / name).write_bytes(pack(content))
    assert [number for number, _ in read_lines(tmp_path / name)] == [1, 2]
    (tmp_path / name).write_bytes(pack(content + b"x\n{}"))
    with pytest.raises(InputError, match="line 2 is longer than 1,000 bytes"):
        list(read_lines(tmp_path / name))


def test_a_bomb_is_not_unpacked(tmp_path: Path):
    with gzip.open(tmp_path / "c.jsonl.gz", "wb", compresslevel=1) as stream:
        for _ in range(300):
            stream.write(b" " * (1 << 20))
    with pytest.raises(InputError, match="line 1 is longer than 268,435,456 bytes"):
        list(read_documents(tmp_path / "c.jsonl.gz"))


def test_a_json_file_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "MAX_JSON_BYTES", 20)
    (tmp_path / "a.json").write_text("[1,\n2]")
    assert read_json(tmp_path / "a.json") == [1, 2]
    (tmp_path / "a.json").write_text("[1,\n2,\n" + "3,\n" * 20 + "4]")
    with pytest.raises(InputError, match="more than 20 characters"):
        read_json(tmp_path / "a.json")


def test_a_record_that_is_too_deep_is_one_sentence():
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InputError, match="nested too deeply"):
        json_line({"x": deep})
    while deep:  # taken apart here: its end would be as deep
        deep = deep[0]  # type: ignore[assignment]


# ---- what is written ----------------------------------------------------------------------------


def test_an_output_is_no_input(tmp_path: Path):
    file = tmp_path / "c.jsonl"
    check_output(file, file)
    file.write_text("x")
    (tmp_path / "link").symlink_to(file)
    for output in (file, tmp_path / "link", tmp_path / "." / "c.jsonl"):
        with pytest.raises(InputError, match="is read as an input"):
            check_output(output, None, "not there", file)
    check_output(file, tmp_path)
    check_output(file, tmp_path / "other")


def test_two_outputs_are_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("a.json")
    (tmp_path / "here").symlink_to(tmp_path)
    check_apart(output=Path("a.json"), plot=Path("b.json"), card=None, log=None)
    for other in ("a.json", "./a.json", "link", "here/a.json", f"{tmp_path}/x/../a.json"):
        with pytest.raises(InputError, match="output and plot are both"):
            check_apart(output=Path("a.json"), card=None, plot=Path(other))


def test_an_output_is_no_store_and_no_device(tmp_path: Path):
    store = tmp_path / "replies"
    for name in ("replies", "replies-wal", "./replies-shm"):
        with pytest.raises(InputError, match="keeps replies: choose another file"):
            check_output(tmp_path / name, store=store)
    check_output(tmp_path / "replies.trec", store=store)
    os.mkfifo(tmp_path / "pipe")
    for output in (tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(InputError, match="a pipe or a device, which would be replaced"):
            check_output(output)


@pytest.mark.parametrize("name", ["-q", "-c", "--run"])
def test_a_run_does_not_overwrite_what_it_is_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.setenv("LIMRANK_CACHE", str(tmp_path / "cache"))
    given = {"-q": tmp_path / "q.jsonl", "-c": tmp_path / "c.jsonl", "--run": tmp_path / "r.trec"}
    given["-q"].write_text('{"_id": "q", "text": "milk"}\n')
    given["-c"].write_text('{"_id": "d", "text": "milk"}\n')
    given["--run"].write_text("q Q0 d 1 1.0 t\n")
    before = given[name].read_bytes()
    arguments = [str(part) for pair in given.items() for part in pair]
    result = CliRunner().invoke(
        build_app(), ["rerank", *arguments, "-o", str(given[name]), "--recipe", "prior"]
    )
    assert result.exit_code == 2
    assert "is read as an input" in result.stderr
    assert given[name].read_bytes() == before


# ---- what killed jobs left ----------------------------------------------------------------------


def test_leftovers_of_dead_processes_are_removed(tmp_path: Path):
    dead, parent = dead_process(), os.getppid()
    gone = [f".out.{dead}.0a1b2c3d", f".out.{10**15}.deadbeef", f".out.{os.getpid()}.00000000"]
    for name in gone:
        (tmp_path / name).mkdir()
        (tmp_path / name / "part").write_text("x")
    (tmp_path / f".out.{dead}.ffffffff").write_text("a file")
    gone.append(f".out.{dead}.ffffffff")
    kept = [f".out.{parent}.deadbeef", f".other.{dead}.deadbeef", f".out.{dead}.notes"]
    for name in kept:
        (tmp_path / name).write_text("x")
    write_whole(tmp_path / "out", b"1")
    assert sorted(os.listdir(tmp_path)) == sorted(["out", *kept])


def test_leftovers_beside_a_folder_are_removed(tmp_path: Path):
    (tmp_path / f".index.{dead_process()}.0a1b2c3d").mkdir()
    with whole_folder(tmp_path / "index", ["a"]) as part:
        (part / "a").write_text("1")
        outputs.remove_leftovers(tmp_path / "index")
        assert part.is_dir(), "what is in work stays"
    assert os.listdir(tmp_path) == ["index"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_what_another_machine_writes_stays(tmp_path: Path):
    """Its process has a number that means nothing here; it holds what it writes."""
    part = tmp_path / f".out.{dead_process()}.deadbeef"
    part.mkdir()
    with outputs.held(part):
        write_whole(tmp_path / "out", b"1")
        assert part.is_dir()
    write_whole(tmp_path / "out", b"1")
    assert not part.exists()


# ---- cached indexes -----------------------------------------------------------------------------


def test_a_damaged_cached_index_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LIMRANK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "c.jsonl").write_text('{"_id": "d", "text": "sour milk"}\n')
    corpus = str(tmp_path / "c.jsonl")
    open_index(corpus, "bm25s")
    (folder,) = (tmp_path / "cache" / "indexes").iterdir()
    for name in ("manifest.json", "documents.jsonl", "documents.offsets.npy"):
        (folder / name).write_bytes(b"no such thing")
        with pytest.warns(UserWarning, match="it is built anew"):
            assert [d.id for d in open_index(corpus, "bm25s").search("milk")] == ["d"]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            open_index(corpus, "bm25s")


def test_a_cached_index_with_other_bytes_of_the_same_size_is_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LIMRANK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "c.jsonl").write_text('{"_id": "d", "text": "sour milk"}\n')
    corpus = str(tmp_path / "c.jsonl")
    open_index(corpus, "bm25s")
    (folder,) = (tmp_path / "cache" / "indexes").iterdir()
    file = folder / "documents.jsonl"
    file.write_bytes(file.read_bytes().replace(b"sour", b"sick"))  # JSON as before
    with pytest.warns(UserWarning, match=r"documents\.jsonl is corrupt .*; it is built anew"):
        assert [d.text for d in open_index(corpus, "bm25s").search("milk")] == ["sour milk"]
    assert b"sour" in file.read_bytes()


def test_a_cached_index_with_numbers_that_none_holds_is_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LIMRANK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "c.jsonl").write_text('{"_id": "d", "text": "sour milk"}\n')
    corpus = str(tmp_path / "c.jsonl")
    open_index(corpus, "bm25s")
    (folder,) = (tmp_path / "cache" / "indexes").iterdir()
    body = read_json(folder / "manifest.json")
    del body["checksums"]  # as earlier versions wrote it
    (folder / "manifest.json").write_text(json.dumps(body))
    weights = folder / "bm25s" / "data.csc.index.npy"
    np.save(weights, np.full_like(np.load(weights), np.nan))
    with pytest.warns(UserWarning, match=r"data\.csc\.index\.npy is corrupt .*; it is built anew"):
        assert [d.id for d in open_index(corpus, "bm25s").search("milk")] == ["d"]
    assert np.isfinite(np.load(weights)).all()


def test_equal_bytes_under_another_name_or_kind_are_another_corpus(tmp_path: Path):
    row = '{"_id": "d1", "text": "sour milk"}\n'
    for place, name in (("a", "alpha.txt"), ("b", "beta.txt"), ("c", "alpha.txt"), ("d", "alpha.md")):
        (tmp_path / place).mkdir()
        (tmp_path / place / name).write_text(row)
    a, b, c, d = (corpus_fingerprint(str(tmp_path / place)) for place in "abcd")
    assert a == c == corpus_fingerprint(str(tmp_path / "a" / "alpha.txt")), "moved"
    assert len({a, b, d}) == 3
    (tmp_path / "c.jsonl").write_text(row)
    (tmp_path / "c.txt").write_text(row)
    (tmp_path / "other.jsonl").write_text(row)
    rows = corpus_fingerprint(str(tmp_path / "c.jsonl"))
    assert rows == corpus_fingerprint(str(tmp_path / "other.jsonl")), "the ids are in the rows"
    assert rows != corpus_fingerprint(str(tmp_path / "c.txt"))


# ---- images -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["link.png", "up/p.png", "pipe", "folder", "a\0b", "\ud800", "circle", "x" * 300],
)
def test_an_image_that_is_no_file_of_the_folder_is_one_sentence(tmp_path: Path, name: str):
    outside, inside = tmp_path / "secret", tmp_path / "corpus"
    outside.mkdir()
    inside.mkdir()
    (outside / "p.png").write_bytes(PNG)
    (inside / "link.png").symlink_to("../secret/p.png")
    (inside / "up").symlink_to(outside)
    (inside / "circle").symlink_to("circle")
    (inside / "folder").mkdir()
    os.mkfifo(inside / "pipe")
    (inside / "c.jsonl").write_text(json.dumps({"_id": "a", "text": "milk", "images": [name]}) + "\n")
    with pytest.raises(InputError, match=r"c\.jsonl, line 1: the image"):
        list(read_corpus(str(inside / "c.jsonl")))
    result = CliRunner().invoke(build_app(), ["search", str(inside / "c.jsonl"), "milk", "--recipe", "prior"])
    assert result.exit_code == 2, result.output


def test_a_link_within_the_folder_is_followed(tmp_path: Path):
    (tmp_path / "p.png").write_bytes(PNG)
    (tmp_path / "l.png").symlink_to("p.png")
    (tmp_path / "c.jsonl").write_text('{"_id": "a", "text": "milk", "images": ["l.png"]}\n')
    (document,) = read_corpus(str(tmp_path / "c.jsonl"))
    assert document.images == (Image(PNG),)


def test_an_image_has_a_bound_and_is_a_file(tmp_path: Path):
    (tmp_path / "p.png").write_bytes(PNG)
    assert Image.open(tmp_path / "p.png", max_bytes=len(PNG)) == Image(PNG)
    with pytest.raises(InputError, match=r"p\.png' is larger than 5 bytes"):
        Image.open(tmp_path / "p.png", max_bytes=5)
    os.truncate(tmp_path / "p.png", (64 << 20) + 1)
    with pytest.raises(InputError, match="is larger than 67,108,864 bytes"):
        Image.open(tmp_path / "p.png")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="it is no file"):
        Image.open(tmp_path / "pipe")
    with pytest.raises(InputError, match="cannot be read"):
        Image.open("a\0b")


@pytest.mark.parametrize("line", [f"q1 Q0 d1 1 {LONG} x", f"q1 Q0 d1 {LONG} 1.0 x"])
def test_a_number_of_a_run_that_is_none_is_shown_in_short(tmp_path: Path, line: str):
    file = tmp_path / "run.trec"
    file.write_text(f"{line}\n")
    with pytest.raises(InputError, match=r"must be a finite number, but is '1+…'") as error:
        list(read_run_lines(file))
    assert len(str(error.value)) < 200 + len(str(file))
