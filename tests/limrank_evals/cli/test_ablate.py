"""`limrank eval ablate`: what a user types, what is shown, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny
from synthetic_rows import rank1_file, rows, rows_file
from typer.testing import CliRunner

from limrank_plugins.cli import build_app
from limrank_synth.rank1 import read_rank1
from limrank_synth.run_files import write_rows


def limrank(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(build_app(), ["eval", "ablate", *arguments])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ablate")
    rows_file(folder / "synthetic.jsonl", rows(6))
    write_rows(folder / "rank1.jsonl", read_rank1(str(rank1_file(folder / "raw.jsonl", 30))))
    (folder / "mine.yaml").write_text("""
data: {rank1: null, synthetic: null}
steps: equal
set: {dev: 0.0, optimiser.batch: 8, optimiser.epochs: 1}
arms:
  full: {rows: {rank1: 20, synthetic: 12}}
  small: {of: full, total: 10}
  lay: {of: full, without: [expert], refill: false}
""")
    return folder


def data(place: Path) -> list[str]:
    return ["--data", f"rank1={place / 'rank1.jsonl'}", "--data", f"synthetic={place / 'synthetic.jsonl'}"]


def test_a_dry_run_shows_arms_and_writes_nothing(place: Path, tmp_path: Path):
    code, shown, _ = limrank(
        str(place / "mine.yaml"), *data(place), "--dry-run", "--json", "-o", str(tmp_path / "x")
    )
    assert code == 0
    arms = {arm["arm"]: arm for arm in json.loads(shown)["arms"]}
    assert {name: arm["rows"] for name, arm in arms.items()} == {"full": 32, "small": 10, "lay": 26}
    assert arms["full"]["counts"]["pool"] == {"rank1": 20, "synthetic": 12}
    assert arms["full"]["counts"]["label"] == {"false": 16, "true": 16}
    assert arms["lay"]["counts"]["kind"] == {"": 20, "daily-life": 6}
    assert arms["lay"]["taken_out"] == 6
    assert {arm["steps"] for arm in arms.values()} == {4}
    assert arms["full"]["contains"] == ["small", "lay"]
    assert not (tmp_path / "x").exists()
    code, shown, _ = limrank(str(place / "mine.yaml"), *data(place), "--dry-run", "--steps", "epochs")
    assert code == 0
    assert "rank1 20, synthetic 12" in shown
    assert "1 epoch" in shown


def test_the_draw_is_a_matter_of_the_seed(place: Path):
    digests = []
    for seed in ("0", "0", "1"):
        code, shown, _ = limrank(
            str(place / "mine.yaml"), *data(place), "--dry-run", "--json", "--seed", seed
        )
        assert code == 0
        digests.append(json.loads(shown)["arms"][1]["digest"])
    assert digests[0] == digests[1] != digests[2]


def test_options_reach_the_evaluation_and_the_table_is_shown(place: Path, tmp_path: Path):
    bench = tmp_path / "bench"
    bench.mkdir()
    (bench / "corpus.jsonl").write_text("".join(f'{{"_id": "d{i}", "text": "milk {i}"}}\n' for i in range(4)))
    (bench / "queries.jsonl").write_text('{"_id": "q", "text": "milk"}\n')
    (bench / "qrels.trec").write_text("q 0 d2 1\n")
    (tmp_path / "arms.toml").write_text("[data]\n[arms.one]\n[arms.two]\nof = 'one'\ntotal = 8\n")
    base = tiny.build(tmp_path / "base")
    settings = {
        "base": str(base), "precision": "float32", "dev": 0.0, "cutoff": 400, "optimiser.batch": 4,
        "optimiser.part": 4, "recompute": False, "reasoning": False, "lora.embeddings": False,
    }  # fmt: skip
    changes = [
        f"--set={key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in settings.items()
    ]
    evaluating = ["--source", str(bench), "--k", "3", "-m", "nDCG@10", "--first-stage", "bm25s:k1=1.5"]
    evaluating += ["--benchmark-option", "name=Milk", "--reranker", "seed=4", "--device", "cpu"]
    pools = ["--data", f"p={place / 'rank1.jsonl'}"]
    plan = ["--steps", "1", "--plan", "limrank-7b-paper", *changes]
    command = [str(tmp_path / "arms.toml"), *pools, *plan, *evaluating, "-o", str(tmp_path / "out")]
    code, shown, said = limrank(*command)
    assert code == 0, said
    assert "| test nDCG@10 | two | 8 | 1 |" in shown
    assert "2 of 2 arms finished" in said
    code, shown, said = limrank(*command, "--json")
    assert code == 0
    assert "one: finished before" in said
    report = json.loads(shown)
    (_, ours) = report["arms"][1]["results"]
    identity = ours["identity"]
    assert (identity["benchmark"], identity["depth"]) == ("Milk", 3)
    assert identity["first_stage"].startswith("bm25s (k1=1.5")
    assert report["evaluation"]["reranker"] == {"seed": 4}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "there is no ablation 'none'"),
        (["volume"], "where are the rows of 'rank1', 'synthetic'"),
        (["volume", "--data", "rank1"], "--data must be written key=value, but got 'rank1'"),
        (["volume", "--set", "x"], "--set must be written key=value"),
        (["volume", "--batch", "0"], "--batch must be > 0"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], message: str):
    code, _, said = limrank(*arguments)
    assert code == 2
    assert message in said


def test_where_to_and_on_what_must_be_said(place: Path, tmp_path: Path):
    code, _, said = limrank(str(place / "mine.yaml"), *data(place))
    assert (code, "where to?" in said) == (2, True)
    code, _, said = limrank(str(place / "mine.yaml"), *data(place), "-o", str(tmp_path / "out"))
    assert (code, "names no benchmark" in said) == (2, True)
    assert not (tmp_path / "out").exists()


def test_shipped_ablations_are_listed():
    assert limrank("list")[1].split() == ["components", "limrank-open", "paper", "sources", "volume"]
