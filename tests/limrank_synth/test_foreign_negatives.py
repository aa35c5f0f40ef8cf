"""Passages of other queries as negatives: never a query's own, near ones, and the same for any order."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from limrank_plugins.cli import build_app
from limrank_plugins.data import Document
from limrank_plugins.errors import InputError
from limrank_plugins.retrievers import build_retriever
from limrank_synth import load_open
from limrank_synth.foreign_negatives import foreign_negatives, swapped_negatives
from limrank_synth.passage_alone import passage_alone
from limrank_synth.records import FOREIGN
from limrank_training.data.passage_rows import read_passage_rows

ROWS = load_open("dev")
PASSAGES = sorted({row.passage for row in ROWS})


def synth(*arguments: object) -> Result:
    return CliRunner().invoke(build_app(), ["synth", *map(str, arguments)])


def test_they_are_near_and_never_a_querys_own() -> None:
    bm25 = build_retriever("bm25s", [Document(text, id=str(i)) for i, text in enumerate(PASSAGES)])
    drawn = list(foreign_negatives(ROWS, 3, nearest=5))
    assert len(drawn) == 3 * len({row.query_id for row in ROWS})
    for row in drawn:
        own = {each.passage for each in ROWS if each.query_id == row.query_id}
        ranked = [hit.text for hit in bm25.search(row.query, len(PASSAGES)) if hit.text not in own]
        assert row.passage in ranked[:5]
        assert (row.relevant, row.intent, row.trace, row.votes) == (False, FOREIGN, "", ())
        assert row.meta["passage_of"] != row.query_id
    assert len({row.id for row in drawn}) == len(drawn)
    assert len({(row.query_id, row.passage) for row in drawn}) == len(drawn)


def test_the_order_of_the_rows_changes_nothing_and_the_seed_does() -> None:
    shuffled = random.Random(0).sample(ROWS, len(ROWS))
    drawn = {(row.query_id, row.passage) for row in foreign_negatives(ROWS, 2)}
    assert {(row.query_id, row.passage) for row in foreign_negatives(shuffled, 2)} == drawn
    assert {(row.query_id, row.passage) for row in foreign_negatives(ROWS, 2, seed=1)} != drawn


def test_queries_of_one_text_share_their_passages() -> None:
    first, *others = ROWS
    twin = replace(others[-1], query_id="twin", query=first.query)
    own = {row.passage for row in ROWS if row.query == first.query} | {twin.passage}
    drawn = list(foreign_negatives([*ROWS, twin], 20))
    assert {row.query_id for row in drawn} >= {"twin", first.query_id}
    assert not own & {row.passage for row in drawn if row.query == first.query}


def test_fewer_where_fewer_are_found() -> None:
    own = [row for row in ROWS if row.query_id == ROWS[0].query_id]
    assert list(foreign_negatives(own, 3)) == []
    with pytest.raises(InputError, match="foreign must be"):
        list(foreign_negatives(ROWS, 0))


def test_swapped_passages_are_all_as_often_relevant_and_their_queries_near() -> None:
    queries = sorted({row.query for row in ROWS})
    bm25 = build_retriever("bm25s", [Document(text, id=text) for text in queries])
    drawn = list(swapped_negatives(ROWS, 2, nearest=5))
    kept = [row for row in ROWS if row.relevant]
    assert [row for row in drawn if row.relevant] == kept
    assert len({(row.query_id, row.passage) for row in drawn}) == len(drawn) == 3 * len(kept)
    for row in kept:
        new = [each for each in drawn if each.passage == row.passage and not each.relevant]
        near = [hit.text for hit in bm25.search(row.passage, len(queries)) if hit.text != row.query][:5]
        assert len(new) == 2
        assert {each.query for each in new} <= set(near)
        assert {(each.intent, each.trace, each.meta["passage_of"]) for each in new} == {
            (FOREIGN, "", row.query_id)
        }
    alone = passage_alone(drawn, drawn)
    assert alone.length == pytest.approx(0.5)
    assert alone.words == pytest.approx(0.5)
    shuffled = random.Random(0).sample(ROWS, len(ROWS))
    assert {row.id for row in swapped_negatives(shuffled, 2, nearest=5)} == {row.id for row in drawn}
    assert {row.id for row in swapped_negatives(ROWS, 2, seed=1)} != {row.id for row in drawn}


def test_an_export_of_swapped_passages_has_no_other_negatives(tmp_path: Path) -> None:
    command = ("export", "limrank-open:dev", "--swapped", 2, "-o", tmp_path / "open", "--format")
    done = synth(*command, "rows", "--json")
    assert json.loads(done.stdout)["left_out"] == {}
    rows = list(read_passage_rows(tmp_path / "open" / "rows.jsonl", traces=False))
    assert len(rows) == 3 * sum(row.relevant for row in ROWS)
    assert "--swapped adds rows without traces" in synth(*command, "trl").stderr
    assert "leave one out" in synth(*command, "rows", "--foreign", 2).stderr


def test_an_export_with_them_trains_verdicts_and_no_reasoning(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    done = synth("export", "limrank-open:dev", "--format", "rows", "--foreign", 2, "-o", folder, "--json")
    assert json.loads(done.stdout)["left_out"] == {}
    read = list(read_passage_rows(folder / "rows.jsonl", traces=False))
    assert len(read) == len(ROWS) + 2 * len({row.query_id for row in ROWS})
    with pytest.raises(InputError, match="trace"):
        list(read_passage_rows(folder / "rows.jsonl"))
    refused = synth("export", "limrank-open:dev", "--format", "trl", "--foreign", 2, "-o", tmp_path / "trl")
    assert refused.exit_code == 2
    assert "--foreign adds rows without traces: use --format rows, pairs, triples, not trl" in refused.stderr
