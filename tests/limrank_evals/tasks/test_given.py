"""Benchmarks that come with lists, or are too large to be searched: from their files to scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import benchmark_folders as made
import pytest
from benchmark_layouts import as_base64, png, put_lines, put_table, put_text

from limrank_evals import evaluate, load_task
from limrank_evals.comparison import Resampling
from limrank_plugins import Reranker
from limrank_plugins.errors import InputError

FEW = {"resampling": Resampling(resamples=50)}


def scores(found: Any, system: int = 0) -> dict[str, float]:
    return dict(found.results[system].scores)


def test_r2med_is_searched(tmp_path: Path):
    put_lines(
        tmp_path / "Biology" / "corpus.jsonl", [{"id": "d1", "text": "a gene"}, {"id": "d2", "text": "x"}]
    )
    put_lines(tmp_path / "Biology" / "query.jsonl", [{"id": "1", "text": "which gene?"}])
    put_lines(tmp_path / "Biology" / "qrels.jsonl", [{"q_id": "1", "p_id": "d1", "score": 1}])
    part = load_task("r2med").load_split("Biology", str(tmp_path), strict=False, first_stage="bm25s")
    assert scores(evaluate(part, **FEW))["nDCG@10"] == 1.0


@pytest.fixture
def dl19(tmp_path: Path) -> str:
    put_text(tmp_path / "topics.dl19-passage.txt", "7\twhat is tea\n9\twhy milk\n")
    put_text(tmp_path / "qrels.dl19-passage.txt", "7 0 p1 3\n7 0 p2 1\n9 0 p3 2\n")
    passages = {"p1": "tea is leaves", "p2": "tea", "p3": "milk", "p4": "bread", "p5": "salt"}
    put_text(tmp_path / "collection.tsv", "".join(f"{name}\t{text}\n" for name, text in passages.items()))
    return str(tmp_path)


def test_of_trec_dl_only_a_runs_passages_are_read(dl19: str, tmp_path: Path):
    run = str(made.run(tmp_path / "dl19.run", {"7": ["p2", "p1"], "9": ["p4"]}))
    task = load_task("trec-dl")
    part = task.load_split("dl19", dl19, strict=False, first_stage=run)
    assert sorted(d.id or "" for d in part.benchmark.documents) == ["p1", "p2", "p3", "p4"]
    found = evaluate(part, Reranker("prior"), first_stage=run, **FEW)
    # A grade of 1 is not relevant: of query 7 one passage is, in the second place.
    assert scores(found)["RR(rel=2)@10"] == 0.25
    assert found.results[0].identity.first_stage == "dl19.run"
    whole = task.load_split("dl19", dl19, strict=False, first_stage="bm25s")
    assert len(whole.benchmark.documents) == 5
    assert scores(evaluate(whole, **FEW))["R(rel=2)@1000"] == 1.0


def test_rankifys_lists_are_reranked_as_they_are(tmp_path: Path):
    contexts = [
        {"id": 7, "title": "T", "text": "no", "score": 3, "has_answer": False},
        {"id": 5, "title": "T", "text": "A sang", "score": 2, "has_answer": True},
    ]
    rows = [{"question": "who sang it", "answers": ["A"], "ctxs": contexts}]
    put_text(tmp_path / "bm25" / "nq-test.json", json.dumps(rows))
    task = load_task("rankify")
    assert task.choose_splits([], str(tmp_path), {"retriever": "bm25"}) == ["nq-test"]
    assert task.choose_splits([], str(tmp_path / "bm25" / "nq-test.json"), {}) == ["nq-test"]
    with pytest.raises(InputError, match="name the splits of"):
        task.choose_splits([], task.source, {"retriever": "bm25"})
    for source in (tmp_path, tmp_path / "bm25" / "nq-test.json"):
        found = evaluate(task.load_split("nq-test", str(source), strict=True, first_stage="given"), **FEW)
        assert (scores(found)["Success@1"], scores(found)["Success@5"], scores(found)["RR"]) == (
            0.0,
            1.0,
            0.5,
        )
    assert task.choose_splits(["nq-dev"], task.source, {}) == ["nq-dev"]


def mmdocir(folder: Path) -> Path:
    """Two documents of different domains: one question about a, two about b."""

    def question(word: str, page: int, box: list[float], on: int = 0) -> dict[str, Any]:
        mapping = [{"page": page, "page_size": [10, 10], "bbox": box}]
        return {"Q": f"where is {word}?", "page_id": [on], "layout_mapping": mapping}

    rows = [
        ("a.pdf", "Laws", [0, 1], [question("alpha", 0, [0, 0, 10, 10])]),
        (
            "b.pdf",
            "News",
            [2, 3],
            [question("beta", 0, [0, 0, 10, 5]), question("alpha", 1, [0, 0, 10, 10])],
        ),
    ]
    put_lines(
        folder / "MMDocIR_annotations.jsonl",
        [
            {"doc_name": n, "domain": d, "page_indices": i, "layout_indices": i, "questions": q}
            for n, d, i, q in rows
        ],
    )
    texts = [("a.pdf", "alpha", 0), ("a.pdf", "x", 1), ("b.pdf", "beta", 0), ("b.pdf", "y", 1)]
    common = [
        {"doc_name": n, "image_binary": png(i), "ocr_text": t, "vlm_text": t, "domain": ""}
        for i, (n, t, _) in enumerate(texts)
    ]
    put_table(folder / "MMDocIR_pages.parquet", common)
    layouts = [
        {**row, "type": "figure", "page_id": page, "text": None, "bbox": [0.0, 0.0, 10.0, 10.0]}
        for row, (_, _, page) in zip(common, texts, strict=True)
    ]
    put_table(folder / "MMDocIR_layouts.parquet", layouts)
    return folder


def test_mmdocir_searches_the_questions_own_document_and_averages_in_two_ways(tmp_path: Path):
    task, source = load_task("mmdocir"), str(mmdocir(tmp_path))
    part = task.load_split("page", source, strict=False, first_stage="bm25s", images=False)
    found = evaluate(part, **FEW)
    # "alpha" is on no page of b.pdf: its pages come in an order that tells nothing.
    assert all(
        {d.split("#")[0] for d in ranked} == {name}
        for ranked, name in zip(found.first.ranked.values(), ("a.pdf", "b.pdf", "b.pdf"), strict=True)
    )
    assert all(len(ranked) == 2 for ranked in found.first.ranked.values())
    assert found.first.measured.per_query["R@1"] == {"q1": 1.0, "q2": 1.0, "q3": 0.0}
    micro, macro = found.results
    assert micro.scores["R@1"] == pytest.approx(2 / 3)
    assert macro.scores["R@1"] == pytest.approx((1 + 1 / 2) / 2)
    assert "R@1" in micro.intervals
    assert "R@1" not in macro.intervals, "of a domain with one question nothing is known"
    assert "within the given lists" in micro.identity.first_stage


def test_mmdocirs_own_recall_of_layouts(tmp_path: Path):
    task, source = load_task("mmdocir"), str(mmdocir(tmp_path))
    part = task.load_split("layout", source, strict=False, first_stage="bm25s", images=False)
    run = made.run(
        tmp_path / "x.run",
        {"q1": ["a.pdf#layout1", "a.pdf#layout0"], "q2": ["b.pdf#layout0"], "q3": ["b.pdf#layout0"]},
    )
    found = evaluate(part, Reranker("prior"), first_stage=str(run), **FEW)
    assert found.measures[:3] == ("area@1", "area@5", "area@10")
    values = found.first.measured.per_query
    assert dict(values["area@1"]) == {"q1": 0.0, "q2": 1.0, "q3": 0.0}
    assert dict(values["area@5"]) == {"q1": 1.0, "q2": 1.0, "q3": 0.0}
    assert found.comparisons["area@5"].difference == 0.0
    only = evaluate(part, first_stage=str(run), measures=["area@1"], **FEW)
    assert list(only.results[0].scores) == ["area@1"]


def test_webqas_facts_are_searched_in(tmp_path: Path):
    def snippet(name: str, text: str) -> dict[str, Any]:
        return {"snippet_id": name, "title": "T", "fact": text}

    pictures = [{"image_id": 30000000, "title": "T", "caption": "a green frog"}]
    none: dict[str, Any] = {"img_posFacts": [], "img_negFacts": [], "txt_posFacts": [], "txt_negFacts": []}
    texts = {"txt_posFacts": [snippet("g_0", "the frog")], "txt_negFacts": [snippet("g_1", "a stone")]}
    entries = {
        "g1": {"Q": "Which frog?", "Qcate": "text", "split": "val", **none, **texts},
        "g2": {"Q": "What color?", "Qcate": "color", "split": "val", **none, "img_posFacts": pictures},
    }
    put_text(tmp_path / "WebQA_train_val.json", json.dumps(entries))
    line = f"30000000\t{as_base64(png(0))}\n"
    put_text(tmp_path / "imgs.tsv", line)
    put_text(tmp_path / "imgs.lineidx", "0\n")
    task = load_task("webqa")
    assert task.choose_splits([], str(tmp_path), {}) == ["val"]
    assert task.choose_splits(["train"], str(tmp_path), {}) == ["train"]
    part = task.load_split("val", str(tmp_path), strict=False, first_stage="bm25s")
    found = evaluate(part, **FEW)
    assert found.first.ranked == {"g1": ["g_0", "g_1"], "g2": ["30000000"]}
    assert [(r.identity.split, r.counts["judged"]) for r in found.results] == [
        ("val", 2),
        ("val, by image", 1),
        ("val, by text", 1),
    ]
    assert found.benchmark.documents[-1].images or found.benchmark.documents[0].images


def test_mbeirs_queries_carry_its_instruction(tmp_path: Path):
    task = load_task("mbeir")
    name = "webqa_task1"
    query = {"qid": "2:1", "query_txt": "which frog?", "query_img_path": None, "query_modality": "text"}
    put_lines(tmp_path / f"query/test/mbeir_{name}_test.jsonl", [query | {"pos_cand_list": ["2:9"]}])
    put_text(tmp_path / f"qrels/test/mbeir_{name}_test_qrels.txt", "2:1 0 2:9 1 2\n")
    pool = [
        {"did": "2:9", "txt": "a frog", "img_path": None, "modality": "text"},
        {"did": "2:8", "txt": "a stone", "img_path": None, "modality": "text"},
    ]
    put_lines(tmp_path / f"cand_pool/local/mbeir_{name}_cand_pool.jsonl", pool)
    head = "query_modality\tcand_modality\tdataset_name\tdataset_id\tprompt_1\tprompt_2\n"
    put_text(
        tmp_path / "instructions/query_instructions.tsv", head + "text\ttext\tWebQA\t2\tFind it.\tWhere?\n"
    )
    part = task.load_split(name, str(tmp_path), strict=False, first_stage="bm25s")
    assert part.benchmark.queries[0].instruction == "Find it."
    found = evaluate(part, Reranker("prior"), **FEW)
    assert scores(found, 1)["Success@1"] == 1.0
    assert found.results[1].identity.prompts == "M-BEIR's, number 0"
    run = str(made.run(tmp_path / "x.run", {"2:1": ["2:9"]}))
    small = task.load_split(name, str(tmp_path), strict=False, first_stage=run, told=-1)
    assert [document.id for document in small.benchmark.documents] == ["2:9"]
    assert small.carried == ""
