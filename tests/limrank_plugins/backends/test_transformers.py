"""Labels read from a local model equal one plain forward pass per prompt, however they are grouped."""

from __future__ import annotations

import json
import math
import random
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from limrank_plugins import Document, Reranker
from limrank_plugins.backends.protocols import Failed, Generate, LabelReading, ReadLabels
from limrank_plugins.backends.transformers import TransformersBackend
from limrank_plugins.errors import BackendError, InputError
from limrank_plugins.prompts import load_template
from limrank_plugins.readouts.yes_no import probability
from limrank_plugins.segments import Prompt, Segment

TEMPLATE = load_template("limrank")
LABELS = TEMPLATE.labels
QUERIES = ["why does milk curdle in tea", "what makes bread rise, and why so slowly"]
PASSAGES = [
    "acid curdles milk because the proteins clump together",
    "bread rises when yeast makes gas",
    "",
    "light bends in water; iron rusts in moist air; rivers carve valleys " * 2,
    "</think> true",
    "acid curdles milk because the proteins clump and settle",
    "rivers \u202e\x00 carve 漢字 😀 valleys",
]


def ask(query: str, passage: str) -> ReadLabels:
    return ReadLabels(TEMPLATE.render(query, [passage]).then(Segment(TEMPLATE.no_think)), LABELS)


REQUESTS = [ask(query, passage) for query in QUERIES for passage in PASSAGES]


class Reference:
    """The plainest way to the same numbers: one prompt, one forward pass, no cache, no batch."""

    def __init__(self, folder: Path, backend: TransformersBackend) -> None:
        import transformers

        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
        self.tokens = transformers.AutoTokenizer.from_pretrained(folder)
        self.encoder = backend._encoder

    def probability(self, request: ReadLabels) -> float:
        ids = self.tokens(request.prompt.text)["input_ids"]
        if ids.count(self.tokens.convert_tokens_to_ids("</think>")) > 1:
            ids = self.encoder.encode(request.prompt).ids  # test_tokens.py is about these
        return self.of_ids(ids)

    def of_ids(self, ids: Sequence[int]) -> float:
        yes, no = (self.tokens(label, add_special_tokens=False)["input_ids"][0] for label in LABELS)
        with torch.no_grad():
            logits = self.model(torch.tensor([list(ids)]), use_cache=False).logits[0, -1]
        return float(torch.softmax(logits[[yes, no]], dim=0)[0])


def chances(replies: Sequence[Any]) -> list[float]:
    assert all(isinstance(reply, LabelReading) for reply in replies), replies
    found = [probability(reply.logits) for reply in replies]
    return [p for p in found if p is not None]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module", params=tiny.FAMILIES)
def family(request: pytest.FixtureRequest, home: Path) -> tuple[str, Path]:
    return request.param, tiny.build(home / request.param, request.param)


@pytest.fixture(scope="module")
def qwen(home: Path) -> Path:
    return tiny.build(home / "qwen", "qwen2")


@pytest.fixture
def counted() -> Iterator[Any]:
    """Counts the positions a backend's model computes."""
    hooks = []

    def count(backend: TransformersBackend) -> list[tuple[int, int]]:
        seen: list[tuple[int, int]] = []

        def note(_module: Any, _args: Any, given: dict[str, Any]) -> None:
            seen.append(tuple(given["input_ids"].shape))

        decoder = backend._network._decoder
        hooks.append(decoder.register_forward_pre_hook(note, with_kwargs=True))
        return seen

    yield count
    for hook in hooks:
        hook.remove()


# ---- equality -----------------------------------------------------------------------------------


def test_every_grouping_and_order_equals_plain_forward_passes(family: tuple[str, Path]) -> None:
    name, folder = family
    whole = TransformersBackend(str(folder))
    plain = Reference(folder, whole)
    expected = [plain.probability(request) for request in REQUESTS]
    assert max(expected) - min(expected) > 0.2  # the model does tell them apart
    if name in ("mistral", "gemma2"):
        assert whole._network._model.config.sliding_window < 20  # shorter than the shared prefix

    assert chances(whole.read_labels(REQUESTS)) == pytest.approx(expected, abs=1e-5)
    alone = [whole.read_labels([request])[0] for request in REQUESTS]
    assert chances(alone) == pytest.approx(expected, abs=1e-5)

    variants = [
        whole,
        TransformersBackend(str(folder), batch_tokens=1),
        TransformersBackend(str(folder), share_prefix=False),
        TransformersBackend(str(folder), attn_implementation="eager"),
    ]
    variants[0]._network.slack = 2.0 if variants[0]._network.label_rows else 0.0  # as on a GPU: padded
    for seed, backend in enumerate(variants * 2):
        order = random.Random(seed).sample(range(len(REQUESTS)), len(REQUESTS))
        replies = backend.read_labels([REQUESTS[i] for i in order])
        assert chances(replies) == pytest.approx([expected[i] for i in order], abs=1e-5)


