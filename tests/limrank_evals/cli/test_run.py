"""`limrank eval run` and `limrank eval compare`: their numbers, their JSON, what they say of bad files."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from limrank_evals.measures import DEFAULT_MEASURES
from limrank_plugins.cli import build_app


def limrank(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(build_app(), ["eval", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def put(path: Path, *lines: str) -> Path:
    content = "".join(line + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


RUN = [
    "q1 Q0 self 1 9 x",
    "q1 Q0 gold 2 8 x",
    "q1 Q0 other 3 8 x",
    "q2 Q0 other 1 3 x",
    "q9 Q0 gold 1 1 x",
]
QRELS = ["q1 0 gold 1", "q2 0 gold 2", "q3 0 gold 1"]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return put(tmp_path / "a.run", *RUN), put(tmp_path / "qrels", *QRELS)


def test_the_json_maps_measures_to_numbers(files: tuple[Path, Path]):
    run, qrels = files
    done = limrank("run", run, "--qrels", qrels, "-m", "RR", "-m", "nDCG@10", "--json")
    found = json.loads(done.stdout)
    # gold and other are tied in q1, and the last id comes first: gold is third of three.
    assert found["RR"] == pytest.approx((1 / 3 + 0 + 0) / 3)
    assert found["nDCG@10"] == pytest.approx(0.5 / 3)
    low, high = found["intervals"]["RR"]
    assert low <= found["RR"] <= high
    assert found["counts"] == {
        "judged": 3,
        "without_results": 1,
        "without_relevant": 0,
        "without_judgements": 1,
        "excluded_removed": 0,
        "tied": 2,
    }
    assert found["schema"] == "limrank eval run 1"
    settings = found["settings"]
    assert (settings["ties"], settings["depth"], settings["excluded"]) == ("trec_eval", None, None)
    assert len(found["warnings"]) == 3
    tied = (
        "2 documents have the same score as another of the same query; they count in the order of their ids"
    )
    for note in ("q3", "q9", tied):
        assert note in done.stderr
    assert "per_query" not in found
    assert set(found) == {"RR", "nDCG@10", "intervals", "counts", "settings", "warnings", "schema"}


def test_a_run_with_failures_says_so(tmp_path: Path, files: tuple[Path, Path]):
    hits = [{"id": "gold", "failure": "HTTP 500"}, {"id": "other", "score": 0.5}]
    row = {"query_id": "q1", "hits": hits, "failures": [{"id": "gold", "reason": "HTTP 500"}]}
    run = put(tmp_path / "part.jsonl", json.dumps(row))
    assert "1 document of the run could not be judged" in limrank("run", run, "-q", files[1]).stderr
    compared = limrank("compare", run, files[0], "-q", files[1]).stderr
    assert f"{run}: 1 document of the run could not be judged" in compared


def test_by_default_the_usual_measures_and_a_table(files: tuple[Path, Path]):
    run, qrels = files
    assert set(DEFAULT_MEASURES) < set(json.loads(limrank("run", run, "-q", qrels, "--json").stdout))
    shown = limrank("run", run, "-q", qrels, "--per-query", "-m", "RR").stdout
    assert "0.1111" in shown
    assert "over 3 judged queries; ties by trec_eval" in shown
    assert "RR\tq1\t0.3333" in shown
    assert "-0.0000" not in shown, "an interval's end that is a rounding below 0 is 0"


def test_packed_and_shuffled_files_score_the_same(files: tuple[Path, Path], tmp_path: Path):
    run, qrels = files
    lines = RUN.copy()
    random.Random(5).shuffle(lines)
    packed = put(tmp_path / "b.run.gz", *lines)
    table = ["query-id\tcorpus-id\tscore", *("\t".join((q, d, g)) for q, _, d, g in map(str.split, QRELS))]
    as_table = put(tmp_path / "qrels.tsv", *table)
    both = [
        json.loads(limrank("run", *args, "--json", "--per-query").stdout)
        for args in ((run, "-q", qrels), (packed, "-q", as_table))
    ]
    for one in both:
        del one["settings"]
    assert both[0] == both[1]


def test_our_own_jsonl(files: tuple[Path, Path], tmp_path: Path):
    row = {"query_id": "q1", "hits": [{"id": "gold", "score": 0.5}, {"id": "other", "score": 0.5}]}
    run = put(tmp_path / "a.jsonl", json.dumps(row))
    found = json.loads(limrank("run", run, "-q", files[1], "-m", "RR", "--json").stdout)
    assert found["RR"] == pytest.approx(1 / 3)
    assert found["counts"]["tied"] == 0


def test_excluded_documents_go_before_the_cut(files: tuple[Path, Path], tmp_path: Path):
    run, qrels = files
    out = put(tmp_path / "out.txt", "q1 self", "q1 other")
    options = ("-q", qrels, "-m", "RR", "--json")
    found = json.loads(limrank("run", run, *options, "--excluded", out, "--depth", 1).stdout)
    assert found["RR"] == pytest.approx(1 / 3)
    assert found["counts"]["excluded_removed"] == 2
    clean = put(tmp_path / "clean.run", RUN[1], *RUN[3:])
    assert json.loads(limrank("run", clean, *options, "--depth", 1).stdout)["RR"] == found["RR"]
    assert json.loads(limrank("run", run, *options, "--depth", 1).stdout)["RR"] == 0


def test_tie_rules(files: tuple[Path, Path], tmp_path: Path):
    run, qrels = files
    first = put(tmp_path / "first.run", "q1 Q0 gold 1 2 x", "q1 Q0 other 2 1 x")
    rules = (("--ties", "rank"), ("--ties", "first-stage", "--first-stage", first))
    for rule in rules:
        found = json.loads(limrank("run", run, "-q", qrels, "-m", "RR", "--json", *rule).stdout)
        assert found["RR"] == pytest.approx(1 / 6)
        assert found["settings"]["ties"] == rule[1]


def test_p_mrr(tmp_path: Path):
    run = put(
        tmp_path / "a.run",
        "1-og Q0 a 1 2 x",
        "1-og Q0 b 2 1 x",
        "1-changed Q0 b 1 2 x",
        "1-changed Q0 a 2 1 x",
    )
    qrels = put(tmp_path / "qrels", "1-og 0 a 1", "1-changed 0 a 0")
    found = json.loads(limrank("run", run, "-q", qrels, "-m", "p-MRR", "-m", "nDCG@5", "--json").stdout)
    assert found["p-MRR"] == 0.5
    assert found["intervals"]["p-MRR"] is None, "one query says nothing about the spread"
    assert found["counts"]["without_relevant"] == 1


BAD = {
    "line 2: a run line has 6 columns": ["q1 Q0 a 1 1 x", "q1 Q0 b 2"],
    "line 2: document 'a' is there twice": ["q1 Q0 a 1 2 x", "q1 Q0 a 2 1 x"],
    "finite number, but is 'nan'": ["q1 Q0 a 1 nan x"],
    "is an empty run": [],
    "no query of the run is judged": ["other Q0 a 1 1 x"],
}


@pytest.mark.parametrize("message", BAD)
def test_a_bad_run_is_one_line_and_code_2(files: tuple[Path, Path], tmp_path: Path, message: str):
    bad = put(tmp_path / "bad.run", *BAD[message])
    for arguments in (("run", bad), ("compare", files[0], bad)):
        done = limrank(*arguments, "-q", files[1], code=2)
        assert message in done.stderr
        assert not done.stdout


def test_other_bad_input(files: tuple[Path, Path], tmp_path: Path):
    run, qrels = files
    told = {
        "there is no measure 'nDGC@10'": ("-m", "nDGC@10"),
        "ties must be one of": ("--ties", "coin"),
        "needs the first stage's run": ("--ties", "first-stage"),
        "depth must be a whole number >= 1, but got 0": ("--depth", 0),
        "level must be > 0 and < 1, but got 95.0": ("--level", 95),
        "resamples must be a whole number >= 1, but got 0": ("--resamples", 0),
        "there is no file": ("--excluded", tmp_path / "none"),
        "'gold' is relevant for query 'q1' and excluded": ("--excluded", put(tmp_path / "x", "q1 gold")),
    }
    for message, more in told.items():
        assert message in limrank("run", run, "-q", qrels, *more, code=2).stderr
    assert "no judgements" in limrank("run", run, "-q", put(tmp_path / "empty"), code=2).stderr
    assert "there is no file" in limrank("run", run, "-q", tmp_path / "none", code=2).stderr


def test_compare(files: tuple[Path, Path], tmp_path: Path):
    run, qrels = files
    better = put(tmp_path / "b.run", "q1 Q0 gold 1 9 x", "q2 Q0 x 1 1 x", "q3 Q0 gold 1 1 x")
    options = ("-q", qrels, "-m", "RR", "--worst", 1)
    found = json.loads(limrank("compare", run, better, *options, "--json").stdout)
    one = found["measures"]["RR"]
    assert one["difference"] == pytest.approx((2 / 3 + 1) / 3)
    assert one["queries"] == {"both": 3, "won": 2, "tied": 1, "lost": 0, "left_out": 0}
    assert one["regressions"] == []
    assert set(found) == {"measures", "counts", "settings", "warnings", "schema"}
    back = json.loads(limrank("compare", better, run, *options, "--json").stdout)["measures"]["RR"]
    assert back["regressions"] == [{"query": "q3", "first": 1.0, "second": 0.0, "difference": -1.0}]
    assert back["interval"] == pytest.approx([-end for end in reversed(one["interval"])], abs=0.02)
    shown = limrank("compare", better, run, *options)
    assert "-0.5556" in shown.stdout
    assert "0/1/2" in shown.stdout
    assert "RR  -1.0000  (1.0000 → 0.0000)  q3" in shown.stdout
    assert "a.run: 1 query (q3)" in shown.stderr
    assert "--worst must be" in limrank("compare", run, run, "-q", qrels, "--worst", -1, code=2).stderr


def test_scoring_imports_no_model_and_no_network_client(files: tuple[Path, Path]):
    """A process of its own, as users start it: `.[evals]` is enough."""
    program = (
        "import sys, runpy\n"
        "from limrank_plugins.cli import build_app\n"
        "build_app()(sys.argv[1:], standalone_mode=False)\n"
        "heavy = {'torch', 'transformers', 'datasets', 'openai', 'llama_index', 'requests', 'httpx'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    run, qrels = files
    arguments = ["eval", "run", str(run), "--qrels", str(qrels), "--json"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["R@5"] == pytest.approx(1 / 3)
    assert done.stderr.splitlines()[-1] == "[]"


TAGGED = ["q1 Q0 self 1 9 rankgpt", "q1 Q0 gold 2 8 rankgpt-incomplete"]
BY_TAG = " is not finished, as its tag says: documents of it could not be judged"
FAILED = json.dumps(
    {"query_id": "q1", "hits": [{"id": "self"}, {"id": "gold"}], "failures": [{"id": "self", "reason": "no"}]}
)


@pytest.mark.parametrize(("name", "lines"), [("x.run", TAGGED), ("x.jsonl", [FAILED])])
@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("run x", "run"),
        ("run a.run --first-stage x", "first stage's run"),
        ("compare a.run x", "run"),
        ("compare x a.run", "run"),
        ("compare a.run a.run --first-stage x", "first stage's run"),
        ("errors x", "run"),
        ("errors a.run --against x", "other run"),
        ("errors a.run --first-stage x", "first stage's run"),
        ("folder . --no-rerank --first-stage x -o out", "first stage's run"),
    ],
)
def test_a_run_that_is_not_finished_is_never_measured_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, what: str, name: str, lines: list[str]
):
    monkeypatch.chdir(tmp_path)
    put(tmp_path / name, *lines)
    put(tmp_path / "a.run", "q1 Q0 gold 1 2 x", "q1 Q0 self 2 1 x")
    put(tmp_path / "qrels.txt", "q1 0 gold 1", "q1 0 self 0")
    put(tmp_path / "queries.jsonl", '{"_id": "q1", "text": "why"}')
    put(tmp_path / "corpus.jsonl", '{"_id": "gold", "text": "a"}', '{"_id": "self", "text": "b"}')
    words = [name if word == "x" else word for word in command.split()]
    if "folder" not in words:
        words += ["--qrels", "qrels.txt"]
    if "--first-stage" in words and "errors" not in words and "folder" not in words:
        words += ["--ties", "first-stage"]
    told = BY_TAG if lines is TAGGED else ": it is not finished"
    told = f"the {what}{told}" if lines is TAGGED else f"1 document of the {what} could not be judged{told}"
    done = limrank(*words)
    assert done.stderr.count(told) == 1, done.output
    found = json.loads(limrank(*words, "--json").stdout)
    warnings = found["splits"]["test"]["warnings"] if "folder" in words else found["warnings"]
    assert [told in warning for warning in warnings].count(True) == 1


def test_a_run_from_a_pipe_says_so_too(tmp_path: Path):
    put(tmp_path / "qrels.txt", "q1 0 gold 1")
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        stream.write("".join(f"{line}\n" for line in TAGGED))
    try:
        assert BY_TAG in limrank("run", f"/dev/fd/{reading}", "--qrels", tmp_path / "qrels.txt").stderr
    finally:
        os.close(reading)
