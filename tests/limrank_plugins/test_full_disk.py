"""A write for which there is no room: the sentence names the file or folder, whoever wrote it."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from limrank_plugins.cli import build_app, reports_errors
from limrank_plugins.data import Document
from limrank_plugins.folders import whole_folder
from limrank_plugins.outputs import naming, unfinished, write_json_lines, write_whole
from limrank_plugins.retrievers.bm25s import BM25sRetriever
from limrank_synth.spool import Spool
from limrank_training import history

resource = pytest.importorskip("resource", reason="this system limits no files")


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The system refuses to write further into any file of this process: a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def an_array(target: Path, *, numbers: int) -> None:
    with whole_folder(target, ["a.npy"]) as part:
        np.save(part / "a.npy", np.arange(numbers))


def an_index(target: Path) -> None:
    BM25sRetriever.build([Document(f"word{i} milk", id=str(i)) for i in range(500)]).save(target)


def weights(target: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    with whole_folder(target, ["w"]) as part:
        safetensors.save_file({"w": np.zeros(10_000)}, part / "w")


def a_log(target: Path) -> None:
    for step in range(1000):
        history.append(target, {"step": step})


WRITERS: dict[str, Callable[[Path], object]] = {
    "whole": lambda target: write_whole(target, b"x" * 100_000),
    "packed": lambda target: write_whole(target.with_name("out.gz"), os.urandom(100_000)),
    "lines": lambda target: write_json_lines(target, ({"n": i} for i in range(10_000))),
    "numpy's, cut short": lambda target: an_array(target, numbers=100_000),
    "numpy's, at the end": lambda target: an_array(target, numbers=600),
    "index": an_index,
    "weights": weights,
    "log": a_log,
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_write_without_room_names_the_target(tmp_path: Path, writer: str):
    with files_of_at_most(4096), pytest.raises(OSError, match=r"\[Errno \d+\]") as found:
        WRITERS[writer](tmp_path / "out")
    assert str(found.value.filename).removesuffix(".gz") == str(tmp_path / "out")
    assert found.value.errno in (errno.EFBIG, errno.ENOSPC)
    assert [name for name in os.listdir(tmp_path) if name.startswith(".")] == []


def test_rows_that_wait_on_disk_name_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with Spool(tmp_path) as spool, unfinished(tmp_path / "out"):
        monkeypatch.setattr("limrank_synth.spool.json_line", lambda row: "x" * 100_000)
        row = type("Row", (), {"as_json": lambda self: {}})()
        with files_of_at_most(4096), pytest.raises(OSError, match="too large") as found:
            spool.add(row)
    assert found.value.filename == f"a temporary file in {tmp_path}"


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (OSError(errno.ENOSPC, "full"), True),
        (OSError(errno.EDQUOT, "full"), True),
        (OSError("12 requested and 3 written"), True),
        (RuntimeError("I/O error: full (os error 28)"), True),
        (OSError(errno.ENOSPC, "full", "another"), False),
        (OSError(errno.EIO, "a bad disk"), False),
        (OSError("no such model on the hub"), False),
        (ConnectionResetError(errno.ECONNRESET, "reset"), False),
        (RuntimeError("no (os error 2)"), False),
        (ValueError("x"), False),
    ],
)
def test_only_a_lack_of_room_is_the_outputs(tmp_path: Path, error: Exception, named: bool):
    with pytest.raises(Exception) as found, naming(tmp_path / "out"):
        raise error
    if named:
        assert isinstance(found.value, OSError)
        assert found.value.filename == str(tmp_path / "out")
    else:
        assert found.value is error


def test_what_stands_beside_an_output_is_told_by_the_outputs_name(tmp_path: Path):
    with pytest.raises(PermissionError) as found, unfinished(tmp_path / "out") as part:
        raise PermissionError(errno.EACCES, "no", str(part / "file"))
    assert found.value.filename == str(tmp_path / "out")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "full", "T/idx"), "T/idx cannot be written: full; make room on its disk"),
        (OSError(errno.ENOSPC, "full"), "what was being written (an output, a store or a pipe) cannot be"),
        (OSError(errno.EFBIG, "large", "T/x"), "T/x cannot be written: large; lift the limit"),
        (FileNotFoundError(errno.ENOENT, "No such file", "T/x"), "[Errno 2] No such file: 'T/x'"),
    ],
)
def test_a_command_says_what_to_do(error: OSError, told: str, capsys: pytest.CaptureFixture[str]):
    def command() -> None:
        raise error

    with pytest.raises(typer.Exit) as ended:
        reports_errors(command)()
    assert ended.value.exit_code == 1
    assert f"limrank: {told}" in capsys.readouterr().err


def test_an_index_that_has_no_room_is_named(tmp_path: Path):
    with files_of_at_most(4096):
        done = CliRunner().invoke(build_app(), ["index", "samples", "-o", str(tmp_path / "idx")])
    assert done.exit_code == 1
    assert re.search(rf"{tmp_path}/idx cannot be written: .*; .*give the same command again", done.output)
    assert os.listdir(tmp_path) == []
