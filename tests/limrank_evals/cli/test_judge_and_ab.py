"""`limrank eval judge` and `limrank eval ab` as they are called, against a real server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from servers import Call, LoopbackServer, chat, toy
from typer.testing import CliRunner, Result

from limrank_evals.judgements import about_judgements
from limrank_plugins import samples
from limrank_plugins.cli import build_app

HUMAN = samples.corpus_path().parent / "qrels.txt"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIMRANK_CACHE", str(tmp_path / "cache"))
    for name, step in (("a.run", 1), ("b.run", -1)):
        lines = []
        for query, grades in list(samples.qrels().items())[:6]:
            for rank, document in enumerate(list(grades)[::step], start=1):
                lines.append(f"{query} Q0 {document} {rank} {50 - rank} x\n")
        Path(name).write_text("".join(lines))


def limrank(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(build_app(), ["eval", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def graded(call: Call) -> Any:
    """A judge that knows people's grades, and calls the best ones a 3."""
    passage = call.prompt.split("\nPassage: ")[1].split("\n\nSplit")[0]
    query = call.prompt.split("\nQuery: ")[1].split("\nPassage: ")[0]
    (name,) = (q.id for q in samples.queries() if q.text.strip() == query.strip())
    (document,) = (d.id for d in samples.documents() if f"{d.title} {d.text}".strip() == passage.strip())
    grade = {0: 0, 1: 1, 2: 3}[samples.qrels()[name][document]]
    return {**chat(None, f"##final score: {grade}"), "usage": {"prompt_tokens": 900, "completion_tokens": 1}}


def judge(server: LoopbackServer, *more: object, code: int = 0) -> Result:
    served = [f"base_url={server.url}", "api=chat", "server=generic", "token_price=1", "completion_price=1"]
    given = [word for option in served for word in ("--option", option)]
    few = ("--resamples", 100)
    return limrank("judge", "a.run", "b.run", "-c", "samples", "--model", "m", *few, *given, *more, code=code)


def test_what_asks_nobody_needs_no_key(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    asked = ("judge", "a.run", "-c", "samples", "--model", "gpt-4o-mini")
    assert "calls to gpt-4o-mini, at most $" in limrank(*asked, "--dry-run").stderr
    assert "no API key" in limrank(*asked, code=2).stderr


def test_a_pool_is_judged_compared_and_used():
    with LoopbackServer(graded) as server:
        dry = judge(server, "--dry-run")
        assert server.served == 0
        assert "Given a query and a passage" in dry.stdout
        assert "calls to m, at most $" in dry.stderr
        assert not Path("judge-m").exists()
        done = judge(server, "--human", HUMAN, "--depth", 20, "--human-relevant", 1, "--relevant", 1)
        calls = server.served
    judged = sum(len(grades) for grades in list(samples.qrels().values())[:6])
    assert calls == judged
    assert f"agreement on {judged} pairs, 6 queries" in done.stdout
    assert "kappa, relevant (people ≥ 1, model ≥ 1)  1.0000" in done.stdout
    assert "Kendall's tau" in done.stdout
    report = json.loads(Path("judge-m/report.json").read_text())
    assert report["agreement"]["kappa"]["binary"]["value"] == 1
    assert report["agreement"]["kappa"]["quadratic"]["value"] < 1
    assert report["systems"]["tau"]["value"] == 1
    assert report["cost"] == pytest.approx(calls * 901 / 1e6)
    scored = limrank("run", "a.run", "--qrels", "judge-m/qrels.trec", "-m", "nDCG@10", "--json")
    assert "judge-m/qrels.trec are a model's (m), not people's" in scored.stderr
    assert any("a model's (m)" in warning for warning in json.loads(scored.stdout)["warnings"])
    place = Path("collection")
    place.mkdir()
    for name in ("corpus.jsonl", "queries.jsonl"):
        (place / name).write_bytes((samples.corpus_path().parent / name).read_bytes())
    (place / "qrels.trec").write_bytes(Path("judge-m/qrels.trec").read_bytes())
    evaluated = limrank("folder", place, "--no-rerank", "-m", "nDCG@10", "-o", "own")
    assert "the judgements in collection/qrels.trec are a model's, not people's" in evaluated.stderr
    assert about_judgements("own/test/qrels.trec") == [
        "the judgements in own/test/qrels.trec are a model's, not people's"
    ]


def test_failures_and_budgets_end_with_what_to_do():
    with LoopbackServer(lambda call: chat(None, "No idea.") if call.number == 0 else graded(call)) as server:
        failed = judge(server, "--pairs", 30, code=1)
        assert "the same command asks again" in failed.stderr.lower()
        assert "wrote no grade from 0 to 3: 'No idea.'" in failed.stderr
        shown = json.loads(judge(server, "--pairs", 30, "--json").stdout)
        assert (shown["failures"], shown["judged"]) == ([], shown["pairs"])
        stopped = judge(server, "--max-cost", 0.006, "-o", "poor", code=1)
        assert "it stopped before all was judged" in stopped.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-c", "samples", "--human", "strange"], "judges no passage of the pool"),
        (["-c", "samples", "--depth", "0"], "--depth must be a whole number >= 1"),
        (["-c", "samples", "--max-cost", "-1"], "--max-cost must be a number > 0"),
        (["-c", "samples", "--relevant", "4"], "--relevant must be a whole number"),
        (["-c", "docs.jsonl"], "which queries? name their file with --queries"),
        (["-c", "docs.jsonl", "--queries", "queries.tsv"], "documents that the corpus does not hold"),
        (["-c", "samples", "--queries", "queries.tsv"], "queries that the file of queries does not hold"),
    ],
)
def test_wrong_input_is_refused_before_anybody_is_asked(arguments: list[str], message: str):
    Path("strange").write_text("x 0 y 1\n")
    Path("docs.jsonl").write_text('{"_id": "d", "text": "x"}\n')
    rows = [f"{query.id}\tx\n" for query in samples.queries()]
    Path("queries.tsv").write_text("".join(rows if "docs.jsonl" in arguments else rows[:1]))
    refused = limrank("judge", "a.run", "--model", "m", *arguments, code=2)
    assert message in refused.stderr
    assert not Path("judge-m").exists()