def test_models_that_bend_their_logits_are_found_out(home: Path, qwen: Path) -> None:
    bent = TransformersBackend(str(tiny.build(home / "bent", "gemma2")))
    straight = TransformersBackend(str(tiny.build(home / "straight", "gemma2", final_logit_softcapping=None)))
    assert not bent._network.label_rows
    assert straight._network.label_rows
    assert TransformersBackend(str(qwen))._network.label_rows


def test_models_that_remember_more_than_keys_share_nothing_and_still_answer(home: Path) -> None:
    import transformers

    shape = {"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4, "initializer_range": 0.5}
    folder = home / "mamba"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = transformers.MambaConfig(vocab_size=len(tiny.tokenizer()), **shape)
        transformers.MambaForCausalLM(config).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    with pytest.raises(InputError, match="give max_length"):
        TransformersBackend(str(folder))
    backend = TransformersBackend(str(folder), max_length=512)
    assert not backend._network.shares
    plain = Reference(folder, backend)
    expected = [plain.probability(request) for request in REQUESTS[:4]]
    assert chances(backend.read_labels(REQUESTS[:4])) == pytest.approx(expected, abs=1e-5)
    with pytest.raises(BackendError, match="remembers more than keys and values"):
        backend.generate([Generate(REQUESTS[0].prompt, ("</think>",), 5)])


def test_the_reranker_gives_the_probabilities(qwen: Path) -> None:
    backend = TransformersBackend(str(qwen))
    plain = Reference(qwen, backend)
    ranking = Reranker("limrank", backend=backend, reasoning="none").rank(QUERIES[0], PASSAGES)
    for hit in ranking:
        assert hit.score == pytest.approx(plain.probability(ask(QUERIES[0], hit.document.text)), abs=1e-5)
    scores = [hit.score for hit in ranking]
    assert scores == sorted(scores, reverse=True)


# ---- less work ----------------------------------------------------------------------------------


def test_the_prefix_is_computed_once_per_query(qwen: Path, counted: Any) -> None:
    backend = TransformersBackend(str(qwen))
    seen = counted(backend)
    replies = backend.read_labels(REQUESTS)
    size = len(PASSAGES)
    for replies_of_one in (replies[:size], replies[size:]):
        shared = {reply.usage.shared_tokens for reply in replies_of_one}
        assert len(shared) == 2
        assert min(shared) == 0  # the row that paid for the prefix
        head = backend._encoder.encode(TEMPLATE.render(QUERIES[replies_of_one is not replies[:size]], ["x"]))
        assert max(shared) > 30
        assert max(shared) < len(head.ids)
        assert [reply.usage.shared_tokens for reply in replies_of_one].count(0) == 1
    prompt = sum(reply.usage.prompt_tokens for reply in replies)
    shared_sum = sum(reply.usage.shared_tokens for reply in replies)
    computed = sum(rows * columns for rows, columns in seen)
    assert computed == prompt - shared_sum
    assert computed < 0.5 * prompt
    assert sum(rows for rows, _ in seen) == len(REQUESTS) + 2


def test_without_sharing_everything_is_computed(qwen: Path, counted: Any) -> None:
    backend = TransformersBackend(str(qwen), share_prefix=False)
    seen = counted(backend)
    replies = backend.read_labels(REQUESTS)
    assert all(reply.usage.shared_tokens == 0 for reply in replies)
    assert sum(r * c for r, c in seen) == sum(reply.usage.prompt_tokens for reply in replies)


def test_batches_stay_within_their_tokens_and_are_used(qwen: Path, counted: Any) -> None:
    same = [ask(QUERIES[0], f"{word} milk and tea") for word in ("acid", "yeast", "iron", "bread", "light")]
    backend = TransformersBackend(str(qwen), batch_tokens=150)
    lengths = {len(backend._encoder.encode(request.prompt).ids) for request in same}
    seen = counted(backend)
    backend.read_labels(same)
    assert max(rows for rows, _ in seen) > 1
    assert all(rows * max(lengths) <= 150 for rows, _ in seen if rows > 1)


# ---- cutting ------------------------------------------------------------------------------------


def test_a_long_document_is_cut_to_the_context_and_reported(qwen: Path) -> None:
    backend = TransformersBackend(str(qwen))
    long = " ".join(["acid curdles milk"] * 6000)
    assert len(long) > 100_000
    ranking = Reranker("limrank", backend=backend, reasoning="none").rank(QUERIES[0], ["bread", long])
    cut = {hit.id: hit.cut_tokens for hit in ranking}
    whole = backend._encoder.encode(ask(QUERIES[0], long).prompt).ids
    tail = backend._encoder.encode(Prompt((Segment("\n<think>\n</think>"),))).ids
    assert cut == {"0": 0, "1": len(whole) - 512}
    expected = Reference(qwen, backend).of_ids([*whole[: 512 - len(tail)], *tail])
    assert {hit.id: hit.score for hit in ranking}["1"] == pytest.approx(expected, abs=1e-5)


def test_max_length_lowers_the_limit(qwen: Path) -> None:
    backend = TransformersBackend(str(qwen), max_length=100)
    reply = backend.read_labels([ask(QUERIES[0], "acid curdles milk " * 50)])[0]
    assert reply.usage.prompt_tokens == 100
    assert reply.cut_tokens > 0


def test_a_query_that_cannot_fit_is_an_error_or_fails_alone(qwen: Path) -> None:
    backend = TransformersBackend(str(qwen), max_length=100)
    hopeless = ask("why " * 200, "acid")
    with pytest.raises(InputError, match=r"the query and the template alone need \d+ tokens.*room for 100"):
        backend.read_labels([hopeless, hopeless])
    replies = backend.read_labels([hopeless, ask(QUERIES[0], "acid"), hopeless])
    assert [type(reply) for reply in replies] == [Failed, LabelReading, Failed]


# ---- trouble ------------------------------------------------------------------------------------


def test_a_document_that_breaks_the_model_fails_alone(qwen: Path) -> None:
    backend = TransformersBackend(str(qwen))
    healthy = chances(backend.read_labels(REQUESTS[:3]))
    poison = tiny.tokenizer().convert_tokens_to_ids("Ġquite")
    backend._network._model.get_input_embeddings().weight.data[poison] = math.nan
    replies = backend.read_labels([*REQUESTS[:2], ask(QUERIES[0], "milk is quite true"), REQUESTS[2]])
    assert isinstance(replies[2], Failed)
    assert "not finite" in replies[2].reason
    assert chances([*replies[:2], replies[3]]) == pytest.approx(healthy, abs=1e-5)


def test_labels_that_are_not_one_token_stop_the_reranker_before_any_work(home: Path) -> None:
    folder = tiny.build(home / "bytes", "llama", tokens=tiny.tokenizer("llama"))
    with pytest.raises(InputError, match="the label ' true' is not one token after"):
        Reranker("limrank", model=str(folder), reasoning="none")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "/nowhere/at/all"}, "'/nowhere/at/all' does not exist: give a folder"),
        ({"model": "./nowhere"}, "'./nowhere' does not exist"),
        ({"max_length": 513}, "max_length must be from 2 to the model's context of 512, but got 513"),
        ({"max_length": True}, "max_length"),
        ({"batch_tokens": 0}, "batch_tokens must be a whole number > 0, but got 0"),
        ({"cache_tokens": 1.5}, "cache_tokens must be a whole number > 0, but got 1.5"),
        ({"dtype": "int8"}, "dtype must be one of float32, bfloat16, float16, but got 'int8'"),
        ({"device": "abacus"}, "device 'abacus' cannot be used here"),
        ({"adapter": "/nowhere"}, "adapter '/nowhere' must be a folder that holds an adapter_config.json"),
    ],
)
def test_values_that_cannot_be_used_are_named(qwen: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        TransformersBackend(**({"model": str(qwen)} | options))


def test_a_file_and_an_empty_folder_are_no_models(tmp_path: Path) -> None:
    file = tmp_path / "weights.gguf"
    file.write_bytes(b"GGUF")
    with pytest.raises(InputError, match="is a file: give a folder"):
        TransformersBackend(str(file))
    with pytest.raises(InputError, match=r"holds no config\.json"):
        TransformersBackend(str(tmp_path))


def test_a_hub_name_that_cannot_be_had_is_one_sentence() -> None:
    with pytest.raises(BackendError, match=r"'nobody/nothing' cannot be loaded.*hub") as caught:
        TransformersBackend("nobody/nothing")
    assert "\n" not in str(caught.value)


def test_missing_weights_are_never_made_up(home: Path, qwen: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tiny.build(tmp_path / "model", "qwen2")
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        BackendError, match=r"no causal language model: it has no weights for lm_head\.weight"
    ):
        TransformersBackend(str(folder))


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = tiny.build(tmp_path / "model", "qwen2", vocab_size=300)
    with pytest.raises(BackendError, match="has 465 tokens, but the model only knows 300"):
        TransformersBackend(str(folder))


def test_a_closed_backend_says_so(qwen: Path) -> None:
    backend = TransformersBackend(str(qwen))
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.read_labels(REQUESTS[:1])


# ---- identity -----------------------------------------------------------------------------------


def test_retrained_weights_in_the_same_folder_have_another_identity(tmp_path: Path) -> None:
    folder = tiny.build(tmp_path / "model", "qwen2", seed=1)
    first = TransformersBackend(str(folder)).identity
    assert TransformersBackend(str(folder)).identity == first
    (folder / "README.md").write_text("nothing about the weights")
    assert TransformersBackend(str(folder)).identity == first
    tiny.build(folder, "qwen2", seed=2)
    second = TransformersBackend(str(folder)).identity
    assert second != first
    assert TransformersBackend(str(folder), dtype="bfloat16").identity != second
    assert TransformersBackend(str(folder), max_length=100).identity != second
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"rope_theta": 5000.0}))
    assert TransformersBackend(str(folder)).identity != second


