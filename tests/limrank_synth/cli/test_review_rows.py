"""`limrank synth review` through the real process: the page's address, the reviewed set, exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from importlib import resources
from pathlib import Path

import pytest
from limrank_command import run_limrank
from reviews import decision
from synth_rows import make_rows

from limrank_plugins.errors import InputError
from limrank_synth.cli.review_rows import guidelines_of, log_beside
from limrank_synth.review.decision_log import DecisionLog
from limrank_synth.run_files import read_rows, write_rows

ROWS = make_rows(130)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_rows(tmp_path / "run" / "rows.jsonl", ROWS)
    return tmp_path / "run"


def review(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = run_limrank(["synth", "review", *arguments], cwd=Path.cwd(), env=_ENVIRONMENT)
    assert done.returncode == code, done.stderr + done.stdout
    return done


_ENVIRONMENT = {**os.environ, "COLUMNS": "200"}


def test_the_page_is_served_until_ctrl_c(run: Path):
    # A shell's background job ignores SIGINT, and so would what it starts: here Ctrl-C is what it is.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from limrank_plugins.cli import main; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, "synth", "review", str(run), "--no-open", "--reviewer", "ann"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_ENVIRONMENT,
    )
    assert process.stderr is not None
    assert "100 of 130 rows" in process.stderr.readline()
    address = re.search(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", process.stderr.readline())
    assert address is not None
    with urllib.request.urlopen(address[0] + "api/session") as answer:
        session = json.load(answer)
    assert (len(session["rows"]), session["total"], session["reviewer"]) == (100, 130, "ann")
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out == ""
    assert "ended" in error
    assert "Traceback" not in error


def decide(run: Path) -> None:
    log = DecisionLog(run / "review.jsonl")
    for entry in (
        decision(ROWS[0], "ann"),
        decision(ROWS[0], "bob"),
        decision(ROWS[1], "ann", "reject", reason="leak"),
        decision(ROWS[1], "bob", "reject", reason="leak"),
        decision(ROWS[2], "ann", "edit", edits={"passage": "better"}),
        decision(ROWS[2], "bob", "reject", reason="other", note="dull"),
        decision(ROWS[3], "ann"),
        decision(ROWS[4], "ann", hash="0" * 64),
    ):
        log.append(entry)


def test_the_reviewed_set(run: Path, tmp_path: Path):
    decide(run)
    before = (run / "review.jsonl").read_bytes()
    reviewed, rejected = tmp_path / "reviewed.jsonl", tmp_path / "rejected.jsonl"
    done = review(run, "--apply", "-o", reviewed, "--rejected", rejected, "--json")
    assert json.loads(done.stdout) == {
        "rows": 2,
        "rejected": 2,
        "disputed": [ROWS[2].id],
        "unreviewed": 126,
        "stale": 1,
    }
    assert [row.id for row in read_rows(reviewed)] == [ROWS[0].id, ROWS[3].id]
    reasons = [json.loads(line)["reason"] for line in rejected.read_text().splitlines()]
    assert reasons == ["ann: leak; bob: leak", "ann: accepted with edits; bob: dull"]
    review(run, "--apply", "-o", reviewed, "--disagreements", "first", "--unreviewed", "keep")
    rows = {row.id: row for row in read_rows(reviewed)}
    assert rows[ROWS[2].id].passage == "better"
    assert len(rows) == 129
    assert (run / "review.jsonl").read_bytes() == before, "applying writes nothing into the log"


def test_the_summary(run: Path):
    decide(run)
    found = json.loads(review(run, "--summary", "--all", "--json").stdout)
    assert found["reviewers"]["ann"] == {
        "decided": 4,
        "accept": 2,
        "reject": 1,
        "edit": 1,
        "reasons": {"leak": 1},
    }
    (pair,) = found["agreement"]
    # Both keep 1, both reject 1, ann alone keeps 1: p_o = 2/3, p_e = (2 * 1 + 1 * 2) / 9, kappa = 2/5.
    assert (pair["rows"], pair["agreement"]) == (3, pytest.approx(2 / 3))
    assert pair["kappa"] == pytest.approx(0.4)
    assert list(found["disagreements"]) == [ROWS[2].id]
    text = review(run, "--summary", "--all").stdout
    assert "ann: 4 of 130 decided, 2 accepted, 1 rejected, 1 edited (leak 1)" in text
    assert "ann and bob: 3 rows in common, 66.7% agree, Cohen's kappa 0.400" in text
    assert f"disputed: {ROWS[2].id}: ann edit, bob reject" in text


def test_a_summary_of_nothing_says_so(run: Path):
    assert "nothing is decided yet" in review(run, "--summary").stdout


def test_a_torn_log_is_told(run: Path, tmp_path: Path):
    decide(run)
    with (run / "review.jsonl").open("a") as stream:
        stream.write('{"id": "entry-99')
    done = review(run, "--apply", "-o", tmp_path / "reviewed.jsonl")
    assert "line 9 is cut short" in done.stderr
    assert "not counted: 1 decision on rows that have changed" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--apply"], "needs --output"),
        (["--apply", "-o", "new.jsonl", "--disagreements", "vote"], "not by 'vote'"),
        (["--apply", "-o", "new.jsonl", "--unreviewed", "maybe"], "drop or keep"),
        (["--apply", "-o", "rows.jsonl"], "neither is ever overwritten"),
        (["--apply", "-o", "review.jsonl"], "neither is ever overwritten"),
        (["--apply", "-o", "new.jsonl", "--rejected", "review.jsonl"], "neither is ever overwritten"),
        (["--apply", "-o", "new.jsonl", "--rejected", "new.jsonl"], "are both"),
        (["--log", "/dev/null"], "is a pipe or a device"),
        (["--apply", "-o", "new.jsonl", "--log", "no.jsonl"], "there is no log"),
        (["-o", "new.jsonl"], "belong to --apply"),
        (["--sample", "0"], "at least 1 row"),
        (["--log", "log.jsonl.gz"], "compressed log"),
        (["--reviewer", "\n"], "1 to 80"),
        (["--guidelines", "none.toml"], "guidelines cannot be read"),
    ],
)
def test_wrong_input(run: Path, arguments: list[str], message: str):
    decide(run)
    before = {file.name: file.read_bytes() for file in run.iterdir()}
    given = [str(run / word) if word.endswith((".jsonl", ".toml", ".gz")) else word for word in arguments]
    done = review(run, "--no-open", *given, code=2)
    assert message in done.stderr
    assert {file.name: file.read_bytes() for file in run.iterdir()} == before


def test_the_guidelines_are_the_runs_own(run: Path, tmp_path: Path):
    shipped = resources.files("limrank_synth").joinpath("guidelines.toml").read_text("utf-8")
    own = tmp_path / "own.toml"
    own.write_text(shipped.replace("answers the query outright", "says it all"), "utf-8")
    report = run / "report.json"
    source = run / "rows.jsonl"
    assert guidelines_of(source, None).meaning["direct"].startswith("answers the query outright")
    report.write_text(json.dumps({"settings": {"guidelines": None}}))
    assert guidelines_of(source, None).meaning["direct"].startswith("answers the query outright")
    report.write_text(json.dumps({"settings": {"guidelines": str(own)}}))
    assert guidelines_of(source, None).meaning["direct"].startswith("says it all")
    report.write_text("[]")
    with pytest.raises(InputError, match=r"must hold a JSON object.*name the --guidelines"):
        guidelines_of(source, None)
    assert guidelines_of(source, own).meaning["direct"].startswith("says it all")


def test_rows_that_are_none(tmp_path: Path):
    (tmp_path / "empty.jsonl").write_text("")
    assert "holds no rows" in review(tmp_path / "empty.jsonl", code=2).stderr
    assert "there is no file" in review(tmp_path / "nowhere", code=2).stderr
    write_rows(tmp_path / "twice.jsonl", [ROWS[0], ROWS[0]])
    assert "must be unique" in review(tmp_path / "twice.jsonl", "--no-open", code=2).stderr


def test_the_log_lies_beside_the_rows():
    assert log_beside(Path("a/rows.jsonl")) == Path("a/review.jsonl")
    assert log_beside(Path("a/mixed.jsonl.gz")) == Path("a/mixed.review.jsonl")
