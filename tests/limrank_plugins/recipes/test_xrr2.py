"""XRR2, and the mean of several runs and the first stage: combinations that the documentation names."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from scripts import full_backend, passages_of, unit

from limrank_plugins import Document, Reranker, load_recipe
from limrank_plugins.segments import Prompt

PAGE = (Path(__file__).parents[3] / "docs" / "recipes.md").read_text("utf-8")
DOCUMENTS = [Document(f"passage {i}", id=str(i), prior=unit(f"prior {i}")) for i in range(24)]


def by_place(prompt: Prompt) -> str:
    """Grades, or an order, that lean on where a passage stands: no two runs are alike."""
    shown = passages_of(prompt)
    grades = [int(10 * unit(text + str(place))) for place, text in enumerate(shown)]
    if "as JSON" in prompt.text:
        said = json.dumps({f"[{i + 1}]": grade for i, grade in enumerate(grades)})
    else:
        said = " > ".join(f"[{i + 1}]" for i in sorted(range(len(shown)), key=lambda i: -grades[i]))
    return f"<answer>{said}</answer>" if "<answer>" in prompt.text else said


def minmax(scores: dict[str, float]) -> dict[str, float]:
    low, high = min(scores.values()), max(scores.values())
    return {name: (score - low) / (high - low) for name, score in scores.items()}


def test_the_mean_of_five_runs_and_the_first_stage():
    backend = full_backend(generate=by_place)
    name = "fuse:parts=prior+vote(of=grouprank,times=5),method=minmax,weights=1+5"
    fused = Reranker(name, backend=backend).rank("why", DOCUMENTS)
    runs = Reranker("vote:of=grouprank,times=5", backend=backend).rank("why", DOCUMENTS)
    mean = minmax({hit.id: hit.score for hit in runs})
    prior = minmax({document.id: document.prior for document in DOCUMENTS})
    assert {hit.id: hit.score for hit in fused} == pytest.approx({i: prior[i] + 5 * mean[i] for i in mean})


def test_each_of_five_runs_makes_other_groups_and_the_mean_of_the_grades_counts():
    backend = full_backend(generate=by_place)
    name = "cascade:first=rankgpt(window=100,stride=50),then=vote(of=rankgpt,times=5),top=10"
    found = Reranker(name, backend=backend)
    whole = Reranker("rankgpt:window=100,stride=50", backend=full_backend(generate=by_place))
    first = whole.rank("why", DOCUMENTS)
    ranking = found.rank("why", DOCUMENTS)
    asked = [passages_of(request.prompt) for request in backend.requests]
    assert [len(group) for group in asked] == [24, 10, 10, 10, 10, 10]
    heads = {frozenset(group) for group in asked if len(group) == 10}
    assert heads == {frozenset(hit.document.text for hit in first[:10])}
    places = dict.fromkeys(asked[-1], 0)
    for group in asked[1:]:
        grades = [int(10 * unit(text + str(place))) for place, text in enumerate(group)]
        for place, i in enumerate(sorted(range(10), key=lambda i: -grades[i])):
            places[group[i]] += place
    assert [places[hit.document.text] for hit in ranking[:10]] == sorted(places.values())


@pytest.mark.parametrize("name", re.findall(r"\| `((?:cascade|fuse|vote):[^`]+)` \|", PAGE))
def test_what_the_page_names_can_be_loaded(name: str):
    assert load_recipe(name).name == name
