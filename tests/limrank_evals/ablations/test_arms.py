"""Ablations as files: what arms inherit, which components there are, what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from synthetic_rows import row, rows, rows_file

from limrank_evals.ablations import ablation_names, load_ablation
from limrank_evals.ablations.arm_evaluation import Evaluation
from limrank_evals.ablations.arm_setup import set_up_arms
from limrank_evals.ablations.arms import Arm
from limrank_evals.ablations.components import keeping, plan_changes
from limrank_evals.ablations.pools import read_pool
from limrank_plugins.errors import InputError

FILE = """
about: a test
plan: direct
set: {base: tiny}
steps: 7
seed: 3
reference: full
data: {one: one.jsonl, two: two.jsonl}
evaluate: {source: bench, splits: test, measures: [nDCG@10]}
arms:
  full: {rows: {one: 20, two: all}}
  half: {of: full, total: 10, set: {optimiser.rate: 1.0e-3}}
  less: {of: half, without: [expert], refill: false}
  least: {of: less, without: [expert, "intent=negative:*"], plan: limrank-7b-paper}
  all: {}
"""


def written(folder: Path, text: str, name: str = "mine.yaml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_arms_inherit_what_they_do_not_say(tmp_path: Path):
    made = load_ablation(written(tmp_path, FILE))
    assert (made.name, made.plan, made.steps, made.seed, made.reference) == ("mine", "direct", 7, 3, "full")
    full, half, less, least, everything = made.arms
    assert full == Arm("full", {"one": 20, "two": None})
    assert half == Arm("half", full.rows, 10, changes={"optimiser.rate": 1e-3})
    assert less == Arm("less", full.rows, 10, ("expert",), False, changes=half.changes)
    assert least.without == ("expert", "intent=negative:*")
    assert (least.refill, least.plan) == (False, "limrank-7b-paper")
    assert everything.rows == {"one": None, "two": None}
    assert made.evaluation is not None
    assert (made.evaluation.splits, made.evaluation.measures) == (("test",), ("nDCG@10",))


def test_all_is_every_row_of_every_pool(tmp_path: Path):
    more = "  every: {of: half, rows: all}\n  one: {rows: {one: all}}\n"
    *_, every, one = load_ablation(written(tmp_path, FILE + more)).arms
    assert (every.rows, every.total) == ({"one": None, "two": None}, 10)
    assert one.rows == {"one": None}
    with pytest.raises(InputError, match="rows"):
        load_ablation(written(tmp_path, FILE + "  bad: {rows: some}\n"))


def test_toml_and_what_is_given_besides(tmp_path: Path):
    toml = 'data = {one = "1"}\nset = {seed = 1}\n[evaluate]\nsource = "x"\n[arms.a]\n[arms.b]\nof = "a"\n'
    given = {"data": {"two": "2"}, "set": {"dev": 0.0}, "seed": 9, "evaluate": {"depth": 5}}
    made = load_ablation(written(tmp_path, toml, "mine.toml"), given)
    assert made.data == {"one": "1", "two": "2"}
    assert made.changes == {"seed": 1, "dev": 0.0}
    assert made.evaluation == Evaluation(source="x", depth=5)
    assert (made.seed, made.reference, made.steps) == (9, "a", "epochs")


@pytest.mark.parametrize("name", ablation_names())
def test_shipped_ablations_are_whole(name: str, tmp_path: Path):
    pools = ["choices", "open", "orders", "swapped"] if name == "limrank-open" else ["rank1", "synthetic"]
    asked = f"where are the rows of {', '.join(map(repr, pools))}? name their files: --data {pools[0]}=FILE"
    with pytest.raises(InputError, match=re.escape(asked)):
        load_ablation(name)
    made = load_ablation(name, {"data": dict.fromkeys(pools, "rows.jsonl")})
    assert made.about
    assert made.arm(made.reference).rows


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("arms: {}", "has no arms"),
        ("arms: {a: {of: b}, b: {}}", "arm 'a' is made of 'b', which is no arm above it"),
        ("arms: {a/b: {}}", "an arm's name is a folder's"),
        ("arms: {..: {}}", "an arm's name is a folder's"),
        ("arms: {a: {rows: {none: 1}}}", "draws from 'none'"),
        ("arms: {a: {rows: {one: 0}}}", "one must be a number > 0 or all, but is 0"),
        ("arms: {a: {rows: {one: true}}}", "arms.a.rows.one.*valid integer, but got True"),
        ("arms: {a: {total: 1.5}}", "arms.a.total: .*valid integer, but got 1.5"),
        ("arms: {a: {without: expert}}", "arms.a.without: .*, but got 'expert'"),
        ("arms: {a: {without: [verbs]}}", "there is no component 'verbs'; there are: daily-life"),
        ("arms: {a: {without: [colour=red]}}", "there is no component 'colour=red'"),
        ("arms: {a: {refill: 1}}", "arms.a.refill: .*valid boolean, but got 1"),
        ("arms: {a: {size: 1}}", "there is no field 'arms.a.size'"),
        ("arms: {a: 1}", "arms.a: "),
        ("arms: [a]", "arms: .*, but got"),
        ("arms: {a: {}}\nreference: b", "the reference must be one of the arms a, but is 'b'"),
        ("arms: {a: {}}\nsteps: many", "steps must be epochs, equal or a number > 0"),
        ("arms: {a: {}}\nsteps: 0", "steps must be"),
        ("arms: {a: {}}\nseed: x", "seed: .*valid integer, but got 'x'"),
        ("arms: {a: {}}\nplan: [x]", "plan: .*valid string"),
        ("arms: {a: {}}\nname: x", "there is no field 'name'"),
        ("arms: {a: {}}\nevaluate: {k: 1}", "there is no field 'evaluate.k'"),
        ("arms: {a: {}}\nevaluate: {depth: x}", "evaluate.depth: .*valid integer, but got 'x'"),
        ("arms: {a: {}}\nevaluate: {splits: 3}", "evaluate.splits: .*, but got 3"),
        ("arms: {a: {}}\nevaluate: {reranker: {recipe: mini}}", "cannot set 'recipe': an arm's export"),
        ("arms: {a: {}}\nevaluate: {reranker: {trust_remote_code: true}}", "which no file may set"),
        ("arms: {a: [", "is not YAML"),
    ],
)
def test_bad_ablations(tmp_path: Path, change: str, message: str):
    with pytest.raises(InputError, match=message):
        load_ablation(written(tmp_path, f"data: {{one: one.jsonl}}\n{change}\n"))


def test_no_such_file_or_arm(tmp_path: Path):
    with pytest.raises(InputError, match="there is no ablation file"):
        load_ablation("none.toml")
    with pytest.raises(InputError, match="there is no ablation 'none'; there are: components"):
        load_ablation("none")
    with pytest.raises(InputError, match="is not TOML"):
        load_ablation(written(tmp_path, "=", "x.toml"))
    with pytest.raises(InputError, match="there is no arm 'x'; there are: full"):
        load_ablation(written(tmp_path, FILE)).arm("x")


# ---- components ---------------------------------------------------------------------------------


def kept(component: str, pool: Any) -> list[Any]:
    keeps = keeping(component, pool.rows)
    return [e for e in pool.rows if keeps(e)]


def test_components_go_by_what_a_synthesis_writes(tmp_path: Path):
    made = rows(13)
    plain = {"query": "rank1", "passage": "style", "trace": "x", "relevant": True}
    path = rows_file(tmp_path / "rows.jsonl", made)
    path.write_text(path.read_text() + json.dumps(plain) + "\n")
    pool = read_pool("p", path)
    assert {e.kind for e in kept("daily-life", pool)} == {"expert", ""}
    assert {e.kind for e in kept("expert", pool)} == {"daily-life", ""}
    assert {e.intent for e in kept("indirect", pool)} == {
        "direct",
        "negative:outdated",
        "negative:false-claim",
        "",
    }
    assert {e.difficulty for e in kept("difficulties", pool)} == {"easy", ""}  # 5 of 13 queries, the most
    assert {e.intent for e in kept("intent=negative:*", pool)} == {"direct", "indirect:supporting", ""}
    assert [e.kind for e in kept("kind=*", pool)] == [""]  # who has no kind is never meant
    assert len(kept("traces", pool)) == len(pool.rows)
    assert plan_changes(["expert", "traces"]) == {"reasoning": False}
    assert plan_changes(["expert"]) == {}


def test_one_domain_of_each_kind_stays(tmp_path: Path):
    wanted = {"expert": ["law", "law", "finance"], "daily-life": ["food", "art"]}
    pairs = [(kind, domain) for kind, domains in wanted.items() for domain in domains]
    made = [row(number, kind=kind, domain=domain) for number, (kind, domain) in enumerate(pairs)]
    pool = read_pool("p", rows_file(tmp_path / "rows.jsonl", made))
    # Equally many: the first by name.
    assert sorted({(e.kind, e.domain) for e in kept("domains", pool)}) == [
        ("daily-life", "art"),
        ("expert", "law"),
    ]


def test_a_component_that_is_not_there_is_an_error(tmp_path: Path):
    plain = {"query": "rank1", "passage": "style", "trace": "x", "relevant": True}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(plain) + "\n")
    pool = read_pool("p", path)
    for component in ("daily-life", "domains", "difficulties", "source=none"):
        with pytest.raises(InputError, match="nothing would be taken out"):
            keeping(component, pool.rows)


# ---- plans and steps ----------------------------------------------------------------------------


def prepared(tmp_path: Path, steps: str, **settings: Any) -> dict[str, Any]:
    rows_file(tmp_path / "rows.jsonl", rows(10))
    text = f"""