def test_a_change_inside_a_large_file_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    from limrank_plugins.backends import fingerprint

    monkeypatch.setattr(fingerprint, "_WHOLE", 1000)
    file = tmp_path / "model.safetensors"
    content = bytearray(2_000_000)

    def mark() -> str:
        file.write_bytes(content)
        os.utime(file, ns=(1, 1))  # as images with frozen times have it
        return fingerprint.folder_fingerprint(tmp_path)

    first = mark()
    assert mark() == first
    content[1_000_000:1_100_000] = bytes([1]) * 100_000
    second = mark()
    assert second != first
    os.utime(file, ns=(2, 2))
    assert fingerprint.folder_fingerprint(tmp_path) != second


# ---- adapters and precision ---------------------------------------------------------------------


def test_an_adapter_is_the_same_merged_live_or_named_alone(qwen: Path, tmp_path: Path) -> None:
    adapter = str(tiny.build_adapter(tmp_path / "adapter", qwen))
    base = chances(TransformersBackend(str(qwen)).read_labels(REQUESTS))
    merged = TransformersBackend(str(qwen), adapter=adapter)
    live = TransformersBackend(str(qwen), adapter=adapter, merge_adapter=False)
    alone = TransformersBackend(adapter)
    found = chances(merged.read_labels(REQUESTS))
    assert chances(live.read_labels(REQUESTS)) == pytest.approx(found, abs=1e-5)
    assert chances(alone.read_labels(REQUESTS)) == pytest.approx(found, abs=1e-5)
    assert max(abs(a - b) for a, b in zip(base, found, strict=True)) > 1e-2
    assert alone.identity == merged.identity != live.identity
    with pytest.raises(InputError, match="is itself an adapter"):
        TransformersBackend(adapter, adapter=adapter)


