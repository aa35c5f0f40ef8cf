"""Gathering, pooling and scoring against loops and formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limrank_plugins.backends.gliclass.head import check_head, gather, head, logits, pool, text_mask
from limrank_plugins.errors import InputError

MARK, SEP, PAD = 1, 2, 0
rows_of_ids = st.lists(
    st.lists(st.sampled_from([MARK, SEP, 3, 4, 5]), min_size=1, max_size=9), min_size=1, max_size=4
)


def padded(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, rows))
    ids = torch.tensor([row + [PAD] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return ids, mask


def states_for(ids: torch.Tensor, size: int = 3) -> torch.Tensor:
    return torch.randn(*ids.shape, size, generator=torch.Generator().manual_seed(0))


@given(rows=rows_of_ids)
@settings(max_examples=100, deadline=None)
def test_gathering_is_a_loop(rows: list[list[int]]) -> None:
    ids, _ = padded(rows)
    states = states_for(ids)
    found, real = gather(states, ids, MARK)
    most = max(row.count(MARK) for row in rows)
    assert found.shape == (len(rows), most, 3)
    for r, row in enumerate(rows):
        places = [place for place, token in enumerate(row) if token == MARK]
        assert real[r].tolist() == [k < len(places) for k in range(most)]
        for k in range(most):
            wanted = states[r, places[k]] if k < len(places) else torch.zeros(3)
            assert (found[r, k] == wanted).all()


@pytest.mark.parametrize("how", ["first", "mean", "max"])
@given(rows=rows_of_ids, prompt_first=st.booleans())
@settings(max_examples=60, deadline=None)
def test_pooling_reads_the_texts_own_tokens(how: Any, rows: list[list[int]], prompt_first: bool) -> None:
    rows = [[9, *row, SEP, 6, 7] if prompt_first else [9, 6, *row, MARK, SEP] for row in rows]
    border = SEP if prompt_first else MARK
    ids, attention = padded(rows)
    states = states_for(ids)
    found = pool(states, text_mask(ids, attention, border, prompt_first=prompt_first), how)
    for r, row in enumerate(rows):
        at = row.index(border)
        own = states[r, at : len(row)] if prompt_first else states[r, :at]
        wanted = {"first": own[0], "mean": own.mean(0), "max": own.max(0).values}[how]
        torch.testing.assert_close(found[r], wanted)
        states[r, len(row) :] = 1e6  # what the padding holds is no matter
    assert (pool(states, text_mask(ids, attention, border, prompt_first=prompt_first), how) == found).all()


def test_dot_scores_are_the_formula() -> None:
    torch.manual_seed(0)
    modules = torch.nn.ModuleDict(head(4, "dot")).eval()
    text, labels = torch.randn(2, 4), torch.randn(2, 3, 4)
    found = logits(modules, text, labels)
    for r in range(2):
        for k in range(3):
            t, h = modules["text_projector"](text[r]), modules["label_projector"](labels[r, k])
            torch.testing.assert_close(found[r, k], t @ h)


def test_weighted_dot_scores_are_the_formula() -> None:
    torch.manual_seed(0)
    modules = torch.nn.ModuleDict(head(4, "weighted-dot")).eval()
    text, labels = torch.randn(2, 4), torch.randn(2, 3, 4)
    found = logits(modules, text, labels)
    assert found.shape == (2, 3)
    for r in range(2):
        for k in range(3):
            a = modules["text_weights"](modules["text_projector"](text[r]))
            b = modules["label_weights"](modules["label_projector"](labels[r, k]))
            together = torch.cat([a[:4], b[:4], a[4:] * b[4:]])
            torch.testing.assert_close(found[r, k], modules["scorer"](together)[0])


def test_the_dots_gradient_is_the_other_side() -> None:
    modules = torch.nn.ModuleDict(
        {"text_projector": torch.nn.Identity(), "label_projector": torch.nn.Identity()}
    )
    text = torch.randn(1, 4, requires_grad=True)
    labels = torch.randn(1, 3, 4, requires_grad=True)
    logits(modules, text, labels)[0, 1].backward()
    assert (text.grad == labels[0, 1]).all()
    assert (labels.grad[0, 1] == text[0]).all()
    assert (labels.grad[0, [0, 2]] == 0).all()


def test_heads_that_are_none() -> None:
    with pytest.raises(InputError, match="pooling must be one of first, mean, max, but got 'last'"):
        check_head("last", "dot")
    with pytest.raises(InputError, match="scorer must be one of dot, weighted-dot, but got 'mlp'"):
        check_head("mean", "mlp")
