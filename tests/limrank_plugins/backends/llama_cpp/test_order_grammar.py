"""The grammar of an order: what may follow is what some permutation goes on with, and nothing else."""

from __future__ import annotations

import re
from itertools import permutations
from typing import Any

import pytest

from limrank_plugins.backends.llama_cpp.order_grammar import order_characters, order_grammar, order_in
from limrank_plugins.backends.protocols import Generate, ReadLabels, WrittenOrder
from limrank_plugins.backends.request_keys import request_key
from limrank_plugins.backends.scripted import ScriptedBackend
from limrank_plugins.readouts.labels import ALPHABETIC, NUMERIC, Labels
from limrank_plugins.readouts.parsing import parse_order
from limrank_plugins.reranker import Reranker
from limrank_plugins.segments import Prompt, Segment

THREE = WrittenOrder(NUMERIC.shown(3))
THOUGHT = WrittenOrder(ALPHABETIC.shown(2), "</think>", "<answer>")


LITERAL = r'"(?:\\.|[^"\\])*"'
PART = re.compile(rf'\((?:[^"()]|{LITERAL})*\)|{LITERAL}|following\{{\d+\}}')


def texts_of(grammar: str | None) -> set[str]:
    """Every text of a grammar: rules of literals, alternatives and counts. The empty grammar has one."""
    assert grammar is not None
    if not grammar:
        return {""}
    rules = dict(line.split(" ::= ") for line in grammar.splitlines())

    def texts(rule: str) -> set[str]:
        made = {""}
        for part in re.findall(
            r'\((?:[^"()]|"(?:\\.|[^"\\])*")*\)|"(?:\\.|[^"\\])*"|following\{\d+\}', rules[rule]
        ):
            if part.startswith("following"):
                for _ in range(int(part[10:-1])):
                    made = {a + b for a in made for b in texts("following")}
            else:
                found = [text[1:-1].replace("\\n", "\n") for text in re.findall(LITERAL, part)]
                made = {a + b for a in made for b in found}
        return made

    return texts("root")


@pytest.mark.parametrize(
    "form", [THREE, THOUGHT, WrittenOrder(NUMERIC.shown(1)), WrittenOrder(("[1]", "[11]"))]
)
def test_every_permutation_can_be_written_letter_by_letter(form: WrittenOrder) -> None:
    for order in permutations(form.labels):
        text = form.opening + " > ".join(order)
        for place in range(len(text)):
            assert text[place:] in texts_of(order_grammar(form, text[:place]))
        assert order_grammar(form, text) == ""


def test_a_label_that_is_written_comes_no_more() -> None:
    rest = texts_of(order_grammar(THREE, "[2] > ["))
    assert rest == {f"{a}] > [{b}]" for a in (1, 3) for b in (1, 3)}
    assert texts_of(order_grammar(THREE, "[2] > [1] ")) == {"> [3]"}
    assert texts_of(order_grammar(WrittenOrder(("[1]", "[10]", "[2]")), "[2] > [1")) == {
        "] > [1]", "] > [10]", "0] > [1]", "0] > [10]",
    }  # fmt: skip


def test_all_that_can_be_written_letter_by_letter_is_read_without_repair() -> None:
    """Walk over every text that the renewed grammars allow; what comes out are the permutations."""
    for labels in (Labels("numeric"), Labels("alphabetic")):
        form = WrittenOrder(labels.shown(3))
        done, open_texts = set(), {""}
        while open_texts:
            text = open_texts.pop()
            grammar = order_grammar(form, text)
            if not grammar:
                done.add(text)
            else:
                open_texts |= {text + rest[0] for rest in texts_of(grammar)}
        readings = [parse_order(text, labels, 3) for text in done]
        assert not any(reading.repaired for reading in readings)
        assert {reading.order for reading in readings} == set(permutations(range(3)))


def test_the_order_begins_behind_the_reasoning() -> None:
    assert order_in(THREE, "[2") == "[2"
    assert order_in(THOUGHT, "I think [B] > [A]") is None
    assert order_in(THOUGHT, "so.</think>\n<answer>[B]") == "\n<answer>[B]"
    starts = texts_of(order_grammar(THOUGHT, "\n"))
    assert "<answer>[B] > [A]" in starts
    assert not any(text.startswith("[") for text in starts), "the answer stands in its tag"
    assert order_grammar(THOUGHT, "I mean") is None, "a token held the reasoning's end and more"
    assert order_grammar(THREE, "[2] > [4]") is None


def test_no_grammar_grows_with_the_number_of_orders() -> None:
    hundred = WrittenOrder(NUMERIC.shown(100))
    assert len(order_grammar(hundred)) < 5_000
    assert order_characters(hundred) == frozenset("[]> 0123456789")


def asked(recipe: str, **settings: Any) -> list[Generate]:
    """What a recipe asks to be written."""
    backend = ScriptedBackend(generate=lambda prompt: "[2] > [1]")
    Reranker(recipe, backend=backend, **settings).rank("why", ["a", "b"])
    return [request for request in backend.requests if isinstance(request, Generate)]


def test_recipes_of_orders_say_what_they_want_written() -> None:
    (plain,) = asked("rankgpt")
    assert plain.order == WrittenOrder(("[1]", "[2]"))
    (thought,) = asked("reasonrank")
    assert thought.order == WrittenOrder(("[1]", "[2]"), "</think>", "<answer>")
    (answer,) = asked("reasonrank", reasoning="none")
    assert answer.order == WrittenOrder(("[1]", "[2]")), "the template has written <answer>"
    assert all(request.order is None for request in asked("rank-r1"))


def test_stored_replies_are_found_as_before() -> None:
    prompt = Prompt((Segment("a"),))
    plain = Generate(prompt, (), 8)
    assert request_key("x", plain) == request_key("x", Generate(prompt, (), 8, order=THREE))
    assert request_key("x", plain) != request_key("x", ReadLabels(prompt, ("a",)))
