"""Recipes evaluated by mteb itself: its numbers are those of our own scoring, its candidates ours."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mteb", reason="runs in an environment of its own: tests/compat/run_mteb")

import mteb
from datasets import Dataset
from mteb._evaluators.retrieval_metrics import evaluate_p_mrr_change
from mteb.abstasks import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import CrossEncoderProtocol
from scripts import reranker, unit

from limrank_evals.measures import measure
from limrank_evals.mteb import MtebReranker
from limrank_evals.pmrr import changed_documents
from limrank_evals.predictions import write_predictions
from limrank_evals.runs import RunLines, arranged, cut, read_run_lines, run_lines_of
from limrank_plugins import Document, Query, Reranker, ScriptedBackend
from limrank_plugins.backends.scripted import ScriptedFailure
from limrank_plugins.io import write_run

WORDS = ["acid", "milk", "bread", "yeast", "light", "water", "iron", "moist", "air", "valley", "river"]
RECIPES = ["limrank", "rankgpt:window=6,stride=3", "setwise", "first", "vote"]


class Tiny(AbsTaskRetrieval):
    """A retrieval task that is made on the spot."""

    metadata = TaskMetadata(
        name="TinyRetrieval",
        description="Made by a test.",
        reference=None,
        dataset={"path": "none/tiny", "revision": "1"},
        type="Retrieval",
        category="t2t",
        modalities=["text"],
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score="ndcg_at_10",
        date=None,
        domains=None,
        task_subtypes=None,
        license=None,
        annotations_creators=None,
        dialect=None,
        sample_creation=None,
        bibtex_citation=None,
    )
    given = False

    def load_data(self, **_: Any) -> None:
        if self.data_loaded:
            return
        dice = random.Random(self.metadata.name)
        texts = [f"{' '.join(dice.choices(WORDS, k=6))} {i}" for i in range(25)]
        self.documents = {f"d{i}": ("A title" if i % 3 else "", text) for i, text in enumerate(texts)}
        self.asked = {f"q{i}": " ".join(dice.choices(WORDS, k=3)) for i in range(8)}
        self.asked["q8"] = self.asked["q7"]  # two queries may have one text
        names = list(self.documents)
        self.qrels = {q: {d: dice.randint(0, 2) for d in dice.sample(names, 6)} for q in self.asked}
        self.candidates = {query: dice.sample(list(self.documents), 15) for query in self.asked}
        self._put({query: {"text": text} for query, text in self.asked.items()})

    def _put(self, queries: dict[str, dict[str, str]]) -> None:
        corpus = [{"id": d, "title": title, "text": text} for d, (title, text) in self.documents.items()]
        self.dataset = {
            "default": {
                "test": {
                    "corpus": Dataset.from_list(corpus),
                    "queries": Dataset.from_list([{"id": q} | row for q, row in queries.items()]),
                    "relevant_docs": self.qrels,
                    "top_ranked": self.candidates if self.given else None,
                }
            }
        }
        self.data_loaded = True

    def listed(self, query: str) -> list[Document]:
        return [
            Document(self.documents[d][1], id=d, title=self.documents[d][0]) for d in self.candidates[query]
        ]


class TinyReranking(Tiny):
    """The same with candidates of its own."""

    metadata = Tiny.metadata.model_copy(update={"name": "TinyReranking", "type": "Reranking"})
    given = True


class TinyInstructions(Tiny):
    """Queries of two instructions each, as FollowIR's tasks are; candidates of their own."""

    metadata = Tiny.metadata.model_copy(
        update={"name": "TinyInstructions", "type": "InstructionReranking", "main_score": "p-MRR"}
    )
    given = True

    def load_data(self, **_: Any) -> None:
        if self.data_loaded:
            return
        super().load_data()
        dice = random.Random(1)
        plain, self.qrels, rows = self.asked, {}, {}
        chosen, self.candidates = self.candidates, {}
        for query, text in plain.items():
            gold = dice.sample(chosen[query], 5)
            gone = set(gold[:2])
            for side in ("og", "changed"):
                name = f"{query}-{side}"
                rows[name] = {
                    "text": text,
                    "instruction": f"Passages that are {dice.choice(WORDS)} ({side}).",
                }
                self.candidates[name] = chosen[query]
                self.qrels[name] = {d: int(side == "og" or d not in gone) for d in gold}
        self.asked = {name: row["text"] for name, row in rows.items()}
        self.instructions = {name: row["instruction"] for name, row in rows.items()}
        self._put(rows)

    def task_specific_scores(
        self, scores: Any, qrels: Any, results: Any, hf_split: str, hf_subset: str
    ) -> dict[str, float]:
        return evaluate_p_mrr_change(qrels, results, changed_documents(qrels), self.k_values)


