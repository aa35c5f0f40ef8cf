"""Settings files become dataclasses; whatever is wrong with one is named with its place and its value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
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
        ({"name": "n", "most": "7" * 5000}, "7777…"),
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
    assert len(str(error.value)) < 250


@pytest.mark.parametrize("text", ["a = ", "= 1", "a = 1\na = 2", "\x00"])
def test_text_that_is_not_toml(text: str):
    with pytest.raises(InputError, match=r"w\.toml is not TOML"):
        parse_toml(text, "w.toml")


DIGITS = "9" * 6000


@pytest.mark.parametrize(
    "text",
    [f"a = {DIGITS}", f"a = 0x{DIGITS}", "a = " + "[" * 20_000, ".".join("a" * 3000) + " = 1"],
    ids=["decimal", "hexadecimal", "deep", "dots"],
)
def test_toml_that_no_setting_can_be_is_one_sentence(text: str):
    with pytest.raises(InputError, match=r"^w\.toml is not TOML: it (holds|is nested)") as error:
        parse_toml(text, "w.toml")
    assert len(str(error.value)) < 100


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 2024-99-99", "month must be in 1..12"),
        (f"a: {DIGITS}", "a number of thousands of digits"),
        (f"a: 0x{DIGITS}", "a number of thousands of digits"),
        ("a: " + "[" * 20_000 + "]" * 20_000, "nested too deeply"),
        ("a: !!bool maybe", "as what its tag"),
        ("a: !!int ''", "as what its tag"),
        ("a: !!timestamp soon", "as what its tag"),
        ("a: {2024-01-01: 1}", "keys must be str"),
        ("\0", "not allowed"),
    ],
)
def test_yaml_that_no_setting_can_be_is_one_sentence(text: str, said: str):
    with pytest.raises(InputError, match=r"^w\.yaml is not YAML: .*" + said) as error:
        parse_yaml(text, "w.yaml")
    assert len(str(error.value)) < 250


def nine_times_nine(first: str, line: str) -> str:
    """Ten lines, of which each holds the one above nine times."""
    lines = [f"{y}: &{y} " + line % ",".join([f"*{x}"] * 9) for x, y in pairwise("abcdefghij")]
    return "\n".join([f"a: &a {first}", *lines])


@pytest.mark.parametrize(
    "text",
    [
        nine_times_nine("[x, x]", "[%s]"),
        nine_times_nine("{x: 1, y: 2}", "{<<: [%s]}"),  # merged while it is read
        "a: &a [*a]",
        "a: &a {b: *a}",
    ],
    ids=["lists", "merged", "in itself", "in its own value"],
)
def test_aliases_that_stand_for_more_than_fits_are_refused_before_they_are_followed(text: str):
    with pytest.raises(InputError, match=r"w\.yaml holds more than 10,000,000 characters with its aliases"):
        parse_yaml(text, "w.yaml")


def test_aliases_of_a_plan_are_read():
    text = "a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]"
    assert parse_yaml(text, "w.yaml") == {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": [{"x": 1}, {"x": 1}]}


@pytest.mark.parametrize("text", ["a: [", "- 1", "1: 2", "", "!!python/object/apply:os.getcwd []"])
def test_text_that_is_no_yaml_mapping(text: str):
    with pytest.raises(InputError, match=r"w\.yaml"):
        parse_yaml(text, "w.yaml")


def test_yaml_is_read():
    assert parse_yaml("a: 1\nb: [x]", "w.yaml") == {"a": 1, "b": ["x"]}
