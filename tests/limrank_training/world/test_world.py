"""The generated world: what its questions, passages, traces and files promise."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.errors import InputError
from limrank_training.data.group_rows import read_groups
from limrank_training.data.passage_rows import read_passage_rows
from limrank_training.world.base_model import make_tokenizer
from limrank_training.world.language import make_world
from limrank_training.world.proof import prove, summary, table
from limrank_training.world.proof_arms import (
    ARMS,
    RECIPES,
    ProofScale,
    held_out_topics,
    plan_of,
    training_topics,
)
from limrank_training.world.queries import HARD, make_query, trace
from limrank_training.world.texts import comparisons, facts_and_queries, name_rows
from limrank_training.world.topic_ndcg import expected
from limrank_training.world.topics import curated, make_topics, rows_of, write_groups, write_rows

WORLD = make_world(3)


def solved(query: str, passage: str) -> bool:
    """Whether the passage answers the query, worked out from the two texts alone."""
    *facts, query = query.split(". ")
    whom = {tuple(fact.split()[:2]): fact.split()[2] for fact in facts}
    assert len({name for _, name in whom}) == len(facts)  # of no entity two facts are told
    _, attribute, _, name, *path = query.rstrip("?").split()
    for relation in path:
        name = whom[relation, name]
    return passage.split()[:3] == [attribute, "of", name]


def test_the_world_depends_on_its_seed_alone():
    assert make_world(3) == WORLD
    assert make_world(4) != WORLD
    for (name, _), other in WORLD.related.items():
        assert (name in WORLD.held_out) == (other in WORLD.held_out)
        assert name != other


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("kinds", [HARD, ("random",)])
def test_one_passage_answers_and_it_is_the_one_marked(held_out: bool, kinds: tuple[str, ...]):
    topics = make_topics(WORLD, random.Random(1), 200, held_out=held_out, kinds=kinds, size=4)
    steps = [topic.query.steps for topic in topics]
    assert [steps.count(number) for number in (0, 1, 2)] == [60, 70, 70]
    for topic in topics:
        query = topic.query.text
        assert [p.relevant for p in topic.passages] == [solved(query, p.text) for p in topic.passages]
        assert sum(p.relevant for p in topic.passages) == 1
        assert len({p.text for p in topic.passages}) == 4
        for passage in topic.passages:
            target, wanted = topic.query.target, topic.query.attribute
            if passage.kind == "other attribute":
                assert (passage.entity, passage.attribute != wanted) == (target, True)
            if passage.kind in ("other entity", "broken chain"):
                assert (passage.attribute, passage.entity != target) == (wanted, True)
            if passage.kind == "broken chain":
                assert passage.entity in re.findall(r"\w+", query)


def test_traces_end_in_the_verdict_and_say_only_what_is_so():
    for topic in make_topics(WORLD, random.Random(2), 100, size=8):
        for passage in topic.passages:
            said = trace(topic.query, passage)
            assert passage.relevant == ("different" not in said)
            facts = [
                s for s in said.removeprefix("Steps: ").split(". ") if len(s.split()) == 3 and ":" not in s
            ]
            assert len(facts) == topic.query.steps
            assert all(fact in topic.query.text for fact in facts)


def test_training_shows_no_held_out_entity():
    scale = ProofScale(topics=150)
    asked = {name for topic in held_out_topics(WORLD, scale, 0) for name in topic.query.chain}
    assert asked <= WORLD.held_out
    for arm in ARMS:
        words = " ".join(
            f"{topic.query.text} {passage.text} {trace(topic.query, passage)}"
            for topic in training_topics(WORLD, arm, scale, 0)
            for passage in topic.passages
        )
        assert not WORLD.held_out & set(re.findall(r"\w+", words))


def test_noise_turns_rows_round_and_the_curated_are_right():
    topics = make_topics(WORLD, random.Random(3), 400, size=4)
    rows = rows_of(topics, random.Random(4), noise=0.25)
    assert sum(not row.clean for row in rows) == pytest.approx(0.25 * len(rows), rel=0.15)
    for row in rows:
        assert row.relevant == ("different" not in row.trace)
    few = curated(rows, 0.05)
    assert len(few) == 80
    assert all(row.clean for row in few)
    assert sum(row.relevant for row in few) == 40
    assert {row.topic.query.steps for row in few} == {0, 1, 2}
    assert {row.passage.kind for row in few} == {"relevant", *HARD}


def test_rows_and_groups_are_the_same_passages(tmp_path: Path):
    topics = make_topics(WORLD, random.Random(5), 30, size=4)
    rows = list(read_passage_rows(write_rows(rows_of(topics, random.Random(0)), tmp_path / "rows.jsonl")))
    groups = list(read_groups(write_groups(topics, tmp_path / "groups.jsonl")))
    assert [row.passage for row in rows] == [p.text for group in groups for p in group.passages]
    assert [float(row.relevant) for row in rows] == [p.grade for group in groups for p in group.passages]


def test_every_word_is_a_token_and_no_text_has_an_unknown_one():
    tokenizer = make_tokenizer(WORLD, RECIPES)
    encoder, draw = PromptEncoder(tokenizer), random.Random(6)
    unknown = tokenizer.unk_token_id
    for lesson in 50 * (name_rows, comparisons, facts_and_queries):
        given, follows = lesson(WORLD, draw)
        ids = tokenizer(given + follows)["input_ids"]
        assert unknown not in ids
        assert encoder.decode(ids) == given + follows
        assert "true" not in follows
        assert "Passage" not in given
    assert encoder.label_ids([" true", " false"], "\n</think>")


def test_the_base_reads_of_facts_that_are_not_the_worlds():
    draw, known = random.Random(7), 0
    facts = {f"{relation} {name} {other}" for (name, relation), other in WORLD.related.items()}
    told = [facts_and_queries(WORLD, draw)[0].strip().rstrip(".").split(". ") for _ in range(300)]
    said = [fact for text in told for fact in text if " of " not in fact and fact != "Read:"]
    assert all(len(fact.split()) == 3 for fact in said)
    known = sum(fact in facts for fact in said)
    assert known / len(said) < 0.05  # as often as chance has it


def test_bad_numbers_and_names_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="0, 1 or 2"):
        make_query(WORLD, random.Random(0), 3)
    with pytest.raises(InputError, match="entities"):
        make_world(0, entities=500)
    with pytest.raises(InputError, match="held_out"):
        make_world(0, held_out=117)
    with pytest.raises(InputError, match="no arm 'none'"):
        prove([0], ["none"], ProofScale(), tmp_path)


def test_the_summary_is_the_mean_with_its_interval():
    def run(value: float) -> dict[str, object]:
        measured = {"ndcg": value, "by_steps": {0: value, 1: value, 2: value}, "failed": 0}
        return {"arm": "traces", "seed": 0, "chance": 0.2, "before": measured, "after": measured, "rows": 9}

    (one,) = summary([run(0.5)])
    assert one["interval"] is None
    (row,) = summary([run(0.8), run(0.9), run(1.0)])
    assert row["after"] == pytest.approx(0.9)
    assert row["interval"] == pytest.approx(4.303 * 0.1 / 3**0.5)
    assert "0.900 ± 0.248" in table([row])
    assert expected(2) == pytest.approx((1 + 1 / 1.5849625) / 2)


def test_arms_differ_in_what_they_say_they_do(tmp_path: Path):
    plans = {arm.name: plan_of(arm, ProofScale(), 0, tmp_path) for arm in ARMS}
    assert plans["traces"].reasoning
    assert not plans["no-traces"].reasoning
    assert plans["setwise"].optimiser.batch * 4 == plans["no-traces"].optimiser.batch
    assert len({plan.optimiser.steps for plan in plans.values()}) == 1
