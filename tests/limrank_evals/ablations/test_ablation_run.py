"""Ablations end to end on tiny random models: arms trained, exported, evaluated, compared, gone on with."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from limrank_evals.ablations import load_ablation
from limrank_evals.ablations.ablation_run import ablate
from limrank_evals.ablations.arm_evaluation import ArmEvaluator
from limrank_evals.ablations.arms import Ablation
from limrank_evals.judgements import read_judgements
from limrank_evals.runs import read_run_lines
from limrank_evals.scoring import score
from limrank_plugins.errors import InputError
from limrank_plugins.files import read_lines
from limrank_plugins.reranker import Reranker
from limrank_training import training_run as training

torch.set_num_threads(1)
WORDS = ["milk", "acid", "bread", "light", "rivers", "iron", "yeast", "gas"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model, a pool of 32 rows with the columns of a synthesis, and a benchmark of 5 queries."""
    folder = tmp_path_factory.mktemp("ablation")
    tiny.build(folder / "base")
    rows = [
        {
            "query": f"why {word}",
            "passage": f"{other} it is",
            "trace": "A thought. So.",
            "relevant": word == other,
            "kind": "expert" if i % 2 else "daily-life",
        }
        for i, word in enumerate(WORDS)
        for other in [word, *(one for one in WORDS if one != word)][:4]
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    bench = folder / "bench"
    (bench / "qrels").mkdir(parents=True)
    texts = [f"{word} and {other}" for word in WORDS[:5] for other in WORDS[5:]]
    corpus = [{"_id": f"d{i}", "text": text} for i, text in enumerate(texts)]
    (bench / "corpus.jsonl").write_text("".join(json.dumps(one) + "\n" for one in corpus))
    asked = [{"_id": f"q{i}", "text": f"why {word}?"} for i, word in enumerate(WORDS[:5])]
    (bench / "queries.jsonl").write_text("".join(json.dumps(one) + "\n" for one in asked))
    grades = [f"q{i}\td{3 * i + i % 3}\t1\n" for i in range(5)]
    (bench / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(grades))
    return folder


ARMS = "{full: {}, half: {of: full, total: 16}}"


def ablation(place: Path, arms: str = ARMS, **more: Any) -> Ablation:
    (place / "mine.yaml").write_text(f"""
plan: limrank-7b-paper
steps: 2
data: {{p: {place / "rows.jsonl"}}}
set:
  base: {place / "base"}
  lora: {{r: 4, alpha: 8}}
  optimiser: {{rate: 1.0e-2, schedule: constant, warmup: 0.0, batch: 4, part: 4}}
  precision: float32
  cutoff: 300
  recompute: false
  dev: 0.0
evaluate:
  source: {place / "bench"}
  depth: 4
  measures: [nDCG@10, R@5]
  resamples: 100
  reranker: {{max_reasoning_tokens: 4}}
arms: {arms}
""")
    return load_ablation(str(place / "mine.yaml"), more)


def tree(folder: Path) -> dict[str, tuple[str, int]]:
    """Every file's hash and time, but the store's."""
    return {
        str(file.relative_to(folder)): (
            hashlib.sha256(file.read_bytes()).hexdigest(),
            file.stat().st_mtime_ns,
        )
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.name.startswith("store.sqlite")
    }


@pytest.fixture(scope="module")
def done(place: Path) -> tuple[Path, list[str]]:
    """Both arms finished, and what was said."""
    said: list[str] = []
    ablate(ablation(place), place / "out", say=said.append)
    return place / "out", said


@pytest.fixture
def again(done: tuple[Path, list[str]], tmp_path: Path) -> Path:
    """The finished ablation, to be changed."""
    return Path(shutil.copytree(done[0], tmp_path / "out"))


def test_two_arms_are_trained_evaluated_and_compared(place: Path, done: tuple[Path, list[str]]):
    out, said = done
    assert said == [
        "full: training on 32 rows",
        "full: evaluating",
        "half: training on 16 rows",
        "half: evaluating",
    ]
    report = json.loads((out / "report.json").read_text())
    assert [(arm["arm"], arm["rows"], arm["training"]["steps"]) for arm in report["arms"]] == [
        ("full", 32, 2),
        ("half", 16, 2),
    ]
    full, half = ((out / "arms" / name / "rows.jsonl").read_bytes() for name in ("full", "half"))
    assert full.startswith(half)
    assert half.count(b"\n") == 16
    for name, text in (("full", full), ("half", half)):
        facts = json.loads((out / "arms" / name / "arm.json").read_text())
        assert facts["file_sha256"] == hashlib.sha256(text).hexdigest()
        assert facts["rows"]["label"] == {"false": text.count(b": false"), "true": text.count(b": true")}
    # The table's numbers are those of scoring the rankings by themselves.
    qrels = read_judgements(place / "bench" / "qrels" / "test.tsv")
    by_arm = report["measures"][0]["arms"]
    for name in ("full", "half"):
        rows = read_run_lines(out / "arms" / name / "evaluation" / "test" / "rankings.jsonl")
        assert by_arm[name]["mean"] == score(rows, qrels, ["nDCG@10"], ties="rank").measured.means["nDCG@10"]
    assert list(by_arm) == ["first stage", "full", "half"]
    difference = by_arm["half"]["mean"] - by_arm["full"]["mean"]
    assert by_arm["half"]["comparison"]["difference"] == pytest.approx(difference)
    assert (out / "arms.svg").is_file()
    assert "| test nDCG@10 | half | 16 | 2 |" in (out / "table.md").read_text()


def test_the_evaluated_model_is_the_arms_own(place: Path, done: tuple[Path, list[str]]):
    out, _ = done
    (first,) = [
        json.loads(line)
        for _, line in read_lines(out / "arms" / "half" / "evaluation" / "test" / "rankings.jsonl")
        if '"q0"' in line
    ]
    model = Reranker.from_pretrained(
        str(out / "arms" / "half" / "run" / "final"), max_reasoning_tokens=4, device="cpu"
    )
    judge = ArmEvaluator(ablation(place).evaluation, store=None)  # type: ignore[arg-type]
    texts = {document.id: document for document in judge._split("test").benchmark.documents}
    # In the arm's own order of candidates, which equal scores keep.
    ranking = model.rank("why milk?", [texts[hit["id"]] for hit in first["hits"]])
    scores = {hit.id: hit.score for hit in ranking}
    assert [hit["score"] for hit in first["hits"]] == [scores[hit["id"]] for hit in first["hits"]]
    assert first["recipe"] == "limrank"


def test_a_finished_ablation_is_not_touched_again(place: Path, again: Path, monkeypatch: Any):
    before = tree(again)
    monkeypatch.setattr(training, "train", None)  # would fail if anything were trained
    monkeypatch.setattr(ArmEvaluator, "evaluate", None)
    said: list[str] = []
    report = ablate(ablation(place), again, say=said.append)
    assert said == ["full: finished before", "half: finished before"]
    after = tree(again)
    assert {name: digest for name, (digest, _) in after.items()} == {
        name: digest for name, (digest, _) in before.items()
    }
    arms = {name for name in before if name.startswith("arms/")}
    assert {name: after[name] for name in arms} == {name: before[name] for name in arms}
    assert report.missing == []


def test_arms_can_be_added_and_take_nothing_from_the_others(place: Path, again: Path):
    before = {name: value for name, value in tree(again).items() if name.startswith("arms/")}
    arms = "{full: {}, half: {of: full, total: 16}, plain: {of: half, without: [traces]}, rest: {of: full}}"
    report = ablate(ablation(place, arms), again, only=["plain"])
    assert report.missing == ["rest"]
    assert before.items() <= tree(again).items()
    card = json.loads((again / "arms" / "plain" / "run" / "final" / "limrank.json").read_text())
    assert card["reasoning"] == "none"
    rows = {name: (again / "arms" / name / "rows.jsonl").read_bytes() for name in ("half", "plain")}
    assert rows["half"] == rows["plain"]  # the same rows, read without their traces
    table = (again / "table.md").read_text()
    assert "Not finished: rest." in table
    assert "| test nDCG@10 | plain | 16 | 2 |" in table


def test_a_killed_ablation_ends_with_the_same_files(
    place: Path, done: tuple[Path, list[str]], monkeypatch: Any
):
    whole, _ = done
    out = place / "killed"
    real = ArmEvaluator.evaluate
    calls: list[Path] = []

    def killed(self: ArmEvaluator, model: Path, folder: Path) -> dict[str, Any]:
        calls.append(folder)
        if len(calls) == 2:  # the second arm is trained and not evaluated
            raise KeyboardInterrupt
        return real(self, model, folder)

    monkeypatch.setattr(ArmEvaluator, "evaluate", killed)
    with pytest.raises(KeyboardInterrupt):
        ablate(ablation(place), out)
    assert (out / "arms" / "full" / "scores.json").is_file()
    assert not (out / "arms" / "half" / "scores.json").is_file()
    trained = (out / "arms" / "half" / "run" / "final" / "model.safetensors").stat().st_mtime_ns
    said: list[str] = []
    ablate(ablation(place), out, say=said.append)
    assert said == ["full: finished before", "half: evaluating"]
    assert (out / "arms" / "half" / "run" / "final" / "model.safetensors").stat().st_mtime_ns == trained
    for name in ("arms/full/rows.jsonl", "arms/full/arm.json", "arms/half/arm.json"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    # A run of its own is the same run: weights and numbers.
    for name in ("full", "half"):
        ours, theirs = (
            json.loads((folder / "arms" / name / "scores.json").read_text())["values"]
            for folder in (out, whole)
        )
        assert ours == theirs


def test_a_killed_training_goes_on_from_its_checkpoint(place: Path, monkeypatch: Any):
    out = place / "broken"
    real, runs = training.train, []

    def stops(plan: Any, data: Any, folder: Path, **how: Any) -> Any:
        runs.append((folder / "checkpoints").is_dir())
        if len(runs) == 1:
            (folder / "checkpoints").mkdir(parents=True)
            raise KeyboardInterrupt
        return real(plan, data, folder, **how)

    monkeypatch.setattr(training, "train", stops)
    with pytest.raises(KeyboardInterrupt):
        ablate(ablation(place, "{full: {}}"), out)
    report = ablate(ablation(place, "{full: {}}"), out)
    assert runs == [False, True]  # into the same folder, which `train` goes on in
    assert report.missing == []


def test_other_settings_are_refused_by_name(place: Path, done: tuple[Path, list[str]]):
    out, _ = done
    with pytest.raises(InputError, match=r"evaluation\.depth is 4 there, 3 here"):
        ablate(ablation(place, evaluate={"depth": 3}), out)
    with pytest.raises(InputError, match=r"another arm of this name: plan\.optimiser\.rate is 0\.01 there"):
        ablate(ablation(place, set={"optimiser.rate": 0.5}), out)
    with pytest.raises(InputError, match=r"rows\.digest is .* --fresh --only half"):
        ablate(ablation(place, ARMS.replace("16", "12")), out)
    with pytest.raises(InputError, match="no arm 'none'"):
        ablate(ablation(place), out, only=["none"])


@pytest.mark.parametrize("file", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv", "excluded.txt"])
def test_a_changed_benchmark_is_another_one(place: Path, again: Path, tmp_path: Path, file: str):
    bench = Path(shutil.copytree(place / "bench", tmp_path / "bench"))
    made = ablation(place, evaluate={"source": str(bench), "options": {"name": "bench"}})
    settings = json.loads((again / "settings.json").read_text())
    settings["evaluation"] = json.loads(json.dumps(made.evaluation.as_json()))
    (again / "settings.json").write_text(json.dumps(settings))
    if file == "excluded.txt":
        (bench / file).write_text("q0 d9\n")
    else:
        text = (bench / file).read_text()
        (bench / file).write_text(
            text.replace("why milk", "when milk").replace("milk and", "milk or").replace("q1\td4", "q1\td5")
        )
    with pytest.raises(InputError, match=r"texts\.test is "):
        ablate(made, again)


def test_fresh_starts_over_what_is_named(place: Path, again: Path):
    before = tree(again)
    changed = ablation(place, ARMS.replace("16", "8"))
    ablate(changed, again, only=["half"], fresh=True)
    after = tree(again)
    for name, value in before.items():
        if name.startswith("arms/full"):
            assert after[name] == value
    assert (again / "arms" / "half" / "rows.jsonl").read_bytes().count(b"\n") == 8
    assert not list(again.rglob("*limrank-fresh*"))
    # All of them, with other settings: the old ones stay until the new ones are finished.
    judged: list[Path] = []

    def stops(self: ArmEvaluator, model: Path, folder: Path) -> Any:
        judged.append(folder)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ArmEvaluator, "evaluate", stops)
        with pytest.raises(KeyboardInterrupt):
            ablate(ablation(place, "{full: {total: 8}}", evaluate={"depth": 2}), again, fresh=True)
    assert len(judged) == 1
    new = again / ".limrank-fresh"
    assert {name: value for name, value in tree(again).items() if not name.startswith(new.name)} == after
    assert json.loads((new / "settings.json").read_text())["evaluation"]["depth"] == 2
    assert judged == [new / "arms" / "full" / "evaluation"]
    report = ablate(ablation(place, "{full: {total: 8}}", evaluate={"depth": 2}), again)
    assert report.missing == []
    assert not new.exists()
    assert not (again / "arms" / "half").exists(), "nothing of the old ones stays"
    assert json.loads((again / "settings.json").read_text())["evaluation"]["depth"] == 2


def test_what_is_wrong_shows_before_anything_is_trained(place: Path, tmp_path: Path, monkeypatch: Any):
    monkeypatch.setattr(training, "train", None)
    bad = [
        ({"benchmark": "none"}, "there is no benchmark 'none'"),
        ({"source": str(tmp_path / "none")}, "there is no folder"),
        ({"splits": ["dev"]}, "has no split 'dev'"),
        ({"options": {"x": 1}}, "has no option 'x'"),
        ({"measures": ["nDCG@x"]}, "there is no measure"),
        ({"first_stage": "none"}, "there is no first stage 'none'"),
    ]
    for change, message in bad:
        with pytest.raises(InputError, match=message):
            ablate(ablation(place, evaluate=change), tmp_path / "out")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        ablate(ablation(place), tmp_path / "other")
    made = ablation(place)
    nothing = type(made)(made.name, made.arms, made.data, made.plan, reference=made.reference)
    with pytest.raises(InputError, match="names no benchmark to evaluate its arms on"):
        ablate(nothing, tmp_path / "out")


def test_a_run_of_another_plan_is_not_taken_for_the_arms(place: Path, again: Path):
    arm = again / "arms" / "full"
    (arm / "scores.json").unlink()
    plan = json.loads((arm / "run" / "plan.json").read_text())
    plan["plan"]["seed"] = 7
    (arm / "run" / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(InputError, match="trained by another plan: seed is 7 there, 12345 here"):
        ablate(ablation(place), again)
