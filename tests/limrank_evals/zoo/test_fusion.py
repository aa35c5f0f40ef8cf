"""Weights of fused scores: chosen on the odd queries, measured on the even ones; against brute force."""

from __future__ import annotations

import json
import math
import random
import statistics
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from limrank_evals.zoo.cell import SCHEMA
from limrank_evals.zoo.fusion import choose, read_part
from limrank_plugins.cli import build_app
from limrank_plugins.errors import InputError

Scores = Mapping[str, Mapping[str, float]]
"""By query, then by document."""

DOCUMENTS = [f"d{i}" for i in range(6)]


def cell(
    zoo: Path, collection: str, recipe: str, scores: Scores, grades: Mapping[str, Any], **more: Any
) -> Path:
    """A cell as the zoo leaves it, with rankings of these scores."""
    place = zoo / collection / recipe
    (place / "test").mkdir(parents=True)
    (place / "cell.json").write_text(json.dumps({"schema": SCHEMA, "final": True} | more.pop("cell", {})))
    lines = []
    for query, of_query in scores.items():
        order = sorted(of_query, key=lambda document: -of_query[document])
        hits = [{"id": d, "rank": i, "score": of_query[d]} for i, d in enumerate(order, 1)]
        lines.append({"query_id": query, "score_kind": "similarity", "failures": [], "hits": hits} | more)
    (place / "test/rankings.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    judged = [f"{q} 0 {d} {grade}\n" for q, found in grades.items() for d, grade in found.items()]
    (place / "test/qrels.trec").write_text("".join(judged))
    return place


def drawn(seed: int, queries: int = 8) -> tuple[list[Scores], dict[str, dict[str, int]]]:
    """Three parts' scores: a weak one, one that knows the grades a little, one that is noise; and grades."""
    draw = random.Random(seed)
    names = [f"q{i:02}" for i in range(queries)]
    grades = {q: {d: draw.choice([0, 0, 1, 2]) for d in DOCUMENTS} | {"d0": 1} for q in names}
    weak = {q: {d: grades[q][d] * 0.3 + draw.gauss(0, 1) for d in DOCUMENTS} for q in names}
    better = {q: {d: 50 + 10 * grades[q][d] + 9 * draw.gauss(0, 1) for d in DOCUMENTS} for q in names}
    noise = {q: {d: draw.gauss(0, 1) for d in DOCUMENTS} for q in names}
    return [weak, better, noise], grades


def ndcg(order: Sequence[str], grades: Mapping[str, int]) -> float:
    gains = [grades[document] for document in order]
    ideal = sorted(grades.values(), reverse=True)
    parts = [sum(g / math.log2(i + 2) for i, g in enumerate(one[:10])) for one in (gains, ideal)]
    return parts[0] / parts[1]


def fused(parts: Sequence[Scores], weights: Sequence[float], query: str) -> list[str]:
    totals = dict.fromkeys(DOCUMENTS, 0.0)
    for part, weight in zip(parts, weights, strict=True):
        own = part[query]
        mean, spread = statistics.fmean(own.values()), statistics.pstdev(own.values())
        for document, score in own.items():
            totals[document] += weight * (score - mean) / spread
    return sorted(totals, key=lambda document: -totals[document])


@pytest.mark.parametrize("others", [1, 2])
def test_weights_are_those_of_brute_force(tmp_path: Path, others: int):
    grid = (0.0, 0.5, 1.0, 3.0)
    collections = {"one": drawn(1), "two": drawn(2, queries=5)}
    for name, (parts, grades) in collections.items():
        for recipe, scores in zip(("mini", "qlm", "graded"), parts, strict=True):
            cell(tmp_path / recipe, name, recipe, scores, grades)
    names = ["mini", "qlm", "graded"][: 1 + others]
    read = {name: read_part(f"{tmp_path / name}:{name}") for name in names}
    made = choose(read, grid)

    def mean(weights: Sequence[float], start: int) -> float:
        return statistics.fmean(
            statistics.fmean(
                ndcg(fused(parts[: 1 + others], weights, query), grades[query])
                for query in list(grades)[start::2]
            )
            for parts, grades in collections.values()
        )

    tried = [(1.0, *weights) for weights in product(grid, repeat=others)]
    best = max(mean(weights, 0) for weights in tried)
    assert made.weights in [weights for weights in tried if mean(weights, 0) == pytest.approx(best)]
    assert made.chosen_on == (pytest.approx(mean((1, *[0] * others), 0)), pytest.approx(best))
    assert made.weights[1] > 0, "it knows something, so it is used"
    for name, (parts, grades) in collections.items():
        even = list(grades)[1::2]
        one = made.collections[name]
        assert one.against.queries == len(even)
        assert one.against.second == pytest.approx(
            statistics.fmean(ndcg(fused(parts[: 1 + others], made.weights, q), grades[q]) for q in even)
        )
        assert one.alone == tuple(
            pytest.approx(
                statistics.fmean(ndcg(sorted(part[q], key=lambda d: -part[q][d]), grades[q]) for q in even)
            )
            for part in parts[: 1 + others]
        )
    expected = mean(made.weights, 1) - mean((1, *[0] * others), 1)
    assert made.difference == pytest.approx(expected)
    assert made.interval is not None
    assert made.interval.low <= made.difference <= made.interval.high


def test_what_is_of_no_use_gets_no_weight_and_ties_stay_as_the_first_part_has_them(tmp_path: Path):
    grades = {f"q{i}": {"d0": 1, "d1": 0} for i in range(4)}
    right = {q: {"d0": 1.0, "d1": 0.0} for q in grades}
    wrong = {q: {"d0": 0.0, "d1": 1.0} for q in grades}
    cell(tmp_path, "one", "mini", right, grades)
    cell(tmp_path, "one", "qlm", wrong, grades)
    read = {name: read_part(f"{tmp_path}:{name}") for name in ("mini", "qlm")}
    assert choose(read).weights == (1.0, 0.0), "at 1 they would be equal, and as before"
    assert choose(read, (1.0, 2.0)).weights == (1.0, 1.0)


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    parts, grades = drawn(3)
    for recipe, scores in zip(("mini", "qlm"), parts, strict=False):
        cell(tmp_path / "zoo", "one", recipe, scores, grades)
    return tmp_path / "zoo"


def limrank(*words: str) -> Any:
    return CliRunner().invoke(build_app(), ["eval", "fuse", *words])


def test_the_command_shows_what_it_measured(zoo: Path):
    parts = (f"{zoo}:mini", f"{zoo}:qlm")
    told = limrank(*parts, "--json")
    assert told.exit_code == 0, told.stderr
    found = json.loads(told.stdout)
    assert found["weights"][parts[0]] == 1.0
    assert list(found["collections"]) == ["one"]
    assert found["collections"]["one"]["queries"]["both"] == 4
    shown = limrank(*parts)
    assert f"{found['difference']:+.4f}" in shown.stdout
    assert f"1 · {zoo}:mini, {found['weights'][parts[1]]:g} · {zoo}:qlm" in shown.stderr
    assert "-1 ·" in limrank(*parts, "--weight=-1").stderr


def test_what_cannot_be_fused_is_named(zoo: Path, tmp_path: Path):
    parts, grades = drawn(3)
    cell(zoo, "one", "rankgpt", parts[0], grades, score_kind="rank")
    cell(zoo, "one", "graded", parts[0], grades, failures=[{"id": "d1", "reason": "it was cut"}])
    cell(zoo, "one", "icr", parts[0], grades, cell={"final": False})
    (cell(zoo, "one", "first-stage", parts[0], grades) / "test/rankings.jsonl").unlink()
    cell(zoo, "one", "retro", {q: {"d0": 1.0} for q in grades}, grades)
    cell(tmp_path / "other", "two", "qlm", parts[1], grades)
    cell(tmp_path / "short", "three", "mini", {"q00": parts[0]["q00"]}, grades)
    cell(tmp_path / "short", "three", "qlm", {"q00": parts[1]["q00"]}, grades)
    mini = f"{zoo}:mini"
    for words, said in (
        ((mini,), "two parts or more"),
        ((mini, mini), "named twice"),
        (("mini", mini), "written ZOO:RECIPE, as in zoo-smollm2:qlm, but got 'mini'"),
        ((mini, f"{tmp_path}/none:qlm"), "written ZOO:RECIPE"),
        ((mini, f"{zoo}:limrank"), "no finished cell of 'limrank'"),
        ((mini, f"{zoo}:rankgpt"), "rankgpt puts documents in order"),
        ((mini, f"{zoo}:graded"), "1 document of query 'q00' failed and has no score"),
        ((mini, f"{zoo}:icr"), "is not finished"),
        ((mini, f"{zoo}:first-stage"), "the first stage has none"),
        ((mini, f"{zoo}:retro"), "query q00: .*:retro ranks other documents than .*:mini"),
        ((mini, f"{tmp_path}/other:qlm"), "no collection that all of"),
        ((f"{tmp_path}/short:mini", f"{tmp_path}/short:qlm"), "three has one query"),
        ((mini, f"{zoo}:qlm", "--weight", "nan"), "--weight"),
    ):
        told = limrank(*words)
        assert told.exit_code == 2, (words, told.output)
        with pytest.raises(InputError, match=said):
            raise InputError(told.stderr.replace("\n", " "))
