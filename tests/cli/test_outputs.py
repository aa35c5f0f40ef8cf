"""Outputs that cannot be written are one sentence before any work; ids cannot break a file."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from limrank_command import run_limrank

from limrank_plugins.corpus import all_documents, corpus_fingerprint
from limrank_plugins.errors import InputError
from limrank_plugins.files import json_line
from limrank_plugins.io import INCOMPLETE, check_trec_ids, write_run
from limrank_plugins.outputs import check_output, make_folder

QUERIES = '{"_id": "q1", "text": "milk and acid"}\n'
CORPUS = '{"_id": "d1", "text": "Acid curdles milk."}\n'
LONG = "x" * 300
AS_IT_IS_WRITTEN = "x" * 245  # what stands beside it until it is whole has a longer name


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "corpus.jsonl").write_text(CORPUS)
    (tmp_path / "queries.jsonl").write_text(QUERIES)
    (tmp_path / "file").write_text("mine")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def limrank(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    variables = {"LIMRANK_CACHE": str(place / "cache"), "HOME": str(place / "home"), "COLUMNS": "999"}
    return run_limrank(words, cwd=place, env=os.environ | variables)


def rerank(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return limrank(place, "rerank", "--recipe", "prior", "-q", "queries.jsonl", "-c", "corpus.jsonl", *words)


BAD = [
    ("/dev/full/x", "/dev/full is no folder; name another"),
    ("file/x", "file is no folder; name another"),
    ("file/x/y", "file is no folder; name another"),
    (LONG, "name too long; name another"),
    (f"{LONG}/x", "name too long; name another"),
    (AS_IT_IS_WRITTEN, "name too long; name another"),
    (os.devnull, "is a pipe or a device, which would be replaced: name a file"),
    ("-", "is a pipe or a device, which would be replaced: name a file"),
]


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize(("output", "told"), BAD)
def test_what_could_not_be_written_is_told_and_nothing_is_made(
    place: Path, output: str, told: str, folder: bool
):
    before = sorted(os.listdir(place))
    with pytest.raises(InputError, match=f"(?i){told}"):
        check_output(Path(output), folder=folder)
    if folder:
        with pytest.raises(InputError, match=f"(?i){told}"):
            make_folder(Path(output))
    assert sorted(os.listdir(place)) == before


def test_a_file_is_no_folder_and_the_other_way_round(place: Path):
    (place / "folder").mkdir()
    check_output(place / "file")
    check_output(place / "folder", folder=True)
    check_output(place / "not" / "yet" / "there")
    with pytest.raises(InputError, match="is a folder: name a file"):
        check_output(place / "folder")
    with pytest.raises(InputError, match="is a file: name a folder"):
        check_output(place / "file", folder=True)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has no such users")
@pytest.mark.parametrize("name", ["out", "new/out", "there"])
def test_a_folder_that_may_not_be_written_to(place: Path, name: str):
    closed = place / "closed"
    (closed / "there").mkdir(parents=True)
    (closed / "there").chmod(0o555)
    closed.chmod(0o555)
    for above in (place, *place.parents[:3]):
        above.chmod(above.stat().st_mode | 0o011)
    own = os.geteuid()
    if own == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(
            InputError, match=r"cannot be written: the folder .*closed.* may not be written to"
        ):
            check_output(closed / name, folder=name == "there")
    finally:
        os.seteuid(own)
        closed.chmod(0o755)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("-o", "file/x"), "limrank: the output file/x cannot be written: "),
        (("--output=",), "limrank: --output is empty: name a file or a folder"),
        (("-o", ""), "limrank: -o is empty: name a file or a folder"),
        (("-o", "x", "--store", ""), "limrank: --store is empty: name a file or a folder"),
    ],
)
def test_the_command_tells_it_before_it_reads(place: Path, words: tuple[str, ...], told: str):
    done = rerank(place, *words)
    assert done.returncode == 2
    assert done.stderr.startswith(told), done.stderr
    assert done.stderr.count("\n") == 1
    assert not (place / "cache").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("index", "corpus.jsonl"),
        ("bulk", "--jobs", "queries.jsonl", "--recipe", "prior"),
        ("synth", "export", "queries.jsonl", "--format", "trl"),
        ("synth", "mix", "--synthetic", "queries.jsonl"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_so_do_those_that_write_folders(place: Path, words: tuple[str, ...]):
    done = limrank(place, *words, "-o", "file/x")
    assert done.returncode == 2
    assert re.search("the output file/x.* cannot be written: .*file is no folder", done.stderr)
    assert (place / "file").read_text() == "mine"


def test_an_evaluation_into_the_systems_folders_ends_as_other_wrong_input_does(place: Path):
    (place / "qrels.txt").write_text("q1 0 d1 1\n")
    done = limrank(place, "eval", "folder", ".", "-o", "/proc/x")
    assert done.returncode == 2
    assert "the output /proc/x is a pipe or a device" in done.stderr


def test_home_is_meant_where_the_shell_does_not_say_so(place: Path):
    (place / "home").mkdir()
    (place / "queries.jsonl").rename(place / "home" / "queries.jsonl")
    (place / "corpus.jsonl").rename(place / "home" / "corpus.jsonl")
    words = (
        "--recipe=prior",
        "--queries=~/queries.jsonl",
        "--corpus=~/corpus.jsonl",
        "--output=~/new/x.trec",
    )
    done = limrank(place, "rerank", *words)
    assert done.returncode == 0, done.stderr
    assert (place / "home" / "new" / "x.trec").read_text() == "q1 Q0 d1 1 1 prior\n"
    assert not (place / "~").exists()


# ---- ids ----------------------------------------------------------------------------------------

HOSTILE = [
    "q\x1b]0;owned\x07",
    "\x1b[2J",
    "a b",
    "a\tb",
    "a\nb",
    "\x7f",
    "\x9b31m",
    "a\u2028b",
    "",
    " a",
    "\x00",
]


@pytest.mark.parametrize("identifier", HOSTILE)
@pytest.mark.parametrize("what", ["query", "document"])
def test_an_id_that_would_break_a_trec_file_is_named_before_any_work(place: Path, identifier: str, what: str):
    with pytest.raises(InputError, match=f"{what} id .* is empty or holds white space or a control"):
        check_trec_ids([identifier], f"{what} id")
    if identifier not in HOSTILE[:3]:
        return
    name = "queries" if what == "query" else "corpus"
    (place / f"{name}.jsonl").write_text(json.dumps({"_id": identifier, "text": "milk and acid"}) + "\n")
    done = rerank(place, "-o", "x.jsonl.trec")  # whose name only looks like JSON lines
    assert done.returncode == 2
    assert f"{what} id {identifier!r} is empty or holds white space or a control character" in done.stderr
    assert "\x1b" not in done.stderr + done.stdout
    assert not (place / "x.jsonl.trec").exists()
    done = rerank(place, "-o", "x.jsonl")
    assert done.returncode == 0, done.stderr
    row = (place / "x.jsonl").read_text()
    assert "\x1b" not in row
    record = json.loads(row)
    assert identifier == (record["query_id"] if what == "query" else record["hits"][0]["id"])


@pytest.mark.parametrize("output", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/proc/x"])
def test_what_belongs_to_the_system_is_not_replaced(place: Path, output: str):
    """/dev/stdout leads to a file here: a run in its place would be the end of /dev/stdout."""
    before = Path("/dev/stdout").is_symlink()
    with (place / "out.txt").open("w") as out:
        words = ["rerank", "-q", "queries.jsonl", "-c", "corpus.jsonl", "--recipe", "prior", "-o", output]
        done = subprocess.run(
            [sys.executable, "-m", "limrank_plugins", *words],
            cwd=place,
            env=os.environ | {"LIMRANK_CACHE": str(place / "cache"), "COLUMNS": "999"},
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert f"the output {output} is a pipe or a device" in done.stderr
    assert Path("/dev/stdout").is_symlink() == before


def test_a_link_to_no_folder_yet_leads_to_the_one_that_is_made(place: Path):
    (place / "link").symlink_to("results")
    make_folder(place / "link")
    assert (place / "results").is_dir()
    assert (place / "link").is_symlink()


def test_nothing_that_is_written_replaces_a_pipe_or_a_device(place: Path):
    os.mkfifo(place / "pipe")
    (place / "link").symlink_to("pipe")
    for output in (place / "pipe", place / "link", Path(os.devnull), Path("/dev/fd/1"), Path("/dev/new")):
        with pytest.raises(InputError, match="is a pipe or a device, which would be replaced: name a file"):
            write_run(output, [])
    assert (place / "pipe").is_fifo()
    assert Path(os.devnull).is_char_device()
    assert not Path("/dev/new").exists()


def test_a_link_leads_to_the_file_that_is_written(place: Path):
    (place / "link.run").symlink_to("file")
    (place / "new.run").symlink_to("not-there-yet")
    for name in ("link.run", "new.run"):
        write_run(place / name, [{"query_id": "q", "hits": [{"id": "d"}]}], tag="x")
        assert (place / name).is_symlink()
    assert (place / "file").read_text() == (place / "not-there-yet").read_text() == "q Q0 d 1 1 x\n"


def test_an_unfinished_run_is_not_measured_without_a_word(place: Path):
    record = {"query_id": "q1", "hits": [{"id": "d1"}]}
    (place / "qrels.txt").write_text("q1 0 d1 1\n")
    for tag, is_said in (("rankgpt", False), (f"rankgpt{INCOMPLETE}", True)):
        write_run(place / "x.run", [record], tag=tag)
        done = limrank(place, "eval", "run", "x.run", "--qrels", "qrels.txt", "-m", "nDCG@10")
        assert done.returncode == 0, done.stderr
        assert ("the run is not finished" in done.stderr) == is_said


def test_a_tag_cannot_break_it_either(tmp_path: Path):
    record = {"query_id": "q", "hits": [{"id": "d"}]}
    write_run(tmp_path / "x.trec", [record], tag="a\x1b[2J b\tc\nd")
    assert (tmp_path / "x.trec").read_text() == "q Q0 d 1 1 a-[2J-b-c-d\n"


@pytest.mark.parametrize("text", [*HOSTILE, "zero\u200dwidth", "naïve 😀"])
def test_lines_of_json_hold_no_control_characters_and_mean_the_same(text: str):
    line = json_line({"id": text})
    assert json.loads(line) == {"id": text}
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in line.removesuffix("\n"))


# ---- titles -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# Why milk curdles\n\nAcid.", "Why milk curdles"),
        ("Intro.\n\n## Acid ##\nText.\n# Later\n", "Acid"),
        ("```sh\n# a comment\n```\n   ### Real one \n", "Real one"),
        ("~~~\n# never closed\n", "name"),
        ("No heading, #hash and 1 # 2.\n    # code\n", "name"),
        ("#\n# \n#!/bin/sh\n", "name"),
    ],
)
def test_the_first_heading_is_the_title_of_a_markdown_file(tmp_path: Path, text: str, title: str):
    (tmp_path / "name.md").write_text(text)
    (tmp_path / "plain.txt").write_text(text)
    markdown, plain = all_documents(str(tmp_path))
    assert (markdown.id, markdown.title, plain.title) == ("name.md", title, "plain")
    assert markdown.text == plain.text, "the heading stays in it"
    assert corpus_fingerprint(str(tmp_path / "name.md")) != corpus_fingerprint(str(tmp_path / "plain.txt"))


def test_a_file_that_is_no_run_is_not_replaced_by_one(place: Path):
    (place / "thesis.txt").write_text("Chapter 1\n")
    refused = rerank(place, "-o", "thesis.txt")
    assert refused.returncode == 2
    assert "would replace a file that was not written by this command" in refused.stderr
    assert (place / "thesis.txt").read_text() == "Chapter 1\n"
    for name in ("new.trec", "new.jsonl", "new.trec.gz"):
        assert rerank(place, "-o", name).returncode == 0
        assert rerank(place, "-o", name, "--fresh").returncode == 0, "a run is replaced by a run"
    (place / "empty.trec").write_bytes(b"")
    assert rerank(place, "-o", "empty.trec").returncode == 0
