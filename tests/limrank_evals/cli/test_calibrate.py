"""`limrank calibrate`: from files and collections to a file that `Reranker` and the commands apply."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from limrank_command import limrank as installed
from scripts import logits, unit
from typer.testing import CliRunner, Result

from limrank_evals.calibration.judged_scores import divide
from limrank_evals.calibration.score_sources import read_scored
from limrank_plugins import Reranker, ScriptedBackend, ScriptedFailure, load_recipe, recipe_names, samples
from limrank_plugins.arguments import why_not_calibrated
from limrank_plugins.calibration import as_calibration
from limrank_plugins.cli import build_app

pytest.importorskip("sklearn", reason="needs scikit-learn: pip install 'limrank[evals]'")

QUERIES, DEPTH = 30, 20


def limrank(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(build_app(), ["calibrate", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def write(folder: Path, relevant: Callable[[str, str, float], bool], **more: Any) -> tuple[Path, Path]:
    """A run of scores from a script, and judgements of nine documents in ten."""
    run, qrels = folder / "run.jsonl", folder / "qrels.trec"
    rows, lines = [], []
    for query in (f"q{i}" for i in range(QUERIES)):
        hits = [{"id": f"d{i}", "score": unit(f"{query} {i}"), "failure": None} for i in range(DEPTH)]
        rows.append(
            {"query_id": query, "recipe": "limrank", "score_kind": "probability", "comparable": True}
            | {"failures": [], "hits": sorted(hits, key=lambda hit: -hit["score"])}
            | more
        )
        lines += [
            f"{query} 0 {hit['id']} {int(relevant(query, hit['id'], hit['score']))}" for hit in hits[:-2]
        ]
    run.write_text("".join(json.dumps(row) + "\n" for row in rows))
    qrels.write_text("\n".join(lines))
    return run, qrels


def squared(query: str, document: str, score: float) -> bool:
    return random.Random(query + document).random() < score**2


def test_a_run_and_judgements_give_a_calibration(tmp_path: Path):
    run, qrels = write(tmp_path, squared, reranker="f" * 64)
    out = tmp_path / "c.json"
    done = limrank(run, "--qrels", qrels, "-o", out, "--method", "platt", "--precision", 0.6, "--json")
    found = json.loads(done.stdout)
    fitted = as_calibration(out)
    assert (fitted.recipe, fitted.method, fitted.reranker) == ("limrank", "platt", "f" * 64)
    assert fitted.facts == {name: found[name] for name in fitted.facts}
    assert (found["fitted_queries"], found["held_out_queries"]) == (21, 9)
    assert found["fitted_documents"] + found["held_out_documents"] == QUERIES * DEPTH
    assert found["unjudged"] == 2 * QUERIES
    assert found["brier_after"] < found["brier_before"]
    assert found["threshold"]["precision"] >= 0.6
    low, high = found["threshold"]["interval"]
    assert low < found["threshold"]["precision"] < high
    assert "<svg" in (tmp_path / "c.svg").read_text()
    assert set(json.loads(out.read_text())) == {
        "format", "method", "recipe", "score_kind", "model", "reranker", "slope", "intercept", "facts",
    }  # fmt: skip


def test_what_is_held_out_is_not_fitted(tmp_path: Path):
    run, qrels = write(tmp_path, squared)
    held_out = {score.query for score in divide(read_scored(run, qrels, None).judged).held_out}

    def fit(relevant: Callable[[str, str, float], bool]) -> tuple[Any, dict[str, Any]]:
        write(tmp_path, relevant)
        limrank(run, "--qrels", qrels, "-o", tmp_path / "c.json")
        calibration = as_calibration(tmp_path / "c.json")
        return calibration.curve, dict(calibration.facts)

    curve, facts = fit(squared)
    turned = fit(lambda query, *more: squared(query, *more) != (query in held_out))
    assert turned[0] == curve
    assert turned[1]["brier_after"] != facts["brier_after"]
    other = fit(lambda query, *more: squared(query, *more) and query != min(set(_queries()) - held_out))
    assert other[0] != curve


def _queries() -> list[str]:
    return [f"q{i}" for i in range(QUERIES)]


def test_what_people_read(tmp_path: Path):
    run, qrels = write(tmp_path, squared)
    done = limrank(run, "--qrels", qrels, "-o", tmp_path / "c.json", "--precision", 1.0)
    for said in (
        "before", "after", "fitted on 21 queries: 420 documents", "measured on 9 queries: 180 documents",
        "note: 60 documents without a judgement: counted as irrelevant", "regression on 420 documents",
        "does not say which reranker made it", "c.svg",
    ):  # fmt: skip
        assert said in done.output
    assert "threshold" in done.output
    alone = limrank(run, "--qrels", qrels, "-o", tmp_path / "c.json", "--unjudged", "left-out", "--json")
    assert json.loads(alone.stdout)["threshold"] is None
    assert json.loads(alone.stdout)["fitted_documents"] == 21 * (DEPTH - 2)


def test_a_precision_that_nothing_reaches_is_said(tmp_path: Path):
    run, qrels = write(tmp_path, lambda query, document, score: score > 0.5 and unit(document + query) < 0.3)
    done = limrank(run, "--qrels", qrels, "-o", tmp_path / "c.json", "--precision", 0.95)
    assert "no threshold reaches precision 0.95: the most these scores give is" in done.output
    assert "threshold: none reaches precision 0.95" in done.output
    assert (tmp_path / "c.json").exists()


@pytest.mark.parametrize(
    ("more", "arguments", "said"),
    [
        ({}, ["--method", "beta"], "--method must be one of isotonic, platt"),
        ({}, ["--held-out", "0.95"], "--held-out must be a number > 0 and <= 0.9"),
        ({}, ["--held-out", "0.1"], "too few to fit on some and hold out 3"),
        ({}, ["--precision", "90"], "--precision must be a number"),
        ({}, ["--recipe", "rank1"], "is of recipe 'limrank', but --recipe is 'rank1'"),
        ({}, ["--level", "2"], "--level must be > 0 and < 1, but got 2"),
        ({}, ["--level", "nan"], "--level must be > 0 and < 1, but got nan"),
        ({}, ["--grade", "9"], "is relevant: a calibration needs both kinds"),
        ({"comparable": False}, [], "'limrank' cannot be calibrated: its scores in"),
        ({"calibrated": True}, [], "is calibrated already"),
        ({"recipe": None}, [], "does not say which recipe"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    tmp_path: Path, more: dict[str, Any], arguments: list[str], said: str
):
    run, qrels = write(tmp_path, squared, **more)
    done = limrank(run, "--qrels", qrels, "-o", tmp_path / "c.json", *arguments, code=2)
    assert said in done.output
    assert not (tmp_path / "c.json").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "z.svg"], "output and plot are both z.svg"),
        (["-o", "z", "--plot", "./z"], "output and plot are both z"),
        (["-o", "link.json", "--plot", "z"], "output and plot are both z"),
        (["-o", "card/limrank.json", "--card", "card"], "output and card are both card/limrank.json"),
        (["--plot", "card/limrank.json", "--card", "card"], "plot and card are both card/limrank.json"),
        (["-o", "replies", "--store", "replies"], "the output replies is where the store replies keeps"),
        (["--plot", "qrels.trec"], "the output qrels.trec is read as an input"),
    ],
)
def test_no_output_replaces_another_or_an_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
):
    write(tmp_path, squared)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / "limrank.json").write_text('{"recipe": "limrank", "labels": [" true", " false"]}')
    (tmp_path / "link.json").symlink_to("z")
    before = {file: file.read_text() for file in tmp_path.rglob("*.*") if file.is_file()}
    assert said in limrank("run.jsonl", "--qrels", "qrels.trec", *arguments, code=2).output
    assert {file: file.read_text() for file in tmp_path.rglob("*.*") if file.is_file()} == before


def test_a_card_of_another_recipe_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RERANK_API_KEY", "a-key-of-this-test")
    run, qrels = write(tmp_path, squared)
    (tmp_path / "limrank.json").write_text('{"recipe": "graded"}')
    out = tmp_path / "c.json"
    for source in ([run, "--qrels", qrels], ["samples", "--recipe", "rerank-api:scores=logit"]):
        told = limrank(*source, "-o", out, "--card", tmp_path, code=2).output
        assert "has the card of recipe 'graded', but the calibration is for" in told
        assert not out.exists()


def test_a_collection_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own" / "qrels").mkdir(parents=True)
    for name in ("queries.jsonl", "corpus.jsonl", "qrels/dev.tsv"):
        (tmp_path / "own" / name).write_text("")
        for source in ("own", "own:dev"):
            assert "is read as an input" in limrank(source, "-o", f"own/{name}", code=2).output


def test_probabilities_that_are_none_are_told_with_the_recipe_that_fits(tmp_path: Path):
    run, qrels = write(tmp_path, squared)
    run.write_text(run.read_text().replace('"score": 0.', '"score": 7.'))
    told = limrank(run, "--qrels", qrels, "-o", tmp_path / "c.json", code=2).output
    assert re.search(
        r"run\.jsonl: the score 7\.\d+ of query 'q0' is no probability.* rerank-api:scores=logit", told
    )
    assert not (tmp_path / "c.json").exists()


def test_ranks_are_no_scores(tmp_path: Path):
    run, qrels = write(tmp_path, squared)
    trec = tmp_path / "a.run"
    trec.write_text("".join(f"q{i} Q0 d{j} {j + 1} {5 - j} x\n" for i in range(9) for j in range(5)))
    done = limrank(trec, "--qrels", qrels, "--recipe", "limrank", "-o", tmp_path / "c.json", code=2)
    assert "places alone" in done.output
    done = limrank("samples", "--recipe", "prior", "-o", tmp_path / "c.json", code=2)
    assert "'prior' cannot be calibrated: its scores are not comparable" in done.output
    asked = ("--recipe", "limrank")
    assert "there is no collection" in limrank(tmp_path / "nowhere", *asked, code=2).output
    for split in ("dev", "test"):
        (tmp_path / "two" / "qrels").mkdir(parents=True, exist_ok=True)
        (tmp_path / "two" / "qrels" / f"{split}.tsv").write_text("")
    assert "has splits dev, test: name one, as" in limrank(tmp_path / "two", *asked, code=2).output
    assert "name its judgements with --qrels" in limrank(run, code=2).output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            [],
            "name a --recipe: the default, mini, cannot be calibrated: its scores are not comparable between",
        ),
        (["--recipe", "mini"], "recipe 'mini' cannot be calibrated: its scores are not comparable between"),
        (["--recipe", "rankgpt"], "recipe 'rankgpt' cannot be calibrated: it gives an order and no scores"),
    ],
)
def test_recipes_that_cannot_be_calibrated_are_told_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
):
    def read(*_: object, **__: object) -> None:
        raise AssertionError("nothing is read, opened or loaded")

    for name in ("find_collection", "RerankerOptions.reranker", "common.open_store"):
        monkeypatch.setattr(f"limrank_evals.cli.calibrate.{name}", read)
    out = tmp_path / "c.json"
    told = limrank("my set", *arguments, "-o", out, code=2).output
    assert said in told
    assert "rerank-api:scores=probability and rerank-api:scores=logit can" in told
    for name in ("rerank-api:scores=probability", "rerank-api:scores=logit"):
        assert not why_not_calibrated(load_recipe(name))
    listed = re.search(r"These can: (.+?)\. For example: limrank calibrate 'my set' --recipe (\S+)\n", told)
    assert listed is not None, told
    names = listed[1].split(", ")
    assert listed[2] in names
    assert {"limrank", "rank1", "monot5", "cross-encoder"} <= set(names) <= set(recipe_names())
    for name in recipe_names():
        recipe = load_recipe(name)
        assert (name in names) == (recipe.comparable and recipe.score_kind != "rank")
    assert not out.exists()


def test_the_help_promises_no_recipe_that_would_be_refused():
    assert "Default: mini" not in limrank("--help").output


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A model whose label logits grow with a passage's grade, and a little with chance."""
    monkeypatch.setenv("LIMRANK_CACHE", str(tmp_path / "cache"))
    direct = {
        document for grades in samples.qrels().values() for document, grade in grades.items() if grade > 0
    }
    titled = {d.passage for d in samples.documents() if d.id in direct}

    class Built(ScriptedBackend):
        def __init__(self, model: str = "", **options: Any) -> None:
            super().__init__(read_labels=lambda p: (logits(p)[0] + 2 * any(t in p.text for t in titled), 3.0))

    monkeypatch.setattr("limrank_plugins.arguments.backend_class", lambda name: Built)