def test_two_configurations_on_ones_own_queries():
    Path("log.tsv").write_text("".join(f"{query.id}\t{query.text}\n" for query in samples.queries()[:4]))
    with LoopbackServer(toy) as server:
        options = ("backend=openai", f"base_url={server.url}", "server=generic", "reasoning=none")
        given = [word for option in options for word in ("--b-option", option)]
        call = [
            "ab",
            "--a",
            "prior",
            "--b",
            "limrank@m",
            *given,
            "-c",
            "samples",
            "--queries",
            "log.tsv",
            "--resamples",
            "100",
        ]
        done = limrank(*call, "--k", 6, "--top", 3, "--worst", 2)
        asked = server.served
        shown = json.loads(limrank(*call, "--k", 6, "--top", 3, "--qrels", HUMAN, "--json").stdout)
        assert server.served == asked > 0
    assert "same order of the first 3" in done.stdout
    assert "queries that move most" in done.stdout
    assert shown["queries"] == 4
    assert shown["measures"]["nDCG@10"]["queries"]["both"] == len(samples.qrels()), "as eval run counts"
    assert (
        "24 queries (q05, q06, q07, q08, q09, …) judged but without results: counted as 0"
        in shown["warnings"]
    )
    for wrong, message in (
        (["--b", "limrank@"], "--b must be written RECIPE or RECIPE@MODEL, but got 'limrank@'"),
        (["--b", "mini", "--persistence", 1], "--persistence must be > 0 and < 1"),
        (["--b", "mini", "-m", "RR"], "name their file with --qrels"),
    ):
        assert message in limrank("ab", "--a", "prior", *wrong, "-c", "samples", code=2).stderr


@pytest.mark.filterwarnings("ignore::limrank_plugins.errors.LimRankWarning")
def test_a_corpus_is_read_as_search_and_eval_folder_read_it():
    """A column with a name of its own, a text judged as a whole file, words in another language."""
    pytest.importorskip("semantic_text_splitter", reason="needs the extra chunks")
    place = Path("Käse & Brot")
    place.mkdir()
    (place / "waren.csv").write_text("id;beschreibung\n1;Das Messer rostet nie\n2;Die Pfanne hält Wärme\n")
    (place / "käse.txt").write_text("Milch gerinnt durch Säure. " * 60)
    (place / "queries.tsv").write_text("q1\twarum gerann die Milch\nq2\trostende Messer\n")
    (place / "qrels.trec").write_text("q1 0 käse.txt 1\nq2 0 1 1\n")
    read = (place, "--field", "beschreibung", "--language", "german")
    few = ("--resamples", 100, "--json")
    evaluated = limrank("folder", *read, "--recipe", "prior", "-o", "own", "--json")
    assert json.loads(evaluated.stdout)["splits"]["test"]["first"]["nDCG@10"] == 1
    with LoopbackServer(toy) as server:
        given = [f"base_url={server.url}", "backend=openai", "server=generic", "reasoning=none"]
        sides = ["--a", "prior", "--b", "limrank@m", *(word for o in given for word in ("--b-option", o))]
        qrels = ("--qrels", place / "qrels.trec")
        found = limrank("ab", *sides, "-c", *read, *qrels, *few).stdout
    assert json.loads(found)["measures"]["nDCG@10"]["first"] == 1
    judging = ("judge", "own", "ab/b.jsonl", "-c", *read[:3], "--model", "m", "--dry-run", "--json")
    assert json.loads(limrank(*judging).stdout)["pairs"] == 2
    otherwise = limrank(*judging[:5], *judging[7:], code=2).stderr
    assert "read with --field 'beschreibung', and here it is read without --field" in " ".join(
        otherwise.split()
    )
    passages = limrank(*judging, "--passages", "60 words", code=2).stderr
    assert "without --passages, and here it is read with --passages '60 words'" in " ".join(passages.split())
