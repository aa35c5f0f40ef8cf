"""`make check-data` says at once what its folder lacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from data_folder import COLLECTIONS, FURTHER, is_left_out, problem_with

ROOT = Path(__file__).parents[1]


def filled(folder: Path, names: tuple[str, ...] = COLLECTIONS) -> Path:
    for name in names:
        (folder / name).mkdir(parents=True)
        for file in ("corpus.jsonl.gz", "queries.jsonl", "qrels.trec"):
            (folder / name / file).touch()
    return folder


def test_a_folder_with_the_collections_will_do(tmp_path: Path):
    assert problem_with(str(filled(tmp_path))) == ""
    (tmp_path / "cacm" / "queries.jsonl").rename(tmp_path / "cacm" / "queries.jsonl.gz")
    assert problem_with(str(tmp_path)) == ""


@pytest.mark.parametrize("file", ["corpus.jsonl.gz", "queries.jsonl", "qrels.trec"])
def test_what_is_missing_is_named_with_what_must_be_there(tmp_path: Path, file: str):
    (filled(tmp_path) / "cacm" / file).unlink()
    assert problem_with(str(tmp_path)).startswith(
        f"the folder {tmp_path} lacks cacm: it must hold cranfield, "
    )
    assert f"lacks {', '.join(COLLECTIONS)}: " in problem_with(str(ROOT))


def test_tests_that_need_more_are_left_out_only_where_there_is_no_more(tmp_path: Path):
    assert is_left_out(str(filled(tmp_path)), ["trec_dl19"])
    assert not is_left_out(str(tmp_path), [])
    (tmp_path / FURTHER[0]).mkdir()
    assert not is_left_out(str(tmp_path), ["trec_dl19"])


def test_make_ends_at_once_with_one_line(tmp_path: Path):
    nowhere = tmp_path / "nowhere"
    # As if nobody else's make had started it, which would have this one say where it works.
    quiet = ["make", "--no-print-directory", "check-data"]
    words = [*quiet, f"DATA={nowhere}", f"PYTHON={sys.executable}", f"VENV={tmp_path / 'v'}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert done.returncode != 0
    assert (len(said), done.stdout) == (1, "")
    assert said[0].startswith(f"check-data: the folder {nowhere} does not exist: ")
    assert not (tmp_path / "v").exists()


def test_pytest_ends_at_once_with_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LIMRANK_DATA", str(tmp_path / "nowhere"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/data/test_collections.py", "-p", "no:cacheprovider"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (4, 2)
    assert f"ERROR: the folder {tmp_path / 'nowhere'} does not exist" in done.stderr


def test_every_further_folder_is_one_that_tests_name():
    text = "".join(
        file.read_text("utf-8")
        for file in (ROOT / "tests").rglob("test_*.py")
        if file.name != Path(__file__).name
    )
    assert [name for name in FURTHER if name not in text] == []