def evaluated(model: MtebReranker, task: AbsTaskRetrieval, folder: Path | None = None, size: int = 7) -> Any:
    result = mteb.evaluate(
        model,
        task,
        cache=None,
        encode_kwargs={"batch_size": size},
        prediction_folder=folder,
        show_progress_bar=False,
        co2_tracker=False,
    )
    (scores,) = result.task_results[0].scores["test"]
    return scores


def ours(task: Tiny, model: Reranker) -> dict[str, list[str]]:
    said = getattr(task, "instructions", {})
    return {
        query: model.rank(Query(text, query, said.get(query, "")), task.listed(query)).ids
        for query, text in task.asked.items()
    }


def same(theirs: Any, found: dict[str, float]) -> None:
    names = {"nDCG@10": "ndcg_at_10", "nDCG@5": "ndcg_at_5", "R@5": "recall_at_5"}
    for name, value in found.items():
        assert theirs[names[name]] == pytest.approx(value, abs=1e-5), name


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_reranking_task_gives_our_own_numbers(recipe: str, size: int, tmp_path: Path):
    model, task = MtebReranker(reranker(recipe), batch=2), TinyReranking()
    assert isinstance(model, CrossEncoderProtocol)
    theirs = evaluated(model, task, tmp_path, size)
    found = ours(task, reranker(recipe))
    same(theirs, measure(found, task.qrels, ["nDCG@10", "nDCG@5", "R@5"]).means)
    assert arranged(read_run_lines(tmp_path / "TinyReranking_predictions.json")) == found
    write_run(tmp_path / "out.run", model.records["TinyReranking", "default", "test"])
    assert arranged(read_run_lines(tmp_path / "out.run")) == found


def test_equal_scores_stay_in_first_stage_order():
    same_for_all = ScriptedBackend(read_labels=lambda _: (1.0, 1.0))
    task = TinyReranking()
    theirs = evaluated(MtebReranker(Reranker("limrank", backend=same_for_all, reasoning="none")), task)
    same(theirs, measure(task.candidates, task.qrels, ["nDCG@10", "R@5"]).means)


@pytest.mark.parametrize("recipe", ["limrank", "rankgpt"])
def test_instructions_and_p_mrr(recipe: str):
    task = TinyInstructions()
    theirs = evaluated(MtebReranker(reranker(recipe, reasoning="none")), task)
    found = ours(task, reranker(recipe, reasoning="none"))
    assert theirs["p-MRR"] == pytest.approx(measure(found, task.qrels, ["p-MRR"]).means["p-MRR"], abs=1e-9)
    same(theirs, measure(found, task.qrels, ["nDCG@5"]).means)


def test_what_is_asked_about_an_instruction_is_what_we_ask_ourselves():
    def asked(prompts: list[str]) -> Reranker:
        backend = ScriptedBackend(read_labels=lambda prompt: prompts.append(prompt.text) or (0.0, 1.0))
        return Reranker("limrank", backend=backend, reasoning="none")

    task, theirs, own = TinyInstructions(), [], []
    evaluated(MtebReranker(asked(theirs)), task)
    ours(task, asked(own))
    assert theirs == own
    assert "Passages that are" in own[0]