@pytest.mark.usefixtures("scripted")
def test_a_collection_is_ranked_and_the_calibration_applied(tmp_path: Path):
    card, out = tmp_path / "limrank.json", tmp_path / "c.json"
    card.write_text('{"recipe": "limrank", "reasoning": "none"}')
    asked = ["--recipe", "limrank", "--reasoning", "none"]
    limrank("samples", *asked, "--method", "platt", "--k", 20, "-o", out, "--card", tmp_path)
    fitted = as_calibration(out)
    reranker = Reranker("limrank", reasoning="none", calibration=out)
    assert fitted.reranker == reranker.made_for
    assert Reranker.from_pretrained(str(tmp_path)).calibration == fitted

    queries = tmp_path / "q.jsonl"
    queries.write_text(json.dumps({"_id": "q", "text": samples.queries()[0].text}) + "\n")
    runs = {}
    for name, more in (("plain", []), ("calibrated", ["--calibration", str(out)])):
        run = tmp_path / f"{name}.jsonl"
        command = ["rerank", "-q", queries, "-c", "samples", "-o", run, "--k", 10, *asked, *more]
        done = CliRunner().invoke(build_app(), list(map(str, command)))
        assert done.exit_code == 0, done.output
        runs[name] = json.loads(run.read_text())
    plain, calibrated = runs["plain"], runs["calibrated"]
    assert [hit["id"] for hit in calibrated["hits"]] == [hit["id"] for hit in plain["hits"]]
    assert [h["score"] for h in calibrated["hits"]] == [fitted(h["score"]) for h in plain["hits"]]
    assert (plain["calibrated"], calibrated["calibrated"]) == (False, True)
    assert "see whether it holds" not in done.output
    scores = [hit["score"] for hit in calibrated["hits"]]
    command += ["--threshold", scores[3]]
    done = CliRunner().invoke(build_app(), list(map(str, command)))
    assert done.exit_code == 0, done.output
    assert [h["score"] for h in json.loads(run.read_text())["hits"]] == [s for s in scores if s >= scores[3]]
    command += ["--seed", 3]
    done = CliRunner().invoke(build_app(), list(map(str, command)))
    assert "note: the calibration was fitted with another reranker" in done.output
    assert plain["reranker"] == calibrated["reranker"] == fitted.reranker


