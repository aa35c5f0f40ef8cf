"""Orders that a model writes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripts import full_backend, passages_of

from limrank_plugins import Document, Reranker
from limrank_plugins.backends.protocols import Failed, Generate, Generated
from limrank_plugins.data import Query, Usage
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import load_template
from limrank_plugins.readouts import Settings
from limrank_plugins.readouts.order import GenerateOrder
from limrank_plugins.readouts.priors import SCALES, PriorLines, ScaledPriors

DOCUMENTS = [Document(text, id=text) for text in ("a", "b", "c")]


def ask(
    readout: GenerateOrder,
    settings: Settings,
    reply: Callable[[Generate], object],
    template: str = "reasonrank",
) -> tuple[object, list[Generate]]:
    program = readout.ask(Query("q"), DOCUMENTS, load_template(template), settings)
    asked: list[Generate] = []
    requests = next(program)
    try:
        while True:
            asked += requests
            requests = program.send([reply(request) for request in requests])
    except StopIteration as finished:
        return finished.value, asked


def says(text: str, finish: str = "end") -> Callable[[Generate], Generated]:
    return lambda request: Generated(text, finish, usage=Usage(generated_tokens=1))


def test_an_order_with_its_thought():
    answer, asked = ask(
        GenerateOrder(tagged=True),
        Settings(reasoning="full", max_reasoning_tokens=100),
        says("<think>Because.</think> <answer>[2] > [3] > [1]</answer>"),
    )
    assert (answer.order(), answer.explanation, answer.repairs) == ((1, 2, 0), "Because.", 0)
    assert answer.usage.generated_tokens == 1
    (request,) = asked
    assert request.max_tokens == 100 + 6 * 3 + 32
    assert (request.temperature, request.stop) == (0.0, ())


def test_without_reasoning_the_answer_is_begun():
    answer, (request,) = ask(
        GenerateOrder(tagged=True), Settings(reasoning="none"), says("[3] > [2] > [1]</answer>")
    )
    assert request.prompt.text.endswith("<think> </think> <answer>")
    assert request.prompt.segments[-1].role == "assistant"
    assert request.max_tokens == 6 * 3 + 32
    assert (answer.order(), answer.repairs, answer.explanation) == ((2, 1, 0), 0, None)


def test_a_thought_over_budget_is_closed_and_the_answer_asked_for():
    def reply(request: Generate) -> Generated:
        if request.prompt.text.endswith("</think> <answer>"):
            return Generated("[2] > [1] > [3]</answer>", "end")
        return Generated("<think>[3] is first. Then comes [", "length", cut_tokens=4)

    answer, asked = ask(GenerateOrder(tagged=True), Settings(reasoning="full"), reply)
    assert (answer.order(), answer.repairs) == ((1, 0, 2), 0)
    assert answer.explanation == "[3] is first. Then comes ["
    assert sum(answer.cut_tokens) == 4
    forced = asked[1].prompt
    assert forced.text.endswith("<think>[3] is first. </think> <answer>"), "cut back to the sentence"
    assert [s.trusted for s in forced.segments[-2:]] == [False, True]
    assert {s.role for s in forced.segments[-2:]} == {"assistant"}


def test_a_list_cut_off_by_the_budget_is_read_as_far_as_it_goes():
    answer, asked = ask(GenerateOrder(), Settings(), says("[3] > [", "length"), template="rankgpt")
    assert (answer.order(), answer.repairs, len(asked)) == ((2, 0, 1), 1, 1)


def test_an_unfinished_thought_is_never_read_as_an_order():
    answer, asked = ask(
        GenerateOrder(),
        Settings(reasoning="full"),
        says("[3] looks better than [2], but", "length"),
        "rankgpt",
    )
    assert (answer.order(), answer.repairs, len(asked)) == ((0, 1, 2), 0, 1)
    assert answer.failure == (
        "the model spent its budget of 8,242 tokens before it wrote an answer: raise max_reasoning_tokens"
    )
    assert answer.explanation == "[3] looks better than [2], but"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the model wrote no answer"),
        (" \n", "the model wrote no answer"),
        ("<think>[2] is best.</think>\n", "the model wrote no answer"),
        ("<think>[2] is best.", "the model wrote no answer"),
        ("I cannot rank these.", "the model refused: 'I cannot rank these.'"),
        ("[4] > [9]", "the model's completion names no document: '[4] > [9]'"),
        ("Of 3 passages, 2 are good", "names no document: 'Of 3 passages, 2 are good'"),
        ("tea " * 500, "tea …'"),
    ],
)
def test_a_completion_with_nothing_usable_is_a_failure(text: str, reason: str):
    answer, _ = ask(GenerateOrder(), Settings(), says(text), "rankgpt")
    assert (answer.order(), answer.choice(), answer.repairs) == ((0, 1, 2), None, 0)
    assert answer.failure.endswith(reason)
    assert len(answer.failure) < 140
    assert answer.usage.generated_tokens == 1


def test_among_samples_it_is_a_repair_and_no_vote():
    def reply(request: Generate) -> Generated:
        return Generated("I cannot." if request.sample == 0 else "[1] > [2] > [3]", "end")

    answer, _ = ask(GenerateOrder(), Settings(samples=3), reply, "rankgpt")
    assert (answer.failure, answer.repairs) == (None, 1)


def test_a_failure_is_the_order_as_it_was():
    answer, _ = ask(
        GenerateOrder(), Settings(), lambda request: Failed("no luck", Usage(prompt_tokens=3)), "rankgpt"
    )
    assert (answer.order(), answer.failure, answer.choice()) == ((0, 1, 2), "no luck", None)
    assert answer.usage.prompt_tokens == 3


def test_samples_are_permutations_whose_orders_are_merged():
    def reply(request: Generate) -> Generated:
        texts = passages_of(request.prompt)
        order = sorted(range(3), key=lambda i: "bca".index(texts[i]))
        return Generated(" > ".join(f"[{i + 1}]" for i in order), "end")

    answer, asked = ask(GenerateOrder(), Settings(samples=6, seed=1), reply, "rankgpt")
    assert answer.order() == (1, 2, 0)
    shown = {tuple(passages_of(request.prompt)) for request in asked}
    assert len(asked) == 6
    assert len(shown) > 1
    again, same = ask(GenerateOrder(), Settings(samples=6, seed=1), reply, "rankgpt")
    assert (again, same) == (answer, asked), "seeded by the documents, not by what was asked before"
    _, other = ask(GenerateOrder(), Settings(samples=6, seed=2), reply, "rankgpt")
    assert other != asked


def test_a_biased_model_is_evened_out_by_permutations():
    """It always says the first passage is best: the merged order is not simply the one it was shown."""
    backend = full_backend(generate=lambda prompt: "[1] > [2] > [3] > [4]")
    texts = [f"t{i}" for i in range(4)]
    ranking = Reranker("rankgpt", backend=backend, samples=5).rank("q", texts)
    assert sorted(ranking.ids) == list("0123")
    assert ranking.usage.calls == 5


def test_one_failed_sample_is_a_repair_all_of_them_a_failure():
    def reply(request: Generate) -> object:
        return Failed("out") if request.sample == 0 else Generated("[1] > [2] > [3]", "end")

    answer, _ = ask(GenerateOrder(), Settings(samples=3), reply, "rankgpt")
    assert (answer.failure, answer.repairs) == (None, 1)
    answer, _ = ask(GenerateOrder(), Settings(samples=3), lambda request: Failed("out"), "rankgpt")
    assert (answer.failure, answer.repairs, answer.order()) == ("out", 0, (0, 1, 2))


def test_what_does_not_fit_is_noted_on_the_longest_document():
    backend = full_backend()
    inner = backend.generate
    backend.generate = lambda requests: [
        Generated(reply.text, reply.finish, cut_tokens=7) for reply in inner(requests)
    ]
    ranking = Reranker("rankgpt", backend=backend).rank("q", ["short", "a much longer passage", "mid size"])
    assert {hit.id: hit.cut_tokens for hit in ranking} == {"0": 0, "1": 7, "2": 0}


priors = st.lists(st.none() | st.floats(-1e300, 1e300), max_size=8)


@given(priors, st.sampled_from(SCALES))
def test_scaling(values: list[float | None], scale: str):
    documents = [Document(str(i), id=str(i), prior=prior) for i, prior in enumerate(values)]
    scaled = [document.prior for document in ScaledPriors(scale)(documents)]
    assert [d.prior for d in documents] == values, "the caller's documents are not changed"
    if scale == "none":
        assert scaled == [None] * len(values)
        return
    assert [s is None for s in scaled] == [v is None for v in values]
    known = [(v, s) for v, s in zip(values, scaled, strict=True) if v is not None]
    sign = -1 if scale == "rank" else 1
    for v, s in known:
        for other, there in known:
            assert not (v < other and sign * s > sign * there), "the order of the documents is kept"
            assert v != other or s == there
    if scale.startswith("minmax") and known:
        top = 100 if scale.endswith("100") else 1
        assert min(s for _, s in known) == 0
        assert all(0 <= s <= top for _, s in known)
        if min(v for v, _ in known) < max(v for v, _ in known):
            assert max(s for _, s in known) == pytest.approx(top)


def test_equal_priors():
    assert ScaledPriors("minmax_0_1").scaled([2.0, 2.0, None]) == [0.0, 0.0, None]
    assert ScaledPriors("rank").scaled([1.0, 5.0, None, 5.0]) == [3.0, 1.0, None, 1.0]
    assert ScaledPriors("raw").scaled([]) == []


@pytest.mark.parametrize(
    ("scale", "decimals", "shown"),
    [
        ("raw", None, "1.235"),
        ("raw", 1, "1.2"),
        ("minmax_0_100", None, "1.2"),
        ("rank", None, "1"),
    ],
)
def test_decimals_are_fixed(scale: str, decimals: int | None, shown: str):
    names = PriorLines(scale, decimals).names([Document("a", prior=1.23456), Document("b")])
    assert names["priors"] == [shown, None]


@pytest.mark.parametrize("make", [lambda: PriorLines("log"), lambda: ScaledPriors("log")])
def test_unknown_scales_are_named(make: Callable[[], object]):
    with pytest.raises(InputError, match=r"scale must be one of none, raw.*'log'"):
        make()


@pytest.mark.parametrize("decimals", [-1, 2.5, True, 12])
def test_senseless_decimals_are_named(decimals: object):
    with pytest.raises(InputError, match="decimals"):
        PriorLines("raw", decimals)


def test_it_needs_a_template():
    with pytest.raises(InputError, match="template"):
        next(GenerateOrder().ask(Query("q"), DOCUMENTS, None, Settings()))
