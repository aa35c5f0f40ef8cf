"""What a caller passed wrongly is named, shortly."""

from __future__ import annotations

from typing import Any

import pytest

from limrank_plugins import Reranker
from limrank_plugins.checks import (
    NamesArguments,
    check_options,
    finite_number,
    plain_text,
    true_or_false,
    whole_number,
)
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


def test_an_option_that_there_is_not_is_told_with_those_that_there_are():
    def made(model: str, *, device: str = "", batch_size: int = 1) -> None: ...

    there = "there are: device, batch_size$"
    with pytest.raises(InputError, match=rf"^backend 'x' has no such option: 'foo'; {there}"):
        check_options("backend 'x'", made, "model", foo=1)
    with pytest.raises(InputError, match=rf"'devise'; did you mean device\? T{there[1:]}"):
        check_options("backend 'x'", made, "model", devise=1)
    with pytest.raises(InputError, match="missing a required argument: 'model'"):
        check_options("backend 'x'", made)
    with pytest.raises(InputError, match=r"'foo'; there are none$"):
        check_options("backend 'none'", lambda model: None, "model", foo=1)
    with pytest.raises(InputError, match="'encoder' has no such option: 'foo'; there are: device, dtype, "):
        Reranker("mini", foo=1)


def test_a_constructor_says_which_arguments_it_has():
    class Made(NamesArguments):
        def __init__(self, first: int = 0, *, top_k: int = 10) -> None:
            self.first, self.top_k = first, top_k

    assert vars(Made(1, top_k=3)) == {"first": 1, "top_k": 3}
    with pytest.raises(InputError, match=r"'topk'; did you mean top_k\? There are: first, top_k$"):
        Made(topk="sk-planted")
