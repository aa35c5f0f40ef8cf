"""Commands that are given pipes: real processes, with the shell's pipes, named ones and standard input."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no /dev/fd and no named pipes")

CORPUS = (
    '{"_id": "d1", "text": "Acid curdles milk."}\n{"_id": "d2", "text": "Salt water lies under islands."}\n'
)
QUERIES = '{"_id": "q1", "text": "milk and acid"}\n{"_id": "q2", "text": "water under an island"}\n'
TABLE = "q1\tmilk and acid\nq2\twater under an island\n"
EXPECTED = "q1 Q0 d1 1 1 prior\nq2 Q0 d2 1 1 prior\n"
QRELS = "q1 0 d1 1\nq2 0 d2 1\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "corpus.jsonl").write_text(CORPUS)
    (tmp_path / "queries.jsonl").write_text(QUERIES)
    return tmp_path


def start(place: Path, words: Sequence[str | Path], pipes: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "limrank_plugins", *map(str, words)],
        cwd=place,
        env=os.environ | {"LIMRANK_CACHE": str(place / "cache"), "COLUMNS": "300"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=pipes,
    )


def filled(content: bytes) -> int:
    """The reading end of a pipe that holds this, as a shell's `<(command)` makes it."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as stream:
        stream.write(content)
    return reading


def run(
    place: Path, words: Sequence[str | Path], *contents: str | bytes, stdin: bytes = b""
) -> tuple[int, str, str]:
    """Runs a command; each `{}` among its words becomes the name of a pipe that holds the next content."""
    pipes = [filled(content.encode() if isinstance(content, str) else content) for content in contents]
    left = iter(pipes)
    process = start(place, [f"/dev/fd/{next(left)}" if word == "{}" else word for word in words], pipes)
    out, errors = process.communicate(stdin)
    for pipe in pipes:
        os.close(pipe)
    return process.returncode, out.decode(), errors.decode()


MODEL = ("--recipe", "limrank", "--model")
RERANK = ("rerank", "--recipe", "prior", "--k", "1", "-o", "out.trec")


@pytest.mark.parametrize(
    "queries", [QUERIES, TABLE, gzip.compress(QUERIES.encode())], ids=["json", "tsv", "gz"]
)
def test_queries_come_from_a_pipe_or_standard_input(place: Path, queries: str | bytes):
    words = (*RERANK, "-c", "corpus.jsonl", "-q")
    raw = queries.encode() if isinstance(queries, str) else queries
    for name, piped, stdin in (("{}", [queries], b""), ("-", [], raw), ("/dev/stdin", [], raw)):
        code, _, errors = run(place, (*words, name), *piped, stdin=stdin)
        assert code == 0, errors
        assert (place / "out.trec").read_text() == EXPECTED
        (place / "out.trec").unlink()


def test_documents_queries_and_a_run_each_from_a_pipe(place: Path):
    words = (*RERANK, "-c", "{}", "-q", "{}")
    code, _, errors = run(place, words, CORPUS, QUERIES)
    assert code == 0, errors
    assert (place / "out.trec").read_text() == EXPECTED
    assert not list((place / "cache").glob("indexes/*")), (
        "an index of a pipe is of nothing that is still there"
    )
    given = "q1 Q0 d2 1 5 x\nq2 Q0 d1 1 5 x\n"
    as_json = "".join(
        json.dumps({"query_id": query, "hits": [{"id": document}]}) + "\n"
        for query, document in (("q1", "d2"), ("q2", "d1"))
    )
    for content in (given, as_json):
        code, _, errors = run(place, (*words, "--run", "{}"), CORPUS, QUERIES, content)
        assert code == 0, errors
        assert (place / "out.trec").read_text() == "q1 Q0 d2 1 1 prior\nq2 Q0 d1 1 1 prior\n"


