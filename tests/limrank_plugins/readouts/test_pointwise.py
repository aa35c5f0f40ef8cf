"""Documents judged by one program: the same requests, verdicts and forgotten replies as by one each."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limrank_plugins import driver
from limrank_plugins.backends.protocols import (
    Failed,
    Forget,
    Generate,
    Generated,
    LabelReading,
    Likelihood,
    Numbers,
    ReadLabels,
    Reply,
    Request,
    ScorePair,
)
from limrank_plugins.data import Document, Query, Usage
from limrank_plugins.prompts import load_template
from limrank_plugins.readouts import Readout, Settings
from limrank_plugins.recipes import load_recipe
from limrank_plugins.verdicts import Outcome

USAGE = Usage(calls=1, prompt_tokens=3)
readings = st.tuples(st.sampled_from([1.0, -2.5, math.nan]), st.just(0.5)).map(
    lambda logits: LabelReading(logits * 3, USAGE, cut_tokens=2)
)
failures = st.just(Failed("busy", USAGE))
texts = st.sampled_from(["It says so.", "", "I'm sorry, but I can't help with that.", "<score>7</score>"])
REPLIES: dict[type[Request], st.SearchStrategy[Reply]] = {
    ReadLabels: readings | failures,
    Generate: st.builds(
        Generated, texts, st.sampled_from(["stop", "length", "end"]), readings | st.none(), st.just(USAGE)
    )
    | failures,
    Likelihood: st.sampled_from([-1.5, math.nan]).map(lambda value: Numbers((value,), USAGE)) | failures,
    ScorePair: st.sampled_from([0.5, math.inf]).map(lambda value: Numbers((value,), USAGE)) | failures,
}
CASES = [
    ("limrank", Settings(reasoning="none")),
    ("limrank", Settings(reasoning="full", samples=2)),
    ("graded", Settings(reasoning="none")),
    ("retro", Settings(reasoning="full", samples=2)),
    ("qlm", Settings(reasoning="none")),
    ("cross-encoder", Settings(reasoning="none")),
]


class _OneByOne:
    """A readout of which nobody knows that it is pointwise."""

    def __init__(self, inner: Readout) -> None:
        self._inner = inner

    def ask(self, *args: Any) -> Any:
        return self._inner.ask(*args)


def run(recipe: Any, how: Settings, documents: list[Document], replies: dict[Request, Reply]) -> Any:
    """What is asked, step by step, and what comes of it."""
    template = None if recipe.template is None else load_template(recipe.template)
    program = driver.judge(recipe, template, how, Query("why"), documents)
    steps: list[list[Request]] = []
    try:
        requests = next(program)
        while True:
            steps.append(requests)
            requests = program.send(
                [Failed("") if isinstance(request, Forget) else replies[request] for request in requests]
            )
    except StopIteration as finished:
        outcome: Outcome = finished.value
    return steps, outcome


class _Drawn(dict[Request, Reply]):
    """A reply to every request, drawn when it is first asked for."""

    def __init__(self, data: st.DataObject) -> None:
        super().__init__()
        self._data = data

    def __missing__(self, request: Request) -> Reply:
        self[request] = self._data.draw(REPLIES[type(request)])
        return self[request]


@pytest.mark.parametrize(("name", "how"), CASES, ids=lambda value: value if isinstance(value, str) else "")
@given(data=st.data(), passages=st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_as_one_by_one(name: str, how: Settings, data: st.DataObject, passages: list[str]):
    recipe = load_recipe(name)
    assert recipe.readout is not None
    assert getattr(recipe.readout, "is_pointwise", False)
    documents = [Document(text, id=str(i)) for i, text in enumerate(passages)]
    replies = _Drawn(data)
    steps, outcome = run(recipe, how, documents, replies)
    alone = replace(recipe, readout=_OneByOne(recipe.readout))
    expected_steps, expected = run(alone, how, documents, replies)
    assert outcome == expected
    asked = [request for step in steps for request in step]
    assert asked == [request for step in expected_steps for request in step]
