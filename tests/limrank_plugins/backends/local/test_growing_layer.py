"""Keys and values that grow in place: the same as those that are copied, and nobody else's are changed."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

pytest.importorskip("torch", reason="not installed: pip install 'limrank[transformers]'")

import tiny
import torch
from transformers import DynamicCache

from limrank_plugins.backends.local.growing_layer import ROOM, growing
from limrank_plugins.backends.local.kv import KeysAndValues, joined
from limrank_plugins.backends.transformers import TransformersBackend

PROMPTS = [[5, 9, 13, 200], [7, 8], [40, 41, 42, 43, 44, 45]]


def columns(seed: int, count: int) -> tuple[Any, Any]:
    dice = torch.Generator().manual_seed(seed)
    return torch.randn(3, 2, count, 4, generator=dice), torch.randn(3, 2, count, 8, generator=dice)


def layer_of(keys: Any, values: Any) -> Any:
    cache = DynamicCache()
    cache.update(keys, values, 0)
    return cache.layers[0]


def test_it_holds_what_a_copied_layer_holds_and_is_copied_once_for_many_steps():
    plain, grown = layer_of(*columns(0, 5)), growing(layer_of(*columns(0, 5)))
    steps = 2 * ROOM + 1
    places = []
    for step in range(1, steps + 1):
        plain.update(*columns(step, 1))
        keys, values = grown.update(*columns(step, 1))
        places.append(keys.data_ptr())
        assert torch.equal(keys, plain.keys)
        assert torch.equal(values, plain.values)
    assert grown.get_seq_length() == plain.get_seq_length() == 5 + steps
    assert sum(one != other for one, other in pairwise(places)) <= steps // ROOM


def test_a_layer_of_another_kind_or_without_keys_stays_what_it_is():
    empty = DynamicCache()
    empty.update(*columns(0, 2), 0)
    blank = type(empty.layers[0])()
    assert growing(blank) is blank
    grown = growing(empty.layers[0])
    assert growing(grown) is grown


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tiny.build(tmp_path_factory.mktemp("models") / "qwen2")
    return TransformersBackend(str(folder), device="cpu", dtype="float32")._model.held


def test_what_was_taken_from_rows_before_they_grew_grows_apart(network: Any):
    past = joined([network.last_states(None, [ids], keep=True)[1][0] for ids in PROMPTS])
    network.step(past, [1, 2, 3])  # now there is room behind the columns
    copies: list[tuple[KeysAndValues, list[int]]] = [
        (past.forked(1), [0]),
        (past.kept([0, 2]), [0, 2]),
        (past.row(2, past.width), [2]),
    ]
    network.step(past, [11, 12, 13])
    for copy, rows in copies:
        network.step(copy, [90] * len(rows))
    own = network.step(past, [21, 22, 23])
    alone = [[*ids, i + 1, i + 11, i + 21] for i, ids in enumerate(PROMPTS)]
    expected = torch.cat([network.last_states(None, [ids])[0] for ids in alone])
    torch.testing.assert_close(own, expected, rtol=1e-5, atol=1e-5)
    for copy, rows in copies[1:]:
        states = network.step(copy, [91] * len(rows))
        alone = [[*PROMPTS[i], i + 1, 90, 91] for i in rows]
        expected = torch.cat([network.last_states(None, [ids])[0] for ids in alone])
        torch.testing.assert_close(states, expected, rtol=1e-5, atol=1e-5)
