"""Exports for encoders and evaluations, through sentence-transformers and ir_measures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import tiny_encoders
from synthetic_rows import row, rows

from limrank_plugins.errors import InputError
from limrank_plugins.io import read_documents, read_queries
from limrank_plugins.qrels import read_qrels
from limrank_synth.exporting import export
from limrank_synth.gold_groups import grade

HARD = row(50, query='a "b"\t\n', passage='tab\tquote " </think> [1]\r\n', trace="")


def loaded(folder: Path) -> Any:
    import datasets

    return datasets.load_dataset(
        "json", data_files=str(folder / "out/train.jsonl"), split="train", cache_dir=str(folder / "hf")
    )


def test_pairs_keep_every_text_and_label(tmp_path: Path) -> None:
    used = [*rows(3), HARD]
    export(used, "pairs", tmp_path / "out")
    found = loaded(tmp_path)
    assert found.column_names == ["query", "passage", "label"]
    for pair, source in zip(found, used, strict=True):
        assert pair == {"query": source.query, "passage": source.passage, "label": float(source.relevant)}


def test_triples_hold_every_passage_and_no_mixed_up_label(tmp_path: Path) -> None:
    extra = [row(0, "negative:other-sense", id="more", passage="another"), row(70)]
    summary = export([*rows(5), *extra], "triples", tmp_path / "out")
    found = loaded(tmp_path)
    assert found.column_names == ["anchor", "positive", "negative"]
    relevant = {(one.query, one.passage): one.relevant for one in [*rows(5), *extra]}
    seen = set()
    for triple in found:
        assert relevant[triple["anchor"], triple["positive"]] is True
        assert relevant[triple["anchor"], triple["negative"]] is False
        seen |= {(triple["anchor"], triple["positive"]), (triple["anchor"], triple["negative"])}
    assert len(found) == 3 + 4 * 2
    assert seen == {key for key in relevant if key[0] != extra[1].query}
    assert summary["left_out"] == {"query: it has no positive, or no negative": 1}


def test_a_cross_encoder_trains_on_the_pairs(tmp_path: Path) -> None:
    import sentence_transformers.cross_encoder as cross

    export([*rows(3), HARD], "pairs", tmp_path / "out")
    found = loaded(tmp_path)
    tiny_encoders.cross_encoder(tmp_path / "bert")
    model = cross.CrossEncoder(str(tmp_path / "bert"), device="cpu")
    loss = cross.losses.BinaryCrossEntropyLoss(model)
    value = loss([list(found["query"]), list(found["passage"])], _tensor(found["label"]))
    assert value.item() > 0


def _tensor(values: Any) -> Any:
    import torch

    return torch.tensor(list(values))


def test_a_collection_is_read_by_ir_measures_and_by_this_package(tmp_path: Path) -> None:
    import ir_measures

    used = [*rows(4), HARD]
    export(used, "trec", tmp_path / "out")
    qrels = list(ir_measures.read_trec_qrels(str(tmp_path / "out/qrels.txt")))
    assert {(q.query_id, q.doc_id): q.relevance for q in qrels} == {
        (one.query_id, one.id): grade(one) for one in used
    }
    best = [ir_measures.ScoredDoc(one.query_id, one.id, float(grade(one))) for one in used]
    assert ir_measures.calc_aggregate([ir_measures.nDCG @ 10], qrels, best)[ir_measures.nDCG @ 10] == 1.0
    worst = [one._replace(score=-one.score) for one in best[:4]]
    measured = ir_measures.calc_aggregate(
        [ir_measures.nDCG @ 10], [q for q in qrels if q.query_id == "s0/expert"], worst
    )
    # Grades 0, 0, 1, 2 from the top: the ideal is 2, 1.
    ideal = 2 + 1 / math.log2(3)
    assert measured[ir_measures.nDCG @ 10] == pytest.approx((1 / 2 + 2 / math.log2(5)) / ideal)
    documents = {one.id: one for one in read_documents(tmp_path / "out/corpus.jsonl")}
    assert {key: one.text for key, one in documents.items()} == {one.id: one.passage for one in used}
    assert {one.id: one.text for one in read_queries(tmp_path / "out/queries.jsonl")} == {
        one.query_id: one.query for one in used
    }
    assert read_qrels(tmp_path / "out/qrels.txt")["s1/expert"]["s1/expert/0"] == 2
    assert documents["s0/expert/3"].meta == {"false_claim": True}
    assert documents["s0/expert/0"].meta == {}
    beir = (tmp_path / "out/qrels/train.tsv").read_text().splitlines()
    assert beir[0] == "query-id\tcorpus-id\tscore"
    assert beir[1:] == [f"{one.query_id}\t{one.id}\t{grade(one)}" for one in used]


def test_equal_passages_are_one_document(tmp_path: Path) -> None:
    twin = row(1, "negative:outdated", passage=row(0).passage)
    again = row(1, "negative:outdated", id="again", passage=row(0).passage)
    summary = export([row(0), twin, again], "trec", tmp_path / "out")
    assert summary["records"]["corpus.jsonl"] == 1
    assert read_qrels(tmp_path / "out/qrels.txt") == {
        "s0/expert": {row(0).id: 2},
        "s1/expert": {row(0).id: 0},
    }
    assert summary["left_out"] == {"row: its passage is judged for its query already": 1}


def test_what_a_collection_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="white space"):
        export([row(0, id="a b")], "trec", tmp_path / "out")
    with pytest.raises(InputError, match="two different texts"):
        export([row(0), row(0, "negative:outdated", query="other")], "trec", tmp_path / "out")
    assert not (tmp_path / "out").exists()
