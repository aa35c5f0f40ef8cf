"""Weights of fused scores: chosen on the odd queries, measured on the even ones; against brute force."""

from __future__ import annotations

import json
import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from limrank_evals.zoo.cell import SCHEMA
from limrank_evals.zoo.fusion import choose
from limrank_evals.zoo.part_scores import PartScores, read_parts
from limrank_plugins.cli import build_app
from limrank_plugins.errors import InputError

Scores = Mapping[str, Mapping[str, float]]
"""By query, then by document."""

DOCUMENTS = [f"d{i}" for i in range(6)]


def cell(
    zoo: Path,
    collection: str,
    recipe: str,
    scores: Scores,
    grades: Mapping[str, Any],
    about: Mapping[str, Any] = {},
    **more: Any,
) -> Path:
    """A cell as the zoo leaves it, with rankings of these scores, and other words `about` it."""
    place = zoo / collection / recipe
    (place / "test").mkdir(parents=True)
    lines, values = [], {}
    for query, of_query in scores.items():
        order = sorted(of_query, key=lambda document: -of_query[document])
        values[query] = ndcg(order, grades[query])
        hits = [{"id": d, "rank": i, "score": of_query[d]} for i, d in enumerate(order, 1)]
        lines.append({"query_id": query, "score_kind": "similarity", "failures": [], "hits": hits} | more)
    (place / "test/rankings.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    judged = [f"{q} 0 {d} {grade}\n" for q, found in grades.items() for d, grade in found.items()]
    (place / "test/qrels.trec").write_text("".join(judged))
    record = {"schema": SCHEMA, "final": True, "values": values, "made of": grades}
    (place / "cell.json").write_text(json.dumps(record | about, sort_keys=True))
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


def read_all(*names: str) -> dict[str, dict[str, PartScores]]:
    return read_parts(names)[0]


def ndcg(order: Sequence[str], grades: Mapping[str, int]) -> float:
    gains = [grades.get(document, 0) for document in order]
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
    made = choose(read_all(*(f"{tmp_path / name}:{name}" for name in names)), grid)

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
    read = read_all(f"{tmp_path}:mini", f"{tmp_path}:qlm")
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
    assert found["left_out"] == {}
    assert found["alone"] == found["collections"]["one"]["alone"]
    assert "regressions" not in found["collections"]["one"]
    assert "mean" not in shown.stdout, "of one collection"
    forced = limrank(*parts, "--weight=0", "--weight=0.5")
    assert "0.5 is the largest weight that was tried" in forced.stderr


def test_what_a_reader_could_overlook_is_said(tmp_path: Path):
    (weak, better, _), grades = drawn(3)
    for collection in ("one", "two"):
        cell(tmp_path, collection, "mini", weak, grades)
    cell(tmp_path, "one", "qlm", better, grades)
    shown = limrank(f"{tmp_path}:mini", f"{tmp_path}:qlm", "--weight", "0.25")
    assert shown.exit_code == 0, shown.stderr
    assert f"two is left out: {tmp_path}:qlm has no cell there" in shown.stderr
    assert f"{tmp_path}:qlm alone has " in shown.stderr
    (tmp_path / "two/qlm").mkdir()
    assert f"two is left out: {tmp_path}:qlm is not finished" in limrank(*shown_parts(tmp_path)).stderr
    cell(tmp_path / "more", "two", "qlm", better, grades, {"values": None, "why": "judged nothing"})
    (tmp_path / "two/qlm").rmdir()
    (tmp_path / "more/two/qlm").rename(tmp_path / "two/qlm")
    told = limrank(*shown_parts(tmp_path), "--json")
    assert json.loads(told.stdout)["left_out"] == {
        "two": f"{tmp_path}:qlm has no values there (judged nothing)"
    }


def shown_parts(zoo: Path) -> tuple[str, str]:
    return f"{zoo}:mini", f"{zoo}:qlm"


def test_a_part_alone_is_what_its_cell_says_though_scores_are_equal(tmp_path: Path):
    grades = {f"q{i}": {"d0": 1, "d1": 0} for i in range(4)}
    right = {q: {"d0": 1.0, "d1": 0.0} for q in grades}
    # Its equal scores stand in the first stage's order, which is wrong: not in that of the first part.
    equal = {q: {"d1": 0.5, "d0": 0.5} for q in grades}
    cell(tmp_path, "one", "mini", right, grades)
    cell(tmp_path, "one", "qlm", equal, grades)
    made = choose(read_all(f"{tmp_path}:mini", f"{tmp_path}:qlm"))
    assert made.alone == (1.0, pytest.approx(1 / math.log2(3)))


def test_queries_keep_the_order_of_their_collection(tmp_path: Path):
    # cell.json sorts by name, where q10 stands before q2.
    grades = {f"q{i}": {"d0": i % 2, "d1": 1 - i % 2} for i in range(12)}
    first = {q: {"d0": 1.0, "d1": 0.0} for q in grades}
    cell(tmp_path, "one", "mini", first, grades)
    cell(tmp_path, "one", "qlm", first, grades)
    made = choose(read_all(f"{tmp_path}:mini", f"{tmp_path}:qlm"))
    assert made.alone[0] == 1.0, "at the even positions, q1, q3, …, d0 is relevant"


def test_what_cannot_be_fused_is_named(zoo: Path, tmp_path: Path):
    parts, grades = drawn(3)
    cell(zoo, "one", "rankgpt", parts[0], grades, score_kind="rank")
    cell(zoo, "one", "graded", parts[0], grades, failures=[{"id": "d1", "reason": "it was cut"}])
    cell(zoo, "one", "icr", parts[0], grades, {"final": False})
    (cell(zoo, "one", "first-stage", parts[0], grades) / "test/rankings.jsonl").unlink()
    cell(zoo, "one", "retro", {q: {"d0": 1.0} for q in grades}, grades)
    cell(zoo, "one", "other", parts[0], grades, {"made of": "others"})
    few = {"q00": parts[0]["q00"], "q01": parts[0]["q01"]}
    cell(zoo, "one", "few", few, grades)
    cell(tmp_path / "other", "two", "qlm", parts[1], grades)
    cell(tmp_path / "short", "three", "mini", {"q00": parts[0]["q00"]}, grades)
    cell(tmp_path / "short", "three", "qlm", {"q00": parts[1]["q00"]}, grades)
    mini, qlm = f"{zoo}:mini", f"{zoo}:qlm"
    seven = [f"{tmp_path}/many:{i}" for i in range(7)]
    for i in range(7):
        cell(tmp_path / "many", "one", str(i), parts[0], grades)
    for words, said in (
        ((mini,), "two parts or more, but got 1"),
        ((mini, mini), "mini is named twice$"),
        ((mini, f"{zoo}/:mini"), "/:mini is named twice, as .*zoo:mini, too"),
        (("mini", mini), "written ZOO:RECIPE, as in zoo-smollm2:qlm, but got 'mini'"),
        ((mini, ":mini"), "written ZOO:RECIPE, as in zoo-smollm2:qlm, but got ':mini'"),
        ((mini, f"{tmp_path}/none:qlm"), "there is no folder '.*/none', which '.*/none:qlm' names as a zoo"),
        ((mini, f"{zoo}:limrank"), "no cell of 'limrank'; there are: few, first-stage, graded, icr, mini"),
        ((mini, f"{zoo}:rankgpt"), "rankgpt puts documents in order"),
        ((mini, f"{zoo}:graded"), "1 document of query 'q00' failed and has no score"),
        ((mini, f"{zoo}:icr"), "no collection that all of .*:icr is not finished there"),
        ((mini, f"{zoo}:first-stage"), "holds no rankings.jsonl"),
        ((mini, f"{zoo}:retro"), "query q00: .*:retro ranks other documents than .*:mini"),
        ((mini, f"{zoo}:other"), "one is not the same to .*:other as to .*:mini"),
        ((mini, f"{zoo}:few"), "query q02: of .*:few and .*:mini one has it"),
        ((f"{zoo}:few", mini), "query q02: of .*:mini and .*:few one has it"),
        ((mini, f"{tmp_path}/other:qlm"), "no collection that all of .*one: .*qlm has no cell there; two: "),
        ((f"{tmp_path}/short:mini", f"{tmp_path}/short:qlm"), "three has 1 judged query"),
        ((mini, qlm, "--weight", "nan"), "a weight must be"),
        ((mini, qlm, "--weight=-1"), "a weight must be"),
        ((mini, qlm, "--weight", "1e300"), "a weight must be"),
        ((mini, qlm, "--seed", "-1"), "--seed"),
        (seven, "8 weights for each of 6 parts are 262,144 fusions"),
    ):
        told = limrank(*words)
        assert told.exit_code == 2, (words, told.output)
        with pytest.raises(InputError, match=said):
            raise InputError(" ".join(told.stderr.split()))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda row: row["hits"][0].update(score=math.nan), "the score of 'd.' must be a number, but is nan"),
        (lambda row: row["hits"][0].update(score=None), "the score of 'd.' must be a number, but is None"),
        (lambda row: row["hits"][0].update(score="1.5"), "must be a number, but is '1.5'"),
        (lambda row: row["hits"][0].pop("score"), "must be a number, but is None"),
        (lambda row: row["hits"][0].update(score=True), "must be a number, but is True"),
        (lambda row: row["hits"].append(row["hits"][0]), "was there before: 'd.'"),
        (lambda row: row.pop("hits"), "line 2: expected 'query_id', 'hits' and 'failures'"),
        (lambda row: row.update(failures=None), "line 2: expected 'query_id', 'hits' and 'failures'"),
        (lambda row: row.update(query_id="q00"), "line 2: query 'q00' was there before"),
        (lambda row: row.update(query_id="q99"), "do not give what cell.json says, as of query 'q01'"),
        (lambda row: row["hits"].reverse(), "do not give what cell.json says, as of query 'q01'"),
    ],
)
def test_damaged_rankings_are_told(zoo: Path, damage: Callable[[dict[str, Any]], None], said: str):
    file = zoo / "one/qlm/test/rankings.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    damage(rows[1])
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = limrank(*shown_parts(zoo))
    assert (told.exit_code, told.stdout) == (2, "")
    with pytest.raises(InputError, match=said):
        raise InputError(" ".join(told.stderr.split()))


def test_lost_rankings_are_noticed(zoo: Path):
    for recipe in ("mini", "qlm"):
        file = zoo / f"one/{recipe}/test/rankings.jsonl"
        file.write_text("".join(file.read_text().splitlines(keepends=True)[:4]))
    assert "do not give what cell.json says, as of query 'q04'" in limrank(*shown_parts(zoo)).stderr


def test_a_recipe_may_be_named_with_a_colon(tmp_path: Path):
    parts, grades = drawn(3)
    cell(tmp_path, "one", "limrank-auto-20-documents", parts[1], grades)
    cell(tmp_path, "one", "mini", parts[0], grades)
    assert list(read_all(f"{tmp_path}:mini", f"{tmp_path}:limrank, auto:20 documents")) == [
        f"{tmp_path}:mini",
        f"{tmp_path}:limrank, auto:20 documents",
    ]
