"""tdpart and shared-pivot: the schedule is theirs, everything else the recipe's that they reschedule."""

from __future__ import annotations

import pytest
from scripts import full_backend, passages_of, reranker, unit

from limrank_plugins import Reranker, load_recipe
from limrank_plugins.errors import InputError

TEXTS = [f"passage number {i}" for i in range(30)]
BEST = [str(i) for i in sorted(range(30), key=lambda i: -unit(TEXTS[i]))]
OF = ["rankgpt", "first", "insertrank", "reasonrank", "mm-r5", "rankgpt(wording=rankllm)"]
BOTH = pytest.mark.parametrize("name", ["tdpart", "shared-pivot"])


@BOTH
@pytest.mark.parametrize(
    "of", ["rankgpt", "first", "insertrank", "reasonrank", "mm-r5", "rankgpt(wording=rankllm)"]
)
def test_every_recipe_with_a_sliding_window_can_be_rescheduled(name: str, of: str):
    base = load_recipe(of.replace("(", ":").rstrip(")"))
    made = load_recipe(name, of=of, window=8, cutoff=5)
    assert (made.template, made.readout, made.model, made.reasoning) == (
        base.template, base.readout, base.model, base.reasoning,
    )  # fmt: skip
    ranking = reranker(f"{name}:of={of},window=8,cutoff=5").rank("q", TEXTS)
    assert ranking.failures == ()
    assert ranking.ids[:5] == BEST[:5]
    assert ranking.score_kind == "rank"


@BOTH
def test_windows_that_hold_the_pivot_are_one_batch(name: str):
    backend = full_backend()
    Reranker(f"{name}:window=8,cutoff=5", backend=backend).rank("q", TEXTS)
    sizes = backend.batches
    assert sizes[:2] == [1, 4] if name == "tdpart" else sizes[0] == 5
    assert all(len(passages_of(request.prompt)) <= 8 for request in backend.requests)


@BOTH
def test_what_cannot_be_rescheduled_is_named(name: str):
    for options, wrong in (
        ({"of": "limrank"}, "whose windows slide"),
        ({"of": "setwise"}, "whose windows slide"),
        ({"of": "first", "window": 27}, "at most 26"),
        ({"of": "rankgpt+first"}, "is one recipe"),
        ({"cutoff": 20}, "cutoff must be smaller"),
        ({"of": "nothing"}, "there is no recipe"),
    ):
        with pytest.raises(InputError, match=wrong):
            load_recipe(name, **options)