def test_a_run_and_its_judgements_are_measured_from_pipes(place: Path):
    code, out, errors = run(place, ("eval", "run", "{}", "--qrels", "{}", "--json"), EXPECTED, QRELS)
    assert code == 0, errors
    assert json.loads(out)["nDCG@10"] == 1.0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("bulk", "--jobs", "{}", "-o", "out"), "the file of jobs '/dev/fd/"),
        (("index", "{}"), "the corpus '/dev/fd/"),
        (("ask", "{}", "why?", "--recipe", "prior", "--retriever", "bm25s+dense"), "the corpus '/dev/fd/"),
        (
            ("rerank", "-q", "queries.jsonl", "-c", "samples", "-o", "out", *MODEL, "{}"),
            "the model '/dev/fd/",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)  # fmt: skip
def test_what_is_read_twice_or_mapped_cannot_be_a_pipe(place: Path, words: tuple[str, ...], told: str):
    code, out, errors = run(place, words, CORPUS)
    assert code == 2, out + errors
    assert told in errors
    assert "which can be read only once: write it to a file" in errors
    assert not (place / "out").exists()


def test_a_named_pipe_that_nobody_writes_to_is_waited_for_aloud(place: Path):
    os.mkfifo(place / "fifo")
    process = start(place, (*RERANK, "-c", "corpus.jsonl", "-q", "fifo"))
    assert process.stderr is not None
    told = b""
    while b"waiting for fifo: nothing has been written to it yet" not in told:
        line = process.stderr.readline()
        assert line, told.decode()
        told += line
    assert process.poll() is None
    (place / "fifo").write_text(QUERIES)  # which begins when it is read
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    assert (place / "out.trec").read_text() == EXPECTED


def test_a_named_pipe_in_a_folder_of_strangers_is_not_opened(place: Path):
    (place / "folder").mkdir()
    os.mkfifo(place / "folder" / "corpus.jsonl")
    os.mkfifo(place / "folder" / "a.txt")
    (place / "folder" / "b.txt").write_text("Acid curdles milk.")
    code, out, errors = run(place, ("search", "folder", "milk", "--recipe", "prior", "--json"))
    assert code == 0, errors
    assert [hit["id"] for hit in json.loads(out)["hits"]] == ["b.txt"]
    (place / "corpus.jsonl").write_text('{"_id": "d1", "text": "milk", "images": ["pipe.png"]}\n')
    os.mkfifo(place / "pipe.png")
    code, _, errors = run(place, ("search", "corpus.jsonl", "milk", "--recipe", "prior"))
    assert code == 2
    assert "the image 'pipe.png' is no file" in errors
    (place / "model").mkdir()
    os.mkfifo(place / "model" / "config.json")
    code, _, errors = run(place, (*RERANK[:1], *RERANK[3:], "-q", "queries.jsonl", "-c", "samples",
                                  "--recipe", "limrank", "--model", "model"))  # fmt: skip
    assert code == 2
    assert "holds no config.json" in errors


def test_standard_input_that_is_read_by_two_is_told(place: Path):
    code, _, errors = run(place, (*RERANK, "-c", "-", "-q", "-"), stdin=QUERIES.encode())
    assert code == 2
    assert "standard input" in errors


def test_a_pipe_that_breaks_off_in_a_line_names_it(place: Path):
    code, _, errors = run(
        place, (*RERANK, "-c", "corpus.jsonl", "-q", "-"), stdin=b'{"_id": "q1", "text": "mi'
    )
    assert code == 2
    assert "-, line 1: not JSON" in errors


def test_many_megabytes_pass_through(place: Path):
    """A pipe holds 64 KiB: the command must read while the other side writes."""
    os.mkfifo(place / "big")
    row = json.dumps({"_id": "", "text": "milk " * 200})
    rows = "".join(row.replace('""', f'"d{i}"', 1) + "\n" for i in range(2000))
    writer = threading.Thread(target=lambda: (place / "big").write_text(rows))
    writer.start()
    code, out, errors = run(place, ("index", "big", "-o", "index", "--json"))
    writer.join()
    assert code == 0, errors
    assert json.loads(out)["documents"] == 2000
