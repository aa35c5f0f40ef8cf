"""What a caller passed wrongly is named, shortly."""

from __future__ import annotations

from typing import Any

import pytest

from limrank_plugins import Reranker
from limrank_plugins.checks import finite_number, plain_text, true_or_false, whole_number
from limrank_plugins.errors import InputError


@pytest.mark.parametrize("check", [whole_number, finite_number, plain_text, true_or_false])
@pytest.mark.parametrize("value", ["x" * 100_000, -(10**5000), [0] * 10_000], ids=["text", "number", "list"])
def test_a_long_value_is_named_shortly(check: Any, value: Any):
    if check is plain_text and isinstance(value, str):
        assert plain_text("name", value) == value
        return
    options = {"least": 1} if check in (whole_number, finite_number) else {}
    with pytest.raises(InputError, match=r"^depth must be ") as error:
        check("depth", value, **options)
    assert len(str(error.value)) < 200


def test_a_switch_is_true_or_false_alone():
    assert true_or_false("name", True) is True
    for value in (1, 0, "no", None):
        with pytest.raises(InputError, match=f"name must be True or False, but got {value!r}"):
            true_or_false("name", value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"store": 5}, r"store must be a Store, as Store\(path\), but got a int"),
        ({"store": "answers.sqlite"}, r"store must be a Store, as Store\(path\), but got a str"),
        ({"cut_to_sentence": 5}, "cut_to_sentence must be True or False, but got 5"),
    ],
)
def test_a_reranker_tells_at_its_construction(options: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        Reranker("prior", **options)
