"""The small world's model for reasoning and verdicts, at a size that learns nothing, and its collection."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import torch

from limrank_plugins import Reranker
from limrank_plugins.qrels import read_qrels
from limrank_training.world import reasoner
from limrank_training.world.base_model import DecoderShape, make_tokenizer
from limrank_training.world.language import ATTRIBUTES, make_world
from limrank_training.world.reasoner import ReasonerScale, make_reasoner, write_collection

torch.set_num_threads(1)
WORLD = make_world(0)


def lines(file: Path) -> dict[str, str]:
    records = map(json.loads, file.read_text().splitlines())
    return {record["_id"]: record["text"] for record in records}


def test_the_collection_is_the_held_out_side_and_one_passage_answers_each_query(tmp_path: Path):
    write_collection(WORLD, tmp_path, 20, 0)
    corpus, queries = lines(tmp_path / "corpus.jsonl"), lines(tmp_path / "queries.jsonl")
    assert len(corpus) == len(WORLD.held_out) * len(ATTRIBUTES)
    qrels = read_qrels(tmp_path / "qrels.trec")
    assert set(qrels) == set(queries)
    for query, grades in qrels.items():
        [(answer, grade)] = grades.items()
        assert grade == 1
        *facts, asked = queries[query].split(". ")
        whom = {tuple(fact.split()[:2]): fact.split()[2] for fact in facts}
        _, attribute, _, name, *path = asked.rstrip("?").split()
        for relation in path:
            name = whom[relation, name]
        assert corpus[answer].split()[:3] == [attribute, "of", name]
        assert name in WORLD.held_out


def test_each_row_is_learned_with_its_trace_and_without():
    scale = ReasonerScale(topics=5, verdicts=2)
    tokenizer = make_tokenizer(WORLD, ["limrank"])
    examples = reasoner._examples(WORLD, tokenizer, scale, 0)
    by_row = Counter(example.where for example in examples)
    assert set(by_row.values()) == {3}
    assert len(by_row) == 5 * 4
    bare = [example for example in examples if len(example.ids) - example.learned == 1]
    assert len(bare) == 2 * len(by_row)
    labels = Counter(tokenizer.decode(example.ids[-1]) for example in bare)
    assert labels == {" true": 2 * 5, " false": 2 * 15}


def test_the_model_is_asked_with_the_prompt_that_it_is_trained_with(tmp_path: Path):
    scale = ReasonerScale(DecoderShape(drills=1, steps=1, batch=1), topics=1, verdicts=1, batch=8)
    model = make_reasoner(WORLD, tmp_path / "model", scale, 0)
    for reasoning in ("none", "full"):
        reranker = Reranker("limrank", model=str(model), reasoning=reasoning, max_reasoning_tokens=8)
        assert reranker.template is not None
        assert reranker.template.name == "limrank"
        ranking = reranker.rank("Tell size of bado?", ["size of bado is large.", "food of bado is rice."])
        assert all(0 < hit.score < 1 for hit in ranking if hit.score is not None)
        assert not ranking.failures
        assert (ranking.usage.generated_tokens > 0) == (reasoning != "none")