def test_documents_that_a_model_refuses_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("LIMRANK_CACHE", str(tmp_path / "cache"))
    grades = samples.qrels()
    relevant = {document for of_query in grades.values() for document in of_query if of_query[document] > 0}
    good = [document.passage for document in samples.documents() if document.id in relevant]

    def read(prompt: Any) -> tuple[float, float]:
        if unit(prompt.text) < 0.1:
            raise ScriptedFailure("the provider refuses this text")
        return logits(prompt)[0] + 2 * any(text in prompt.text for text in good), 3.0

    monkeypatch.setattr(
        "limrank_plugins.arguments.backend_class",
        lambda name: lambda model="", **options: ScriptedBackend(read_labels=read),
    )
    asked = ["samples", "--recipe", "limrank", "--reasoning", "none", "--k", 20, "--method", "platt"]
    out = tmp_path / "c.json"
    done = limrank(*asked, "-o", out, "--json", code=1)
    found = json.loads(done.stdout)
    assert (
        0
        < found["failed"]
        == len(samples.queries()) * 20 - sum(found[f"{part}_documents"] for part in ("fitted", "held_out"))
    )
    assert f"{found['failed']} documents could not be judged and stayed out of the calibration" in done.output
    assert "the first: the provider refuses this text" in done.output
    assert as_calibration(out).recipe == "limrank"


