"""Every shipped plan that asks in words shows the bytes of `limrank prompt show`, and learns what follows."""

from __future__ import annotations

import json
from pathlib import Path

import chats
import pytest
import typer
from typer.testing import CliRunner

from limrank_plugins.backends.chat import as_completion
from limrank_plugins.cli.show import prompt_app
from limrank_plugins.recipes import load_recipe
from limrank_plugins.segments import Prompt, Segment
from limrank_training.cli import register
from limrank_training.objectives import OBJECTIVES
from limrank_training.plans import Plan, load_plan, plan_names

APP = typer.Typer()
register(APP)
APP.add_typer(prompt_app, name="prompt")
PLANS = [load_plan(name) for name in plan_names()]
ASKING = [plan for plan in PLANS if not OBJECTIVES[plan.objective].is_encoder]
BLIND = [plan for plan in ASKING if load_recipe(plan.recipe).backend != "vision"]
QUERY, TEXTS = "why does 'milk' curdle\tin <tea>?", ["acid curdles milk …", "bread rises\n\nslowly"]


def limrank(*arguments: object) -> str:
    done = CliRunner().invoke(APP, list(map(str, arguments)))
    assert done.exit_code == 0, done.stderr
    return done.stdout_bytes.decode("utf-8")


def rows(plan: Plan, folder: Path) -> Path:
    row: dict[str, object] = {"query": QUERY, "passage": TEXTS[0]}
    if plan.objective == "sft":
        row |= {"trace": "It is acid. So it curdles.", "relevant": True}
    elif plan.objective == "graded":
        row |= {"grade": 4}
    elif plan.objective == "distil":
        other = row | {"passage": TEXTS[1], "score": 0.1}  # one score alone has no scale
        return chats.written(folder / "rows.jsonl", row | {"score": 0.7}, other)
    else:
        passages = [{"id": str(i), "text": text, "relevance": 1 - i} for i, text in enumerate(TEXTS)]
        row = {"query": QUERY, "passages": passages, "order": [0, 1], "reasons": ["So.", "No."]}
    return chats.written(folder / "rows.jsonl", row)


def asked(plan: Plan) -> Prompt:
    """What `limrank prompt show` prints, in its segments, with whose texts its bytes are compared."""
    documents = TEXTS[:1] if plan.objective in ("sft", "graded", "distil", "qlm") else TEXTS
    named = [part for text in documents for part in ("--document", text)]
    arguments = ("prompt", "show", plan.recipe, "--query", QUERY, *named)
    prompt = Prompt(tuple(Segment(**one) for one in json.loads(limrank(*arguments, "--json"))["segments"]))
    assert limrank(*arguments) == prompt.text
    return prompt


def test_the_plans_are_those_that_are_shipped():
    assert len(BLIND) >= 11
    assert {plan.name for plan in ASKING} - {plan.name for plan in BLIND} == {"mm-r5", "ragvl", "ragvl-noise"}


@pytest.mark.parametrize("plan", BLIND, ids=lambda plan: plan.name)
def test_the_bytes_are_those_of_prompt_show(plan: Plan, tmp_path: Path):
    shown = limrank(
        "train", plan.name, "--rows", rows(plan, tmp_path), "--show-example", "--set", "dev=0.0",
        *(() if plan.watch is None else ("--set", "watch=null")),
        *(() if plan.objective in ("sft", "distil") else ("--set", "lists.shuffle=false")),
    )  # fmt: skip
    prompt = asked(plan)
    # A chat's messages stand between the markers of the tokenizer's own chat template, and nothing else does.
    given = as_completion(prompt, OBJECTIVES[plan.objective].function("standin")(plan)).text
    assert shown.encode().startswith(given.encode())
    if not prompt.is_chat:
        assert given == prompt.text
    learned = shown.removeprefix(given)
    assert (learned == "") == (plan.objective == "grpo")
