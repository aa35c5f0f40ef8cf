"""One seed's way through all stages: what it makes is accounted for and depends on its answers alone."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synth_replies import reply
from synth_roles import body_of, read
from synth_server import completion

from limrank_plugins.backends.protocols import Generated
from limrank_plugins.errors import InputError
from limrank_synth.guidelines import load_guidelines
from limrank_synth.records import LabelledPassage, Rejection, Seed, Source
from limrank_synth.role_requests import RoleProgram, RoleRequest
from limrank_synth.run_files import read_rows, write_rejections, write_rows
from limrank_synth.settings import Role, SynthSettings
from limrank_synth.stages.personas import shipped_personas
from limrank_synth.synthesis import SeedResult, synthesise
from limrank_synth.synthesis_run import synthesise_all

SETTINGS = SynthSettings({"writer": Role("w"), "judge": Role("j"), "second": Role("s")}, votes=3, negative=3)
KNOWN = load_guidelines()
SEED = Seed("s1", "what is yeast", Source("seeds", "CC-BY-4.0", commercial=True))


def answered(question: RoleRequest, fault: str | None = None) -> Generated:
    return read(question, completion(body_of(question, SETTINGS), fault))


def drive(
    program: RoleProgram[SeedResult], answer: Callable[[RoleRequest], Generated] = answered
) -> SeedResult:
    try:
        questions = next(program)
        while True:
            questions = program.send([answer(question) for question in questions])
    except StopIteration as finished:
        found: SeedResult = finished.value
        return found


def made(
    settings: SynthSettings = SETTINGS, answer: Callable[[RoleRequest], Generated] = answered
) -> SeedResult:
    return drive(synthesise(SEED, shipped_personas(), settings, KNOWN), answer)


def test_what_is_made_of_a_seed():
    found = made()
    assert [row.id for row in found.rows] == [
        f"s1/{kind}/{i}" for kind in ("daily-life", "expert") for i in range(5)
    ]
    assert found.rejections == []
    for row in found.rows:
        assert len(row.votes) == len(row.second) == 3
        assert row.relevant == (sum(row.votes) >= 2)
        assert row.sources[0] == SEED.source
        assert {source.name for source in row.sources[2:]} == {"model w", "model j", "model s"}
        assert row.meta["seed"] == SEED.text
        assert row.false_claim == (row.intent == "negative:false-claim")
    assert found.counts == {
        "rewriting": (2, 2),
        "reasoning": (2, 2),
        "descriptions": (10, 10),
        "passages": (10, 10),
        "judging": (10, 10),
    }
    assert made() == found


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.floats(0, 1))
def test_nothing_is_lost_whatever_goes_wrong(seed: int, share: float):
    rng = random.Random(seed)

    def answer(question: RoleRequest) -> Generated:
        fault = rng.choice(["malformed", "refused", "empty", "cut"]) if rng.random() < share else None
        return answered(question, fault)

    found = made(answer=answer)
    lost = {one.item: one.stage for one in found.rejections}
    assert len(lost) == len(found.rejections)
    ids = {row.id for row in found.rows}
    for kind in ("daily-life", "expert"):
        query = f"s1/{kind}"
        for number in range(5):
            assert (f"{query}/{number}" in ids) + (f"{query}/{number}" in lost) + (query in lost) == 1
    assert all(one.reason for one in found.rejections)


def test_the_trace_argues_for_the_label():
    def answer(question: RoleRequest) -> Generated:
        if question.role == "judge":
            said = question.sample != 0
            return reply(f"<think>I say {said} of it.</think> {str(said).lower()}")
        return answered(question)

    found = made(answer=answer)
    assert {(row.relevant, row.votes, row.trace) for row in found.rows} == {
        (True, (False, True, True), "I say True of it.")
    }


def test_every_seed_is_drawn_for_by_itself():
    # What is drawn for a seed depends on the run's seed and its own name alone.
    one = next(synthesise(SEED, shipped_personas(), SETTINGS, KNOWN))
    assert one == next(
        synthesise(dataclasses.replace(SEED, text=SEED.text), shipped_personas(), SETTINGS, KNOWN)
    )
    other = next(synthesise(dataclasses.replace(SEED, id="s2"), shipped_personas(), SETTINGS, KNOWN))
    again = next(synthesise(SEED, shipped_personas(), dataclasses.replace(SETTINGS, seed=1), KNOWN))
    assert one not in (other, again)
    alone = next(
        synthesise(SEED, shipped_personas(), dataclasses.replace(SETTINGS, kinds=("expert",)), KNOWN)
    )
    assert alone == one[1:]


TEXT = st.text(st.characters(), max_size=30)


@given(TEXT, TEXT, st.booleans())
def test_rows_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, text: str, other: str, packed: bool
):
    row = dataclasses.replace(made().rows[0] if not _ROW else _ROW[0], query=text, meta={"x": other})
    _ROW[:] = [row]
    path = tmp_path_factory.mktemp("rows") / ("rows.jsonl.gz" if packed else "rows.jsonl")
    write_rows(path, [row, row])
    clean = [one.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for one in (text, other)]
    assert list(read_rows(path)) == [dataclasses.replace(row, query=clean[0], meta={"x": clean[1]})] * 2


_ROW: list[LabelledPassage] = []


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"id": "x"}'])
def test_rows_that_are_none(tmp_path: Path, line: str):
    (tmp_path / "rows.jsonl").write_text(f"\n{line}\n", "utf-8")
    with pytest.raises(InputError, match=r"rows\.jsonl, line 2"):
        list(read_rows(tmp_path / "rows.jsonl"))


def test_long_rejected_texts_are_shortened(tmp_path: Path):
    write_rejections(tmp_path / "r.jsonl", [Rejection("a", "1", "why", "x" * 5000)])
    assert len(json.loads((tmp_path / "r.jsonl").read_text("utf-8"))["text"]) == 2000


def test_seeds_with_one_id(tmp_path: Path):
    with pytest.raises(InputError, match="seed id"):
        synthesise_all([SEED, SEED], shipped_personas(), SETTINGS, tmp_path, offline=True)


def test_what_a_killed_process_left_behind_is_swept_up(tmp_path: Path):
    (tmp_path / ".rows.jsonl.77.abcd").write_text("half", "utf-8")
    (tmp_path / ".mine").write_text("not ours", "utf-8")
    synthesise_all([], shipped_personas(), SETTINGS, tmp_path, offline=True)
    assert [path.name for path in tmp_path.glob(".*")] == [".mine"]


def test_no_seeds_and_nobody_to_ask(tmp_path: Path):
    found: Any = synthesise_all([], shipped_personas(), SETTINGS, tmp_path, offline=True)
    assert (found.rows, found.unasked, found.report["rows"]) == ([], {}, 0)
    found = synthesise_all([SEED], shipped_personas(), SETTINGS, tmp_path, offline=True)
    assert len(found.unasked) == 2
    assert found.unfinished == {"s1": "a reply is not in the store"}