def test_what_was_left_out_is_told_where_nothing_can_be_fitted(tmp_path: Path):
    run, qrels = write(tmp_path, lambda query, document, score: score < 0.3)
    rows = [json.loads(line) for line in run.read_text().splitlines()]
    for row in rows:
        row["hits"][0] |= {"score": None, "failure": "the provider refuses this text"}
    run.write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = limrank(run, "--qrels", qrels, "-o", tmp_path / "c.json", code=2).output
    assert "documents without a judgement: counted as irrelevant" in told
    assert (
        "note: 30 documents that could not be judged by the model: left out (the first: the provider" in told
    )
    assert "the scores do not rise with relevance" in told
    for row in rows:
        row["hits"] = [hit | {"score": None, "failure": "too long"} for hit in row["hits"]]
    run.write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = limrank(run, "--qrels", qrels, "-o", tmp_path / "c.json", code=2).output
    assert "no document could be judged by the model; the first: too long" in told


def test_the_installed_command(tmp_path: Path):
    run, qrels = write(tmp_path, squared)
    done = installed(tmp_path, "calibrate", run, "--qrels", qrels, "--method", "platt", "--precision", 0.5)
    assert "ECE" in done.stdout
    assert as_calibration(tmp_path / "calibration.json").method == "platt"
    assert (tmp_path / "calibration.svg").exists()