def test_a_trec_run_of_ours_is_reranked_and_comes_back_as_one(tmp_path: Path):
    task = Tiny()
    task.load_data()
    dice = random.Random(5)
    first = {q: {d: float(dice.randint(0, 3)) for d in found} for q, found in task.candidates.items()}
    lines = [
        f"{q} Q0 {d} {place} {score} bm25\n"
        for q, found in first.items()
        for place, (d, score) in enumerate(sorted(found.items(), key=lambda one: -one[1]), 1)
    ]
    (tmp_path / "bm25.run").write_text("".join(lines))
    rows: RunLines = read_run_lines(tmp_path / "bm25.run")
    folder = tmp_path / "first"
    write_predictions(folder, "TinyRetrieval", {"default": {"test": rows}}, model="bm25s")
    task.convert_to_reranking(folder, top_k=10)
    model = MtebReranker(reranker("insertrank"), first_stage="bm25s@10", priors=rows)
    theirs = evaluated(model, task, tmp_path / "second")
    depth = cut(arranged(rows, "rank"), 10)
    shown = {
        q: [Document(" ".join(filter(None, task.documents[d])), id=d, prior=first[q][d]) for d in ds]
        for q, ds in depth.items()
    }
    found = {q: reranker("insertrank").rank(task.asked[q], ds).ids for q, ds in shown.items()}
    same(theirs, measure(found, task.qrels, ["nDCG@10", "R@5"]).means)
    assert arranged(read_run_lines(tmp_path / "second/TinyRetrieval_predictions.json")) == found
    meta = json.loads((tmp_path / "second/TinyRetrieval_predictions.json").read_text())["mteb_model_meta"]
    assert meta == {"model_name": "limrank/insertrank", "revision": model.revision}


def test_results_of_other_settings_or_candidates_are_not_found_in_the_cache(tmp_path: Path):
    cache = mteb.ResultCache(cache_path=tmp_path)

    def run(model: MtebReranker) -> int:
        asked = model.reranker.backend.requests
        before = len(asked)
        mteb.evaluate(model, TinyReranking(), cache=cache, show_progress_bar=False, co2_tracker=False)
        return len(asked) - before

    assert run(MtebReranker(reranker("limrank", reasoning="none"))) > 0
    assert run(MtebReranker(reranker("limrank", reasoning="none"))) == 0
    assert run(MtebReranker(reranker("limrank"))) > 0
    assert run(MtebReranker(reranker("limrank", reasoning="none"), first_stage="bm25s@100")) > 0


def test_a_result_with_failures_is_not_kept(tmp_path: Path):
    cache, ill = mteb.ResultCache(cache_path=tmp_path), True

    def read(prompt: Any) -> tuple[float, float]:
        if ill and unit(prompt.text) < 0.2:
            raise ScriptedFailure("no answer")
        return (6 * unit(prompt.text), 3.0)

    def run() -> Any:
        backend = ScriptedBackend(read_labels=read)
        model = MtebReranker(Reranker("limrank", backend=backend, reasoning="none"))
        return mteb.evaluate(
            model,
            TinyReranking(),
            cache=cache,
            raise_error=False,
            show_progress_bar=False,
            co2_tracker=False,
        )

    failed = run()
    assert failed.task_results == []
    assert "could not be judged" in failed.exceptions[0].exception
    assert not list(tmp_path.rglob("*.json"))
    ill = False
    assert len(run().task_results) == 1
    assert list(tmp_path.rglob("TinyReranking.json"))


def test_a_query_without_candidates_counts_as_nothing():
    task = TinyReranking()
    task.load_data()
    del task.candidates["q3"]
    theirs = evaluated(MtebReranker(reranker()), task)
    del task.asked["q3"]
    found = ours(task, reranker())
    same(theirs, measure(found, task.qrels, ["nDCG@10"]).means)
    assert run_lines_of({q: dict.fromkeys(ds, 1.0) for q, ds in found.items()}).keys() == task.asked.keys()
