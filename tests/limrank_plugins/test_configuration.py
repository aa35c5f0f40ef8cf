"""Settings files become dataclasses; whatever is wrong with one is named with its place and its value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from limrank_plugins.configuration import checked, parse_toml, parse_yaml
from limrank_plugins.errors import InputError


@dataclass(frozen=True, slots=True)
class Part:
    size: int
    rate: float = 1.0

    def __post_init__(self) -> None:
        if self.size < 0:
            raise InputError(f"size must be >= 0, but got {self.size}")


@dataclass(frozen=True, slots=True)
class Whole:
    name: str
    kind: Literal["first", "second"] = "first"
    names: tuple[str, ...] = ()
    part: Part = Part(1)
    parts: Mapping[str, Part] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    most: int | None = None


def test_tables_lists_and_literals_become_fields():
    text = """
name = "n"
kind = "second"
names = ["a", "b"]
part = {size = 3, rate = 2}
most = 7
[parts.one]
size = 1
[body]
deep = {list = [1, "x", true]}
"""
    assert checked(Whole, parse_toml(text, "w.toml"), "w.toml") == Whole(
        "n",
        "second",
        ("a", "b"),
        Part(3, 2.0),
        {"one": Part(1)},
        {"deep": {"list": [1, "x", True]}},
        7,
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "w.toml: the field 'name' is missing"),
        ({"name": "n", "nmae": 1}, "there is no field 'nmae'; there are: name, kind, names"),
        ({"name": 3}, "name: Input should be a valid string, but got 3"),
        ({"name": "n", "kind": "third"}, "kind: Input should be 'first' or 'second', but got 'third'"),
        ({"name": "n", "most": "7"}, "but got '7'"),
        ({"name": "n", "most": True}, "but got True"),
        ({"name": "n", "most": 1.5}, "but got 1.5"),
        ({"name": "n", "part": {"size": -1}}, "w.toml: size must be >= 0, but got -1"),
        (
            {"name": "n", "parts": {"one": {"size": 1, "sise": 2}}},
            "there is no field 'parts.one.sise'; there are: size, rate",
        ),
    ],
)
def test_what_is_wrong_is_named(values: dict[str, Any], message: str):
    with pytest.raises(InputError) as error:
        checked(Whole, values, "w.toml")
    assert message in str(error.value)


@pytest.mark.parametrize("text", ["a = ", "= 1", "a = 1\na = 2", "\x00"])
def test_text_that_is_not_toml(text: str):
    with pytest.raises(InputError, match=r"w\.toml is not TOML"):
        parse_toml(text, "w.toml")


@pytest.mark.parametrize("text", ["a: [", "- 1", "1: 2", "", "!!python/object/apply:os.getcwd []"])
def test_text_that_is_no_yaml_mapping(text: str):
    with pytest.raises(InputError, match=r"w\.yaml"):
        parse_yaml(text, "w.yaml")


def test_yaml_is_read():
    assert parse_yaml("a: 1\nb: [x]", "w.yaml") == {"a": 1, "b": ["x"]}