def test_choices_are_checked_before_any_file_is_read(tmp_path: Path):
    run = tmp_path / "run.jsonl"
    run.write_text("no run")
    for words, said in (
        (["--level", "0"], "--level must be > 0"),
        (["--bins", "0"], "--bins must be"),
        (["--grade", "0"], "--grade must be"),
    ):
        assert said in limrank(run, "--qrels", "nowhere", "-o", tmp_path / "c.json", *words, code=2).output


def test_a_plot_replaces_only_a_plot_of_ours(tmp_path: Path):
    run, qrels = write(tmp_path, squared)
    plot, out = tmp_path / "paper.svg", tmp_path / "paper.json"
    plot.write_text("<svg><title>A figure of mine</title></svg>")
    refused = limrank(run, "--qrels", qrels, "-o", out, code=2).output
    assert f"the output {plot} would replace a file" in refused
    assert "--plot" in refused
    assert not out.exists()
    assert "of mine" in plot.read_text()
    limrank(run, "--qrels", qrels, "-o", out, "--plot", tmp_path / "other.svg")
    assert "of mine" in plot.read_text()
    limrank(run, "--qrels", qrels, "-o", out, "--plot", plot, code=2)  # named, and still another's
    plot.unlink()
    limrank(run, "--qrels", qrels, "-o", out)
    limrank(run, "--qrels", qrels, "-o", out)  # ours


def test_a_calibration_replaces_only_one_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run, qrels = write(tmp_path, squared)
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "calibration.json"
    mine.write_text('{"camera": 1}')
    assert "name another place with --output" in limrank(run, "--qrels", qrels, code=2).output
    assert mine.read_text() == '{"camera": 1}'
    limrank(run, "--qrels", qrels, "-o", "calibration.json", code=2)  # named, and still another's
    mine.unlink()
    limrank(run, "--qrels", qrels)
    limrank(run, "--qrels", qrels)  # ours
    assert as_calibration(mine).recipe == "limrank"


def test_a_run_of_several_kinds_of_scores_is_refused(tmp_path: Path):
    run, qrels = write(tmp_path, squared)
    first, *rest = run.read_text().splitlines(keepends=True)
    run.write_text("".join([first.replace('"probability"', '"logit"'), *rest]))
    refused = limrank(run, "--qrels", qrels, "-o", tmp_path / "c.json", code=2).output
    assert "is of several rerankers: its score_kind differs from query to query" in refused
