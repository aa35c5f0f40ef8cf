"""Choices that a model writes, or shows in its probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from scripts import passages_of

from limrank_plugins.backends.protocols import Failed, Generate, Generated, LabelReading, ReadLabels, Request
from limrank_plugins.data import Document, Query, Usage
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import load_template
from limrank_plugins.readouts import Settings
from limrank_plugins.readouts.labels import ALPHABETIC
from limrank_plugins.readouts.select import GenerateSelect, LabelSelect, Selects, Symmetrised
from limrank_plugins.verdicts import Choice

DOCUMENTS = [Document(text, id=text) for text in ("a", "b", "c")]
R1 = GenerateSelect(tagged=True, exact=True)
FULL = Settings(reasoning="full")


def ask(
    readout: Selects,
    reply: Callable[[Request], object],
    settings: Settings = FULL,
    template: str = "rank-r1",
    documents: list[Document] = DOCUMENTS,
) -> tuple[Choice, list[list[Request]]]:
    program = readout.ask(Query("q"), documents, load_template(template), settings)
    rounds: list[list[Request]] = []
    try:
        requests = next(program)
        while True:
            rounds.append(requests)
            requests = program.send([reply(request) for request in requests])
    except StopIteration as finished:
        return finished.value, rounds


def says(text: str) -> Callable[[Request], Generated]:
    return lambda request: Generated(text, "end", usage=Usage(generated_tokens=2), cut_tokens=1)


def prefers(order: str) -> Callable[[Request], Generated]:
    """A model that names the passage it likes best, wherever that stands."""

    def reply(request: Request) -> Generated:
        texts = passages_of(request.prompt)
        best = min(range(len(texts)), key=lambda i: order.index(texts[i]))
        return Generated(f"<think>I like {texts[best]}.</think><answer>[{best + 1}]</answer>", "end")

    return reply


def test_a_choice_with_its_thought():
    answer, ((request,),) = ask(R1, says("<think>Hm.</think> <answer>[2]</answer>"))
    assert (answer.choice(), answer.explanation, answer.repairs, answer.failure) == (1, "Hm.", 0, None)
    assert answer.usage.generated_tokens == 2
    assert sum(answer.cut_tokens) == 1
    assert isinstance(request, Generate)
    assert request.temperature == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "<think>Hm.</think> <answer>[4]</answer>",
        "<think>Hm.</think> <answer>2</answer>",
        "<think>Hm.</think> [2]",
        "[2]",
        f"<think>Hm.</think> <answer>[{'2' * 5000}]</answer>",
    ],
)
def test_anything_else_is_a_counted_abstention(text: str):
    answer, _ = ask(R1, says(text))
    assert (answer.choice(), answer.repairs, answer.failure) == (None, 1, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the model wrote no answer"),
        ("<think><answer>[2]</answer></think>", "the model wrote no answer"),
        ("<think>Hm.</think> <answer> </answer>", "the model wrote no answer"),
        ("<think>Hm.</think>I'm sorry, [2]", 'the model refused: "I\'m sorry, [2]"'),
        ("Milk is white.", "the model's completion names no document: 'Milk is white.'"),
    ],
)
def test_a_completion_with_nothing_usable_is_a_failure(text: str, reason: str):
    answer, _ = ask(R1, says(text))
    assert (answer.choice(), answer.repairs, answer.failure) == (None, 0, reason)
    assert sum(answer.cut_tokens) == 1


@pytest.mark.parametrize(
    "text", ["neither", "A, B", "Z", "Passage A is as good as passage B", "Both are.", "[2] > [1]"]
)
def test_who_names_nothing_in_so_many_words_abstains(text: str):
    answer, _ = ask(GenerateSelect(labels=ALPHABETIC), says(text), Settings(), "pairwise", DOCUMENTS[:2])
    assert (answer.choice(), answer.repairs, answer.failure) == (None, 1, None)


def test_a_thought_over_budget_is_closed():
    def reply(request: Request) -> Generated:
        if request.prompt.text.endswith("<answer>"):
            return Generated("[3]</answer>", "end")
        return Generated("<think>First. Sec", "length")

    answer, rounds = ask(R1, reply)
    assert (answer.choice(), answer.repairs, len(rounds)) == (2, 0, 2)
    assert rounds[1][0].prompt.text.endswith("<think>First. </think> <answer>")


def test_a_failure():
    answer, _ = ask(R1, lambda request: Failed("no luck"))
    assert (answer.choice(), answer.failure, answer.repairs) == (None, "no luck", 0)


def test_the_majority_of_seeded_permutations_wins():
    settings = Settings(reasoning="full", samples=7, seed=3)
    answer, rounds = ask(R1, prefers("cab"), settings)
    assert (answer.choice(), answer.explanation) == (2, "I like c.")
    assert len(rounds) == 1, "all samples at once"
    shown = [tuple(passages_of(request.prompt)) for request in rounds[0]]
    assert len(shown) == 7
    assert len(set(shown)) > 2
    assert ask(R1, prefers("cab"), settings)[1] == rounds, "no global random numbers"
    assert ask(R1, prefers("cab"), Settings(reasoning="full", samples=7, seed=4))[1] != rounds


def test_equal_votes_go_to_the_first():
    def split(request: Request) -> Generated:
        wanted = ("c", "b")[request.sample % 2]
        place = passages_of(request.prompt).index(wanted) + 1
        return Generated(f"<think>t</think><answer>[{place}]</answer>", "end")

    answer, _ = ask(R1, split, Settings(reasoning="full", samples=4))
    assert answer.choice() == 1


def test_unreadable_samples_are_no_votes():
    def reply(request: Request) -> object:
        if request.sample == 0:
            return Generated("?", "end")
        return Failed("out") if request.sample == 1 else prefers("bca")(request)

    answer, _ = ask(R1, reply, Settings(reasoning="full", samples=3))
    assert (answer.choice(), answer.repairs, answer.failure) == (1, 2, None)
    answer, _ = ask(R1, says("[1] or [2]"), Settings(reasoning="full", samples=3))
    assert (answer.choice(), answer.repairs, answer.failure) == (None, 3, None)
    answer, _ = ask(R1, says("?"), Settings(reasoning="full", samples=3))
    assert (answer.choice(), answer.repairs) == (None, 0)
    assert answer.failure == "the model's completion names no document: '?'"


# ---- likelihood ---------------------------------------------------------------------------------


def likes(values: dict[str, float]) -> Callable[[Request], LabelReading]:
    return lambda request: LabelReading(
        tuple(values[text] for text in passages_of(request.prompt)), Usage(prompt_tokens=5)
    )


def test_the_most_likely_letter():
    answer, ((request,),) = ask(
        LabelSelect(), likes({"a": -1.0, "b": 3.0, "c": 2.0}), Settings(), template="setwise"
    )
    assert answer.choice() == 1
    assert answer.usage.prompt_tokens == 5
    assert isinstance(request, ReadLabels)
    assert request.labels == (" A", " B", " C")
    assert request.prompt.text.endswith("Best passage:")
    assert "[C] c" in request.prompt.text


@pytest.mark.parametrize(
    ("values", "choice"),
    [
        ({"a": 1.0, "b": 1.0, "c": 1.0}, None),
        ({"a": 1.0, "b": 2.0, "c": 2.0}, 1),
        ({"a": -math.inf, "b": -math.inf, "c": 0.0}, 2),
    ],
)
def test_ties_and_impossible_labels(values: dict[str, float], choice: int | None):
    assert ask(LabelSelect(), likes(values), Settings(), "setwise")[0].choice() == choice


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_numbers_that_are_none_are_failures(broken: float):
    answer, _ = ask(LabelSelect(), likes({"a": broken, "b": 0.0, "c": 1.0}), Settings(), "setwise")
    assert answer.choice() is None
    assert "no probabilities" in answer.failure


def test_permutations_cancel_a_preference_for_places():
    """The model likes b a little, and the first place a lot."""

    def reply(request: Request) -> LabelReading:
        texts = passages_of(request.prompt)
        return LabelReading(tuple(float(text == "b") + 2.0 * (i == 0) for i, text in enumerate(texts)))

    assert ask(LabelSelect(), reply, Settings(), "setwise")[0].choice() == 0
    assert ask(LabelSelect(), reply, Settings(samples=40), "setwise")[0].choice() == 1


def test_a_failed_permutation_is_a_repair():
    def reply(request: Request) -> object:
        replies.append(request)
        return Failed("out") if len(replies) == 1 else likes({"a": 0.0, "b": 0.0, "c": 1.0})(request)

    replies: list[Request] = []
    answer, _ = ask(LabelSelect(), reply, Settings(samples=3), "setwise")
    assert (answer.choice(), answer.repairs, answer.failure) == (2, 1, None)


def test_too_few_labels_are_named():
    with pytest.raises(InputError, match="3 documents"):
        ask(LabelSelect(), likes({}), Settings(), "pairwise")
    many = [Document(str(i), id=str(i)) for i in range(27)]
    with pytest.raises(InputError, match="at most 26"):
        ask(LabelSelect(), likes({}), Settings(), "setwise", many)


# ---- both ways ----------------------------------------------------------------------------------

PAIR = DOCUMENTS[:2]


def test_what_is_said_both_ways_is_believed():
    answer, rounds = ask(
        Symmetrised(LabelSelect()), likes({"a": 0.0, "b": 1.0}), Settings(), "pairwise", PAIR
    )
    assert answer.choice() == 1
    assert [[passages_of(r.prompt) for r in asked] for asked in rounds] == [[["a", "b"], ["b", "a"]]]
    assert answer.usage.prompt_tokens == 10


@pytest.mark.parametrize("place", [0, 1])
def test_a_preference_for_a_place_is_an_abstention(place: int):
    reply = lambda request: LabelReading((1.0, 0.0) if place == 0 else (0.0, 1.0))  # noqa: E731
    answer, _ = ask(Symmetrised(LabelSelect()), reply, Settings(), "pairwise", PAIR)
    assert (answer.choice(), answer.failure) == (None, None)


@pytest.mark.parametrize("order", ["abc", "bca", "cab", "acb"])
def test_three_are_two_pairs(order: str):
    values = {text: -float(place) for place, text in enumerate(order)}
    answer, rounds = ask(Symmetrised(LabelSelect()), likes(values), Settings(), "pairwise")
    assert DOCUMENTS[answer.choice()].text == order[0]
    assert [len(asked) for asked in rounds] == [2, 2]


def test_a_missing_half_is_a_failure():
    def reply(request: Request) -> object:
        first = passages_of(request.prompt)[0] == "a"
        return Failed("out") if first else LabelReading((1.0, 0.0))

    answer, _ = ask(Symmetrised(LabelSelect()), reply, Settings(), "pairwise", PAIR)
    assert (answer.choice(), answer.failure) == (None, "out")


def test_both_ways_in_words():
    readout = Symmetrised(GenerateSelect())
    answer, _ = ask(readout, prefers("ba"), FULL, "rank-r1", PAIR)
    assert (answer.choice(), answer.repairs, answer.explanation) == (1, 0, "I like b.")
    answer, _ = ask(readout, says("neither"), FULL, "rank-r1", PAIR)
    assert (answer.choice(), answer.repairs) == (None, 2)
