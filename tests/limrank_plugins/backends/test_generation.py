"""Texts written in a batch equal those written one by one, without a cache, by a plain loop."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from plain import END, LABELS, TEMPLATE, Loop, check, eager_to_stop

from limrank_plugins import Reranker
from limrank_plugins.backends.protocols import Failed, Generate, Generated, LabelReading, ReadLabels
from limrank_plugins.backends.transformers import TransformersBackend
from limrank_plugins.errors import InputError

QUERIES = ["why does milk curdle in tea", "what makes bread rise"]
PASSAGES = [
    "acid curdles milk because the proteins clump together",
    "bread rises",
    "",
    "light bends in water; iron rusts in moist air; rivers carve valleys",
    "a thought </think> true",
    "acid",
]
PROMPTS = [TEMPLATE.render(query, [passage]) for query in QUERIES for passage in PASSAGES]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module", params=tiny.FAMILIES)
def folder(request: pytest.FixtureRequest, home: Path) -> Path:
    path = home / request.param
    eager_to_stop(request.param, 2.5, 1.5).save_pretrained(path)
    tiny.tokenizer().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def qwen(home: Path) -> Path:
    path = home / "qwen"
    eager_to_stop("qwen2", 2.5, 1.5).save_pretrained(path)
    tiny.tokenizer().save_pretrained(path)
    return path


# ---- greedy -------------------------------------------------------------------------------------


def test_greedy_texts_equal_the_loop_in_every_grouping(folder: Path) -> None:
    backend = TransformersBackend(str(folder))
    loop = Loop(backend)
    requests = [
        Generate(prompt, ("</think>",), budget, labels=LABELS)
        for prompt, budget in zip(PROMPTS, [24, 1, 30, 7, 24, 30, 12, 30, 24, 2, 30, 18], strict=True)
    ]
    expected = [loop.write(request.prompt, request.stop, request.max_tokens) for request in requests]
    assert len({text for text, *_ in expected}) > 6
    variants = {
        "together": backend,
        "one by one": TransformersBackend(str(folder), cache_tokens=1),
        "a few at a time": TransformersBackend(str(folder), cache_tokens=600),
        "nothing shared": TransformersBackend(str(folder), share_prefix=False, batch_tokens=200),
        "padded": TransformersBackend(str(folder)),
    }
    if variants["padded"]._model.held.label_rows:
        variants["padded"]._model.held.slack = 3.0  # as on a GPU
    for seed, other in enumerate(variants.values()):
        order = random.Random(seed).sample(range(len(requests)), len(requests))
        for i, reply in zip(order, other.generate([requests[i] for i in order]), strict=True):
            check(reply, expected[i])


def test_every_way_to_finish_is_met(qwen: Path) -> None:
    backend = TransformersBackend(str(qwen))
    loop = Loop(backend)
    replies = backend.generate([Generate(prompt, ("</think>",), 40, labels=LABELS) for prompt in PROMPTS])
    for prompt, reply in zip(PROMPTS, replies, strict=True):
        check(reply, loop.write(prompt, ("</think>",), 40))
    assert {reply.finish for reply in replies} == {"stop", "end", "length"}
    assert any(reply.reading is not None for reply in replies)


def test_stop_strings_of_several_tokens_and_inside_a_token(qwen: Path) -> None:
    backend = TransformersBackend(str(qwen))
    loop = Loop(backend)
    free = [loop.write(prompt, (), 30)[0] for prompt in PROMPTS]
    requests, inside, at_end = [], 0, 0
    for prompt, text in zip(PROMPTS, free, strict=True):
        for start in range(0, len(text) - 4, 3):
            mark = text[start : start + 4]
            if "�" not in mark and "<" not in mark:
                stop = (mark,) if start % 2 else ("never to be seen", mark)
                requests.append(Generate(prompt, stop, 30, labels=LABELS))
    requests = random.Random(0).sample(requests, 25)
    for request, reply in zip(requests, backend.generate(requests), strict=True):
        expected = loop.write(request.prompt, request.stop, request.max_tokens)
        assert expected[1] == "stop"
        check(reply, expected)
        inside += reply.reading is None
        at_end += reply.reading is not None
    assert inside > 0
    assert at_end > 0


def test_nothing_is_read_where_no_labels_are_asked_for(qwen: Path) -> None:
    replies = TransformersBackend(str(qwen)).generate([Generate(p, ("</think>",), 40) for p in PROMPTS])
    assert any(reply.finish == "stop" for reply in replies)
    assert all(reply.reading is None for reply in replies)


def test_several_ends_of_answer_are_honoured(qwen: Path, tmp_path: Path) -> None:
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(qwen)
    loop = Loop(TransformersBackend(str(qwen)))
    first = int(loop.logits(loop.encoder.encode(PROMPTS[0]).ids).argmax())
    model.generation_config.eos_token_id = [first, END]
    model.save_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    reply = TransformersBackend(str(tmp_path)).generate([Generate(PROMPTS[0], ("</think>",), 9)])[0]
    assert (reply.text, reply.finish, reply.usage.generated_tokens) == ("", "end", 1)


# ---- the work done ------------------------------------------------------------------------------


def test_prefixes_are_shared_and_finished_rows_leave_at_once(qwen: Path) -> None:
    backend = TransformersBackend(str(qwen))
    seen: list[tuple[int, int]] = []

    def note(_module: Any, _args: Any, given: dict[str, Any]) -> None:
        seen.append(tuple(given["input_ids"].shape))

    backend._model.held.decoder.register_forward_pre_hook(note, with_kwargs=True)
    replies = backend.generate([Generate(prompt, ("</think>",), 40, labels=LABELS) for prompt in PROMPTS])
    prompt = sum(reply.usage.prompt_tokens for reply in replies)
    shared = sum(reply.usage.shared_tokens for reply in replies)
    # The last token of a text is never fed back, unless a label is read behind it.
    steps = sum(r.usage.generated_tokens - 1 + (r.reading is not None) for r in replies)
    assert shared > 0.5 * prompt
    assert sum(rows * columns for rows, columns in seen) == prompt - shared + steps
    decoding = [rows for rows, columns in seen if columns == 1]
    assert max(decoding) > 4
    assert decoding[-1] < max(decoding)


def test_a_verdict_behind_ended_reasoning_reads_the_prompt_not_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = TransformersBackend(str(folder))
    network = backend._model.held
    forgetful = TransformersBackend.over(network._model, tiny.tokenizer())
    readings: list[tuple[ReadLabels, LabelReading]] = []
    passes: list[int] = []
    read, forward = backend.read_labels, network._forward

    def watched_forward(rows: list[list[int]], *rest: Any, **named: Any) -> Any:
        passes.append(len(rows))
        return forward(rows, *rest, **named)

    def watched_read(requests: list[ReadLabels], *rest: Any) -> Any:
        passes.clear()
        replies = read(requests, *rest)
        readings.extend(zip(requests, replies, strict=True))
        return replies

    monkeypatch.setattr(network, "_forward", watched_forward)
    monkeypatch.setattr(backend, "read_labels", watched_read)
    remembering, reading_again = (
        Reranker("limrank", backend=of, max_reasoning_tokens=4).rank(QUERIES[0], PASSAGES)
        for of in (backend, forgetful)
    )
    assert len(readings) > 1, "some reasoning was ended by force"
    for request, reply in readings:
        prompt = next(p for p in PROMPTS if request.prompt.segments[: len(p.segments)] == p.segments)
        # All of it is there but for the seam, where other tokens may follow; the whole is not.
        at_least = len(backend._encoder.encode(prompt).ids) - 4
        assert at_least <= reply.usage.shared_tokens < reply.usage.prompt_tokens
    assert sum(passes) == len(readings)
    assert len(passes) < len(readings) or not network.label_rows
    for hit, other in zip(remembering, reading_again, strict=True):
        assert (hit.id, hit.explanation) == (other.id, other.explanation)
        assert hit.score == pytest.approx(other.score, abs=1e-5)


def test_samples_of_one_prompt_compute_it_once(qwen: Path) -> None:
    backend = TransformersBackend(str(qwen))
    request = Generate(PROMPTS[0], ("</think>",), 5, temperature=1.0)
    replies = backend.generate([replace(request, sample=sample) for sample in range(6)])
    computed = [reply.usage.prompt_tokens - reply.usage.shared_tokens for reply in replies]
    assert sum(computed) == replies[0].usage.prompt_tokens


def test_rows_held_stay_within_the_cache(qwen: Path) -> None:
    backend = TransformersBackend(str(qwen), cache_tokens=300)
    sizes: list[int] = []
    backend._model.held.decoder.register_forward_pre_hook(
        lambda _module, _args, given: sizes.append(given["input_ids"].shape[0]), with_kwargs=True
    )
    requests = [Generate(prompt, ("never",), 20) for prompt in PROMPTS]
    longest = max(reply.usage.prompt_tokens for reply in backend.generate(requests)) + 20
    assert max(sizes) == 300 // longest or max(sizes) * longest <= 300 + longest
    assert max(sizes) > 1


def test_the_budget_is_at_most_half_the_context_and_documents_give_way(qwen: Path) -> None:
    backend = TransformersBackend(str(qwen), max_length=160)
    prompt = TEMPLATE.render(QUERIES[0], ["acid curdles milk " * 60])
    reply = backend.generate([Generate(prompt, ("never",), 8192)])[0]
    assert reply.cut_tokens > 0
    assert reply.usage.prompt_tokens == 160 - 80 - 16
    assert reply.finish in ("length", "end")
    assert reply.usage.generated_tokens <= 80
    with pytest.raises(InputError, match="max_tokens must be > 0, but got 0"):
        backend.generate([Generate(prompt, ("never",), 0)])


# ---- trouble ------------------------------------------------------------------------------------


def test_a_text_that_breaks_the_model_fails_alone(qwen: Path) -> None:
    backend = TransformersBackend(str(qwen))
    requests = [Generate(prompt, ("</think>",), 10, labels=LABELS) for prompt in PROMPTS[:4]]
    healthy = backend.generate(requests)
    poison = tiny.tokenizer().convert_tokens_to_ids("Ġquite")
    backend._model.held._model.get_input_embeddings().weight.data[poison] = float("nan")
    bad = Generate(TEMPLATE.render(QUERIES[0], ["milk is quite true"]), ("</think>",), 10)
    replies = backend.generate([*requests[:2], bad, *requests[2:]])
    assert isinstance(replies[2], Failed)
    assert "not finite" in replies[2].reason
    for reply, expected in zip([*replies[:2], *replies[3:]], healthy, strict=True):
        assert (reply.text, reply.finish) == (expected.text, expected.finish)


def test_the_reranker_thinks_with_it(qwen: Path) -> None:
    backend = TransformersBackend(str(qwen))
    loop = Loop(backend)
    ranking = Reranker("limrank", backend=backend, max_reasoning_tokens=30).rank(QUERIES[0], PASSAGES)
    assert not ranking.failures
    for hit in ranking:
        text, finish, _, reading = loop.write(
            TEMPLATE.render(QUERIES[0], [hit.document.text]), ("</think>",), 30
        )
        if finish == "stop" and reading is not None:
            assert hit.explanation == text.strip()
            chance = float(torch.softmax(torch.tensor(reading), dim=0)[0])
            assert hit.score == pytest.approx(chance, abs=1e-5)
    assert ranking.usage.shared_tokens > 0
    assert ranking.usage.generated_tokens > 0


def test_a_prompt_that_cannot_be_asked_fails_alone(qwen: Path) -> None:
    backend = TransformersBackend(str(qwen), max_length=160)
    hopeless = Generate(TEMPLATE.render("why " * 300, ["acid"]), ("</think>",), 10)
    fine = Generate(PROMPTS[0], ("</think>",), 10)
    replies = backend.generate([hopeless, fine])
    assert [type(reply) for reply in replies] == [Failed, Generated]
    with pytest.raises(InputError, match="the query and the template alone need"):
        backend.generate([hopeless])
