"""`limrank eval NAME`: options, files, what is refused; and a real process that is killed."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import benchmark_folders as made
import pytest
import typer
from click.testing import Result
from limrank_command import limrank as forked
from servers import INTERRUPTIBLE, Call, LoopbackServer, completion
from typer.testing import CliRunner

from limrank_evals import evaluate
from limrank_evals.cli.benchmark_command import register
from limrank_evals.comparison import Resampling
from limrank_evals.identity import Result as Measured
from limrank_evals.judgements import read_judgements
from limrank_evals.runs import arranged, read_run_lines
from limrank_evals.tasks import load_task, task_names
from limrank_plugins import samples
from limrank_plugins.cli import build_app
from limrank_plugins.store import Store


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    made.beir(tmp_path / "set")
    made.run(tmp_path / "first.run", made.LISTS)
    return tmp_path


def limrank(*arguments: object, code: int = 0) -> Result:
    done = CliRunner().invoke(build_app(), ["eval", *map(str, arguments)])
    assert done.exit_code == code, done.output + repr(done.exception)
    return done


def folder(*more: object, code: int = 0) -> Result:
    return limrank("folder", "set", "--first-stage", "first.run", "--recipe", "prior", *more, code=code)


def files(place: Path) -> dict[str, bytes]:
    """Everything in a folder but the store, which holds times."""
    return {
        file.relative_to(place).as_posix(): file.read_bytes()
        for file in sorted(place.rglob("*"))
        if file.is_file() and not file.name.startswith("store.sqlite")
    }


# ---- what is written -----------------------------------------------------------------------------


def test_a_judged_query_without_text_is_told_and_stops_nothing(place: Path):
    qrels = next(file for file in (place / "set").rglob("*") if "qrels" in file.as_posix() and file.is_file())
    tab = "\t" if qrels.suffix == ".tsv" else " "
    row = ["gone", "a0", "1"] if tab == "\t" else ["gone", "0", "a0", "1"]
    qrels.write_text(qrels.read_text().rstrip("\n") + "\n" + tab.join(row) + "\n")
    done = folder("-o", "out")
    assert "1 judged query is not among the queries, e.g. 'gone'" in done.output
    (split,) = json.loads((place / "out" / "report.json").read_text())["splits"]
    told = {query["id"]: query for query in split["queries"]}
    assert told["gone"]["text"] == ""
    assert all(told[name]["text"] for name in told.keys() - {"gone"})
    assert (place / "out" / "report.html").is_file()
    assert folder("-o", "out").output  # the same command again finds all done


def test_the_word_samples_is_the_sample_collection_unless_a_folder_has_the_name(
    place: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LIMRANK_CACHE", str(place / "cache"))

    said: list[str] = []

    def measured(source: object, *more: object) -> set[str]:
        command = ("folder", source, "--first-stage", "bm25s", "--recipe", "prior", "-o", "out", *more)
        said.append(limrank(*command).output)
        (split,) = json.loads((place / "out" / "report.json").read_text())["splits"]
        return {query["text"] for query in split["queries"]}

    assert measured("samples") == {query.text for query in samples.queries()}
    assert "(MIT, like this package)" in said[0]
    assert "looks further down" not in said[0], "the default measures suit the default depth"
    made.beir(place / "samples")
    assert measured("samples", "--fresh") == {f"what about {word}" for word in made.WORDS.values()}
    told = limrank("folder", "sample", code=2).output
    assert "there is no folder 'sample': give one that holds texts or corpus.jsonl" in told
    assert "or the word samples" in told


def test_a_folder_of_results(place: Path):
    done = folder("-o", "out")
    assert sorted(files(place / "out")) == [
        "report.html",
        "report.json",
        "settings.json",
        "table.md",
        "table.tex",
        "test/first-stage.run",
        "test/qrels.trec",
        "test/rankings.jsonl",
        "test/result.json",
    ]
    split = place / "out" / "test"
    assert arranged(read_run_lines(split / "first-stage.run")) == made.LISTS
    assert arranged(read_run_lines(split / "rankings.jsonl")) == made.LISTS
    assert {q: list(grades) for q, grades in read_judgements(split / "qrels.trec").items()} == made.GOOD
    results = [Measured.from_json(record) for record in json.loads((split / "result.json").read_text())]
    assert [result.system for result in results] == ["first.run", "prior"]
    # Anyone can score what was written.
    scored = json.loads(
        limrank("run", split / "rankings.jsonl", "--qrels", split / "qrels.trec", "--json").stdout
    )
    assert scored["nDCG@10"] == results[1].scores["nDCG@10"]
    assert "won/tied/lost" in done.stdout
    assert "report.html" in done.stderr


def test_again_and_elsewhere_gives_the_same_bytes(place: Path):
    folder("-o", "one")
    before = files(place / "one")
    folder("-o", "one")
    folder("-o", "two")
    folder("-o", "one", "--fresh")
    assert files(place / "one") == before
    assert files(place / "two") == before


def test_machines_get_everything_on_stdout(place: Path):
    found = json.loads(folder("--json", "-m", "nDCG@10", "-o", "out").stdout)
    assert found["schema"] == "limrank eval benchmark 1"
    split = found["splits"]["test"]
    assert list(split["first"]) == ["nDCG@10"]
    assert split["first"] == split["reranked"]
    assert split["comparisons"]["nDCG@10"]["queries"]["tied"] == 3
    assert split["failures"] == 0


def test_without_reranking_no_model_is_made(place: Path):
    done = limrank("folder", "set", "--no-rerank", "--recipe", "no such recipe", "-o", "out", "--json")
    split = json.loads(done.stdout)["splits"]["test"]
    assert split["reranked"] is None
    assert len(split["results"]) == 1
    assert not (place / "out" / "test" / "rankings.jsonl").exists()
    table = limrank("folder", "set", "--no-rerank", "-o", "out").stdout
    assert "nothing reranked" in table


def test_every_way_to_average_is_compared(place: Path):
    made.litsearch(place / "litsearch")
    lists = {f"q{q}": [str(100 + 4 * (int(q) - 1) + place) for place in range(4)] for q in made.WORDS}
    run = made.run(place / "lit.run", {q: found if q == "q3" else found[:1] for q, found in lists.items()})
    done = limrank(
        *("litsearch", "--source", "litsearch", "--first-stage", run, "--not-strict", "--recipe", "prior")
    )
    rows = {" ".join(line.split()) for line in done.stdout.splitlines()}
    assert "R@5 (LitSearch: specific questions) 0.5000 0.5000 +0.0000 +0.0000 … +0.0000 1.0000 0/2/0" in rows
    assert "R@20 (LitSearch: broad questions) 0.0000 0.0000 +0.0000 – 1.0000 0/1/0" in rows
    assert "R@5 (mteb: all questions) 0.3333 0.3333 +0.0000 +0.0000 … +0.0000 1.0000 0/3/0" in rows
    assert any(row.endswith("; 3 judged queries") for row in rows)


def test_ids_with_spaces_are_written_as_json_and_tables(place: Path):
    made.lines(
        place / "odd" / "corpus.jsonl", [{"_id": "a b", "text": "alpha"}, {"_id": "c", "text": "beta"}]
    )
    made.lines(place / "odd" / "queries.jsonl", [{"_id": "1", "text": "alpha"}])
    (place / "odd" / "qrels").mkdir()
    (place / "odd" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n1\ta b\t1\n")
    limrank("folder", "odd", "--recipe", "prior", "-o", "out")
    split = place / "out" / "test"
    assert arranged(read_run_lines(split / "first-stage.jsonl")) == {"1": ["a b"]}
    assert read_judgements(split / "qrels.tsv") == {"1": {"a b": 1}}


def test_every_benchmark_of_text_runs_from_a_folder(place: Path):
    made.bright(place / "bright", "pony", "biology", excluded={"1": ["a0"]})
    made.followir(place / "followir" / "News21")
    made.litsearch(place / "litsearch")
    made.beir(place / "beir" / "scifact")
    for arguments in (
        ["bright", "--source", "bright", "-t", "pony", "-t", "biology", "--queries", "gpt4_reason"],
        ["bright", "--source", "bright", "-t", "biology", "--long", "-o", "long"],
        ["followir", "--source", "followir", "-t", "News21"],
        ["litsearch", "--source", "litsearch", "--averaging", "published"],
        ["beir", "--source", "beir", "-t", "scifact"],
    ):
        done = limrank(*arguments, "--recipe", "prior", "--not-strict", "--json")
        found = json.loads(done.stdout)
        assert all(split["reranked"] for split in found["splits"].values())
        assert Path(found["output"], "report.html").is_file()
    both = json.loads((place / "eval-bright" / "report.json").read_text())
    assert "biology" in json.dumps(both)
    assert {r["identity"]["averaging"] for r in _results(place / "eval-litsearch" / "all")} == {
        "LitSearch: specific questions",
        "LitSearch: broad questions",
    }
    (row,) = [r for r in _results(place / "long" / "biology") if r["system"] == "prior"]
    assert row["identity"]["qrels"] == "long"
    assert row["counts"]["excluded_removed"] == 0, "what counts is what the first stage's list held"


def _results(split: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((split / "result.json").read_text())
    return found


def test_judgements_for_every_task_and_runs_for_every_task(place: Path):
    made.bright(place / "bright", "pony", "biology")
    for task in ("pony", "biology"):
        made.run(place / "runs" / f"{task}.best.run", made.LISTS)
        (place / "fixed").mkdir(exist_ok=True)
        (place / "fixed" / f"{task}.qrels.fixed.txt").write_text("1 0 a0 1\n")
    done = limrank(
        *("bright", "--source", "bright", "-t", "pony", "-t", "biology", "--not-strict", "--no-rerank"),
        *("--qrels", "fixed/{split}.qrels.fixed.txt", "--first-stage", "runs/{split}.best.run", "--json"),
    )
    splits = json.loads(done.stdout)["splits"]
    identities = [splits[task]["results"][0]["identity"] for task in ("pony", "biology")]
    assert {one["qrels"] for one in identities} == {"*.qrels.fixed.txt"}
    assert {one["first_stage"] for one in identities} == {"*.best.run"}
    assert splits["pony"]["first"]["nDCG@10"] == 1.0
    assert any("have no judgements" in warning for warning in splits["pony"]["warnings"])


def test_the_options_reach_the_evaluation(monkeypatch: pytest.MonkeyPatch):
    seen: dict[str, Any] = {}

    def watched(part: Any, reranker: Any, **options: Any) -> Any:
        seen.update(options, reranker=reranker)
        return evaluate(part, reranker, **options)

    monkeypatch.setattr("limrank_evals.benchmark_evaluation.evaluate", watched)
    folder("--seed", "7", "--k", "3", "--batch", "2", "-m", "RR", "-m", "p-MRR", code=2)
    given = {name: seen[name] for name in ("resampling", "depth", "batch", "measures", "instruct")}
    assert given == {
        "resampling": Resampling(seed=7),
        "depth": 3,
        "batch": 2,
        "measures": ("RR", "p-MRR"),
        "instruct": False,
    }
    assert seen["reranker"].settings.seed == 7


@pytest.mark.parametrize(
    ("more", "around"),
    [
        (["--recipe", "limrank"], True),
        (["--recipe", "limrank", "--instruction", "none"], False),
        (["--recipe", "graded"], False),
        (["--recipe", "graded", "--instruction", "benchmark"], True),
        (["--recipe", "limrank", "--instruction", "bright/pony"], True),
        (["--recipe", "limrank", "--instruction", "I ask: {{ query }}"], False),
    ],
)
def test_whose_instructions_are_put_around_the_queries(place: Path, more: list[str], around: bool):
    made.bright(place / "bright", "pony")
    grades = {f" {letter}": -3.0 for letter in "ABCDE"}
    with LoopbackServer(lambda call: completion({" true": -0.7, " false": -2.4} | grades)) as server:
        done = limrank(
            *("bright", "--source", "bright", "-t", "pony", "--not-strict", "--k", 1, "--json", *more),
            *("--model", "m", "--backend", "openai", "--reasoning", "none"),
            *("--option", f"base_url={server.url}", "--option", "api=completions", "--option", "server=vllm"),
        )
        asked = [json.dumps(call.body) for call in server.calls]
    prompts = [prompt for prompt in asked if "about alpha" in prompt]
    assert prompts
    assert all(("programming language Pony" in prompt) == around for prompt in prompts)
    results = json.loads(done.stdout)["splits"]["pony"]["results"]
    (said,) = {result["identity"]["prompts"] for result in results}
    assert ("this package's words" in said) == around
    if "{{" in more[-1]:
        assert all("I ask: what about alpha" in prompt for prompt in prompts)
        assert said.startswith("own text ")


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--k", "3"], "depth is 100 there, 3 here"),
        (["-m", "RR"], 'measures is null there, ["RR"] here'),
        (["--ties", "rank"], 'ties is "trec_eval" there, "rank" here'),
        (["--no-rerank"], 'recipe is "prior" there, null here'),
        (["--instruction", "bright"], "reranker is"),
        (["--seed", "1"], "resampling seed is 0 there, 1 here"),
    ],
)
def test_another_setting_into_the_same_folder_is_named(place: Path, change: list[str], words: str):
    folder("-o", "out")
    before = files(place / "out")
    done = folder("-o", "out", *change, code=2)
    assert words in done.stderr
    assert "--fresh" in done.stderr
    assert files(place / "out") == before
    folder("-o", "out", *change, "--fresh")
    assert files(place / "out") != before


def test_other_texts_runs_or_judgements_are_other_settings(place: Path):
    folder("-o", "out")
    made.run(place / "first.run", made.LISTS | {"1": ["a1", "a0"]})
    assert "texts and first stage is" in folder("-o", "out", code=2).stderr
    folder("-o", "out", "--fresh")
    with (place / "set" / "qrels" / "test.tsv").open("a") as stream:
        stream.write("1\ta3\t1\n")
    assert "test: judgements is" in folder("-o", "out", code=2).stderr
    folder("-o", "out", "--fresh")
    made.lines(place / "set" / "queries.jsonl", [{"_id": "1", "text": "something else"}])
    assert "test: texts and first stage is" in folder("-o", "out", code=2).stderr


def test_splits_can_be_added(place: Path):
    made.bright(place / "bright", "pony", "biology")
    for split in ("pony", "biology"):
        limrank("bright", "--source", "bright", "-t", split, "--recipe", "prior", "--not-strict")
    settings = json.loads((place / "eval-bright" / "settings.json").read_text())
    assert list(settings["splits"]) == ["pony", "biology"]


def test_a_folder_with_other_things_is_left_alone(place: Path):
    (place / "mine").mkdir()
    (place / "mine" / "thesis.txt").write_text("do not touch")
    for more in ([], ["--fresh"]):
        assert "holds other files (thesis.txt)" in folder("-o", "mine", *more, code=2).stderr
    assert os.listdir(place / "mine") == ["thesis.txt"]
    assert "is a file" in folder("-o", "first.run", code=2).stderr
    folder("-o", "out")
    (place / "out" / "thesis.txt").write_text("do not touch")
    (place / "out" / "test" / "notes.txt").write_text("do not touch")
    settings = json.loads((place / "out" / "settings.json").read_text())
    settings["splits"]["../mine"] = {}
    (place / "out" / "settings.json").write_text(json.dumps(settings))
    (place / "mine" / "result.json").write_text("do not touch")
    folder("-o", "out", "--fresh")
    assert (place / "out" / "thesis.txt").exists()
    assert (place / "out" / "test" / "notes.txt").exists()
    assert (place / "mine" / "result.json").exists()
    (place / "out" / "settings.json").write_text("{}")
    assert "its schema must be" in folder("-o", "out", code=2).stderr


def test_a_recipe_that_cannot_be_made_leaves_a_folder_one_can_use(place: Path):
    limrank("folder", "set", "--recipe", "no-such", "-o", "out", code=2)
    folder("-o", "out")


def test_bad_input_is_one_sentence(place: Path):
    made.bright(place / "bright", "pony")
    (place / "empty.run").write_text("")
    (place / "nan.run").write_text("1 Q0 a0 1 nan x\n")
    (place / "twice.run").write_text("1 Q0 a0 1 2 x\n1 Q0 a0 2 1 x\n")
    (place / "short.run").write_text("1 Q0 a0 1 2\n")
    (place / "none").mkdir()
    (place / "asked").mkdir()
    (place / "asked" / "queries.csv").write_text("id,text\nq1,why\n")
    (place / "judged").mkdir()
    (place / "judged" / "qrels.csv").write_text("query-id,corpus-id,score\nq1,d1,1\n")
    for arguments, words in [
        (["folder", "set", "-t", "dev"], "has no split 'dev'; it has test"),
        (["folder", "nowhere"], "there is no folder 'nowhere'"),
        (["folder", "none"], "holds no queries and no judgements: to be measured it needs queries (one of"),
        (["folder", "asked"], "asked holds no judgements: "),
        (
            ["folder", "asked"],
            "qrels.trec, qrels.txt, qrels.tsv, qrels.csv, or qrels/<split>.tsv, qrels/<split>.t",
        ),
        (["folder", "judged"], "judged holds none of queries.jsonl, "),
        (["folder", "set", "-t", "test", "-t", "test"], "named twice"),
        (["folder", "set", "--first-stage", "empty.run"], "is an empty run"),
        (["folder", "set", "--first-stage", "nan.run"], "must be a finite number, but is 'nan'"),
        (["folder", "set", "--first-stage", "twice.run"], "is there twice"),
        (["folder", "set", "--first-stage", "short.run"], "has 6 columns"),
        (["folder", "set", "--first-stage", "none"], "none holds none of test.run"),
        (["folder", "set", "--first-stage", "{split}.run"], "no file 'test.run'"),
        (["folder", "set", "--first-stage", "bm25s:k9=1"], "no option k9; there are: k1, b"),
        (["folder", "set", "--first-stage", "bm25s:k1"], "name:option=value"),
        (["folder", "set", "--first-stage", "first.run", "--ties", "best"], "ties must be one of"),
        (["folder", "set", "--ties", "first-stage"], "ties must be trec_eval or rank, but got"),
        (["folder", "set", "--k", "0"], "depth must be a whole number >= 1, but got 0"),
        (["folder", "set", "-m", "nDCG@ten"], "no measure 'nDCG@ten'"),
        (["bright", "--source", "bright", "-t", "chemistry"], "no split 'chemistry'"),
        (
            ["bright", "--source", "bright", "-t", "pony"],
            "3, but 112 were published; get the whole set, or say strict=False (--not-strict)",
        ),
        (["bright", "--source", "bright", "-t", "leetcode", "--long"], "no long documents"),
        (
            ["bright", "--source", "bright", "-t", "pony", "--not-strict", "--queries", "gpt5"],
            "expected gpt5/pony.jsonl",
        ),
        (["litsearch", "--source", "none", "--averaging", "mean"], "averaging must be one of"),
    ]:
        done = limrank(*arguments, "--recipe", "prior", "-o", "out", code=2)
        assert words in done.stderr, arguments
    folder("-o", "out")  # a mistake that is corrected is not another setting


# ---- help ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", task_names())
def test_help_says_what_a_benchmark_is(name: str):
    text = " ".join(limrank(name, "--help").stdout.split())
    task = load_task(name)
    assert task.title in text
    for option in ("--split", "--first-stage", "--k", "--recipe", "--no-rerank", "--fresh", "--json"):
        assert option in text
    assert f"[default: {task.depth}]" in text
    for option in task.options():
        assert f"--{option.name.replace('_', '-')}" in text


def test_all_are_listed():
    text = " ".join(limrank("--help").stdout.split())
    for name in task_names():
        assert load_task(name).title in text


@pytest.mark.parametrize("name", task_names())
def test_a_command_has_its_benchmarks_own_options_with_their_defaults(name: str):
    task = load_task(name)
    evaluation = typer.Typer()
    register(evaluation)
    command = typer.main.get_command(evaluation).commands[name]
    parameters = {parameter.name: parameter for parameter in command.params}
    assert len(parameters) == len(command.params)
    own = {option.name: option.default for option in task.options()}
    assert list(parameters)[: 1 + len(own)] == ["source", *own]
    for option, default in own.items():
        assert parameters[option].default == default
    assert parameters["k"].default == task.depth
    assert parameters["first_stage"].default == task.first_stage


# ---- killed --------------------------------------------------------------------------------------


class Model:
    """Answers from the passage; the first passages about beta wait until the gate opens."""

    def __init__(self) -> None:
        self.answered: Counter[str] = Counter()
        self.server: LoopbackServer | None = None

    async def __call__(self, call: Call) -> Any:
        if "beta passage" in call.prompt:
            assert self.server is not None
            await asyncio.wait_for(self.server.gate.wait(), 60)
        self.answered[call.prompt] += 1
        good = "good" in call.prompt
        return completion({" true": -0.1, " false": -2.4} if good else {" true": -2.4, " false": -0.1})


def arguments(server: LoopbackServer, output: str) -> list[str]:
    return [
        *("eval", "folder", "set", "--first-stage", "first.run", "-o", output, "--recipe", "limrank"),
        *("--model", "m", "--backend", "openai", "--reasoning", "none"),
        *("--option", f"base_url={server.url}", "--option", "api=completions", "--option", "server=vllm"),
    ]


def process(place: Path, server: LoopbackServer, output: str) -> subprocess.Popen[bytes]:
    program = [sys.executable, "-c", INTERRUPTIBLE, *arguments(server, output)]
    return subprocess.Popen(program, cwd=place, stderr=subprocess.PIPE, stdout=subprocess.PIPE)


def test_an_interrupted_run_says_so_and_keeps_what_is_finished(place: Path):
    model = Model()
    with LoopbackServer(model) as server:
        model.server = server
        stopped = process(place, server, "out")
        server.wait_for(lambda s: any("beta passage" in call.prompt for call in s.calls))
        stopped.send_signal(signal.SIGINT)
        _, told = stopped.communicate(timeout=60)
        server.open()
        first = Counter(model.answered)
        forked(place, *arguments(server, "out"))
    assert stopped.returncode == 130
    assert b"limrank: interrupted; what was finished is kept" in told
    assert b"Traceback" not in told
    alpha = [prompt for prompt in model.answered if "alpha passage" in prompt]
    assert len(alpha) == 4
    assert all(model.answered[prompt] == first[prompt] == 1 for prompt in alpha)
    assert (place / "out" / "report.html").is_file()


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(place: Path):
    model = Model()
    with LoopbackServer(model) as server:
        model.server = server
        killed = process(place, server, "killed")
        server.wait_for(lambda s: any("beta passage" in call.prompt for call in s.calls))
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        with Store(place / "killed" / "store.sqlite") as store:
            (job,) = [row[0] for row in store._db.execute("SELECT DISTINCT job FROM journal")]
            assert len(store.committed(job)) == 1, "the first query, and no more"
        assert not (place / "killed" / "test" / "result.json").exists()
        server.open()
        first = Counter(model.answered)
        for output in ("killed", "whole"):
            forked(place, *arguments(server, output))
            if output == "killed":
                alpha = [prompt for prompt in model.answered if "alpha passage" in prompt]
                assert len(alpha) == 4
                assert all(model.answered[prompt] == first[prompt] == 1 for prompt in alpha)
                assert len(model.answered) == 12
    assert files(place / "killed") == files(place / "whole")
    (after,) = [r for r in _results(place / "whole" / "test") if r["identity"]["recipe"]]
    assert after["scores"]["nDCG@10"] == 1.0
    assert after["identity"]["backend"] == "openai, reasoning none"


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(6))
def test_killed_anywhere_again_and_again(place: Path, seed: int):
    luck, model = random.Random(seed), Model()
    with LoopbackServer(model) as server:
        model.server = server
        server.open()
        whole = process(place, server, "whole")
        whole.communicate()
        assert whole.returncode == 0
        asked = Counter(model.answered)
        model.answered.clear()
        for _ in range(4):
            until = server.served + luck.randrange(1, 5)
            killed = process(place, server, "killed")
            while killed.poll() is None and server.served < until:
                with suppress(subprocess.TimeoutExpired):
                    killed.wait(timeout=0.002)
            killed.send_signal(signal.SIGKILL)
            killed.communicate()
        last = process(place, server, "killed")
        _, errors = last.communicate()
        assert last.returncode == 0, errors.decode()
    assert set(model.answered) == set(asked)
    assert files(place / "killed") == files(place / "whole")
    assert not list(place.glob("killed/**/.*")), "a temporary file was left behind"