def test_an_adapter_of_another_shape_is_refused(qwen: Path, home: Path, tmp_path: Path) -> None:
    wide = tiny.build(home / "wide", "qwen2", hidden_size=64)
    adapter = tiny.build_adapter(tmp_path / "adapter", wide)
    with pytest.raises(BackendError, match="does not fit the model"):
        TransformersBackend(str(qwen), adapter=str(adapter))


def test_sixteen_bits_move_probabilities_by_a_tenth_at_most(qwen: Path) -> None:
    # The promise in the docstring; the order is not promised.
    exact = chances(TransformersBackend(str(qwen)).read_labels(REQUESTS))
    short = chances(TransformersBackend(str(qwen), dtype="bfloat16").read_labels(REQUESTS))
    assert short == pytest.approx(exact, abs=0.1)
    assert short != pytest.approx(exact, abs=1e-6)


# ---- threads ------------------------------------------------------------------------------------


def test_eight_threads_get_the_answers_to_their_own_questions(qwen: Path) -> None:
    reranker = Reranker("limrank", model=str(qwen), reasoning="none")
    jobs = [
        (QUERIES[i % 2], [Document(p, id=f"{i}-{k}") for k, p in enumerate(PASSAGES[i % 5 :])])
        for i in range(16)
    ]
    expected = [{hit.id: hit.score for hit in reranker.rank(*job)} for job in jobs]
    found: list[dict[str, float | None]] = [{} for _ in jobs]

    def work(start: int) -> None:
        for i in range(start, 16, 8):
            found[i] = {hit.id: hit.score for hit in reranker.rank(*jobs[i])}

    threads = [threading.Thread(target=work, args=(start,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for got, wanted in zip(found, expected, strict=True):
        assert got == pytest.approx(wanted, abs=1e-6)