plan: limrank-7b-paper
steps: {steps}
data: {{p: {tmp_path / "rows.jsonl"}}}
arms:
  full: {{}}
  half: {{of: full, total: 20}}
  plain: {{of: half, without: [traces], set: {{optimiser.batch: 16}}}}
  own: {{of: half, plan: direct, set: {{optimiser.steps: 5}}}}
"""
    arms, _ = set_up_arms(load_ablation(written(tmp_path, text), {"set": settings}))
    return arms


def test_equal_steps_are_those_of_the_reference(tmp_path: Path):
    settings = {"optimiser.batch": 8, "optimiser.part": 4, "optimiser.epochs": 2, "dev": 0.0}
    arms = prepared(tmp_path, "equal", **settings)
    assert [arm.plan.optimiser.steps for arm in arms.values()] == [10, 10, 10, 5]  # 40 rows twice, 8 a step
    arms = prepared(tmp_path, "epochs", **settings)
    assert [arm.plan.optimiser.steps for arm in arms.values()] == [None, None, None, 5]
    arms = prepared(tmp_path, "3", **settings)
    assert [arm.plan.optimiser.steps for arm in arms.values()] == [3, 3, 3, 5]
    assert [arm.plan.reasoning for arm in arms.values()] == [True, True, False, False]
    assert arms["full"].contains == ("half", "plain", "own")
    assert arms["half"].contains == ("plain", "own")


def test_kept_out_queries_are_no_steps(tmp_path: Path):
    from limrank_training.training_data import is_dev

    settings = {"optimiser.batch": 4, "optimiser.part": 4, "optimiser.epochs": 1, "dev": 0.4}
    arms = prepared(tmp_path, "equal", **settings)
    plan = arms["full"].plan
    learned = sum(not is_dev(row.query, plan) for row in rows(10))
    assert 0 < learned < 40
    assert plan.optimiser.steps == learned // 4
    with pytest.raises(InputError, match="packed"):
        prepared(tmp_path, "equal", packed=True)
