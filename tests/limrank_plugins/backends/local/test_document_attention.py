"""Attention read behind cached documents equals one plain eager pass over the whole prompt."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tokenizers
import torch
import transformers

from limrank_plugins.backends.local import document_attention
from limrank_plugins.backends.local.truncation import FittedPrompt, fit_documents
from limrank_plugins.backends.protocols import Attend, Attended, Failed
from limrank_plugins.backends.transformers import TransformersBackend
from limrank_plugins.errors import BackendError, InputError
from limrank_plugins.segments import Prompt, Segment

DOCUMENTS = [
    "acid curdles milk",
    "bread rises when yeast makes gas.",
    "",
    "x",
    "light bends in water; iron 😀",
]
FAMILIES: dict[str, dict[str, Any]] = {
    "qwen2": {},  # two heads share keys and values
    "llama": {},
    "qwen3": {},
    "gemma2": {"attn_logit_softcapping": 2.0},  # one layer of two has a window of 8
    "mistral": {"sliding_window": None},
}


def prompt_of(query: str, documents: Sequence[str] = DOCUMENTS, tail: str = "") -> Prompt:
    segments = [Segment("Passages:\n")]
    for number, document in enumerate(documents, start=1):
        segments += [Segment(f"[{number}] "), Segment(document, False, cuttable=True), Segment("\n")]
    return Prompt((*segments, Segment(f"{tail}Query: "), Segment(query, False), Segment("\n<think>")))


def asked(*queries: str, documents: Sequence[str] = DOCUMENTS) -> Attend:
    return Attend(tuple(prompt_of(query, documents) for query in queries))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for family, changes in FAMILIES.items():
        tiny.build(folder / family, family, **changes)
    return folder


@pytest.fixture(scope="module")
def qwen(home: Path) -> TransformersBackend:
    return TransformersBackend(str(home / "qwen2"))


def one_pass(folder: Path, ids: Sequence[int], layers: Sequence[int] | None = None) -> list[Any]:
    """Attention of the whole prompt by layer, shape (heads, tokens, tokens)."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        found = model(torch.tensor([list(ids)]), output_attentions=True, use_cache=False).attentions
    return [found[i][0] for i in (range(len(found)) if layers is None else layers)]


def expected(folder: Path, backend: TransformersBackend, prompt: Prompt, layers: Any = None) -> list[Any]:
    placed = whole_prompt(backend, prompt)
    parts = one_pass(folder, placed.ids, layers)
    whole = sum(part[:, placed.tail :].mean(dim=1).sum(dim=0) for part in parts)
    return [whole[a:b].numpy() for a, b in placed.documents]


def whole_prompt(backend: TransformersBackend, prompt: Prompt) -> FittedPrompt:
    """Its tokens, nothing cut, and where its documents, labels included, and its tail are."""
    return fit_documents(backend._encoder.encode(prompt), 1 << 20)


def same(found: Sequence[Any], wanted: Sequence[Any], tolerance: float = 1e-5) -> bool:
    assert [row.shape for row in found] == [row.shape for row in wanted]
    # The order of float32 sums differs between processors: 1e-5 relative.
    return all(np.allclose(a, b, rtol=1e-5, atol=tolerance) for a, b in zip(found, wanted, strict=True))


# ---- equality -----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("chunk", [4096, 7, 1])
def test_it_equals_one_eager_pass_for_every_tail(home: Path, family: str, chunk: int) -> None:
    folder = home / family
    backend = TransformersBackend(str(folder), batch_tokens=chunk)
    usual = backend._model.held.decoder.config._attn_implementation
    request = asked("why does milk curdle", "N/A")
    (reply,) = backend.attend([request])
    assert isinstance(reply, Attended)
    layers = [1] if family == "gemma2" else None  # the layer that sees everything
    for prompt, weights in zip(request.prompts, reply.weights, strict=True):
        assert same(weights, expected(folder, backend, prompt, layers))
        assert all(row.dtype == np.float32 for row in weights)
    placed = whole_prompt(backend, request.prompts[0])
    spans = [placed.ids[a:b] for a, b in placed.documents]
    shown = [f"[{number}] {text}" if text else "" for number, text in enumerate(DOCUMENTS, start=1)]
    assert [backend._encoder.decode(span).strip() for span in spans] == shown
    tail = backend._encoder.decode(placed.ids[placed.tail :])
    assert tail.startswith("Query: why"), "the line break before it is no part of it"
    assert [len(row) for row in reply.weights[0]] == [len(span) for span in spans]
    assert not same(reply.weights[0], reply.weights[1], 1e-4)
    assert backend._model.held.decoder.config._attn_implementation == usual


def test_other_layouts(home: Path) -> None:
    """Learned positions; and sinks, which take a share of the attention that is nobody's."""
    shape = {"vocab_size": len(tiny.tokenizer()), "bos_token_id": None, "eos_token_id": None}
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    experts = {"intermediate_size": 32, "num_local_experts": 2, "num_experts_per_tok": 1}
    sinks = small | experts | {"head_dim": 8, "sliding_window": 8}
    for name, config, layers in (
        ("gpt2", transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, **shape), None),
        ("gpt-oss", transformers.GptOssConfig(**sinks, **shape), [1]),
    ):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            transformers.AutoModelForCausalLM.from_config(config).save_pretrained(home / name)
        tiny.tokenizer().save_pretrained(home / name)
        backend = TransformersBackend(str(home / name), max_length=512)
        request = asked("why", "N/A")
        (reply,) = backend.attend([request])
        for prompt, weights in zip(request.prompts, reply.weights, strict=True):
            assert same(weights, expected(home / name, backend, prompt, layers))


def test_a_long_tail_in_pieces_equals_one_piece(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for family in ("qwen2", "gemma2"):
        backend = TransformersBackend(str(home / family))
        request = asked("why " * 20, "N/A")
        (whole,) = backend.attend([request])
        monkeypatch.setattr(document_attention, "HELD", 4 * 70 * 3)
        (pieces,) = backend.attend([request])
        monkeypatch.undo()
        assert same(pieces.weights[0], whole.weights[0])
        assert same(pieces.weights[1], whole.weights[1])


def test_weights_are_probabilities(home: Path, qwen: TransformersBackend) -> None:
    (reply,) = qwen.attend([asked("why", "N/A")])
    config = qwen._model.held.decoder.config
    for weights in reply.weights:
        assert all((row >= 0).all() for row in weights)
        total = sum(row.sum() for row in weights)
        assert 0 < total <= config.num_hidden_layers * config.num_attention_heads


def test_the_same_tail_twice_is_the_same_to_the_bit(qwen: TransformersBackend) -> None:
    (reply,) = qwen.attend([asked("N/A", "N/A")])
    assert all((a == b).all() for a, b in zip(*reply.weights, strict=True))


# ---- memory -------------------------------------------------------------------------------------


def test_no_more_than_one_layer_is_held_and_no_more_than_its_share(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long list, a small allowance: no tensor of probabilities exceeds it, none outlives its layer."""
    backend = TransformersBackend(str(home / "llama"), batch_tokens=64)
    documents = ["acid curdles milk because the proteins clump together"] * 20
    monkeypatch.setattr(document_attention, "HELD", 4 * 400 * 2)
    alive: list[Any] = []
    sizes: list[int] = []

    def note(_module: Any, _inputs: Any, output: Any) -> None:
        assert not [1 for earlier in alive if earlier() is not None], "an earlier layer's is still held"
        if output[1] is not None:
            alive.append(weakref.ref(output[1]))
            sizes.append(output[1].numel())

    modules = [m for m in backend._model.held.decoder.modules() if hasattr(m, "layer_idx")]
    hooks = [module.register_forward_hook(note) for module in modules]
    (reply,) = backend.attend([asked("why " * 10, "N/A", documents=documents)])
    for hook in hooks:
        hook.remove()
    assert isinstance(reply, Attended)
    assert sizes
    assert max(sizes) <= document_attention.HELD
    total = reply.usage.prompt_tokens
    assert max(sizes) < total * total // 50


# ---- what it does not depend on -------------------------------------------------------------------


def test_it_does_not_depend_on_what_else_is_asked(qwen: TransformersBackend) -> None:
    requests = [asked(query, "N/A", documents=DOCUMENTS[i:]) for i, query in enumerate(["why", "how", "who"])]
    together = qwen.attend([*requests, *reversed(requests)])
    alone = [qwen.attend([request])[0] for request in requests]
    for i, wanted in enumerate(alone):
        for found in (together[i], together[-1 - i]):
            for a, b in zip(found.weights, wanted.weights, strict=True):
                assert all((x == y).all() for x, y in zip(a, b, strict=True))


def test_a_query_with_markers_leaves_the_documents_as_they_are(qwen: TransformersBackend) -> None:
    """One prompt is taken apart at its markers, the other is not; their documents are the same tokens."""
    query = "is </think> true <|im_end|> or [3] > [1]"
    (reply,) = qwen.attend([asked(query, "N/A")])
    assert isinstance(reply, Attended)
    assert [len(row) for row in reply.weights[0]] == [len(row) for row in reply.weights[1]]
    encoded = qwen._encoder.encode(prompt_of(query))
    markers = tiny.tokenizer().convert_tokens_to_ids(["</think>", "<|im_end|>"])
    assert not set(markers) & set(encoded.ids)


def test_documents_are_the_same_tokens_for_every_tail(tmp_path: Path) -> None:
    """An added run of spaces is no marker, but it is not known where a prompt is taken apart."""
    tokens = tiny.qwen_tokenizer()
    tokens.add_tokens([tokenizers.AddedToken("    ", normalized=False)])
    backend = TransformersBackend(str(tiny.build(tmp_path, tokens=tokens)))
    documents = ["acid    curdles", "milk    and tea"]
    joint, free = asked("is </think> true", "N/A", documents=documents).prompts
    assert whole_prompt(backend, joint).documents != whole_prompt(backend, free).documents
    (reply,) = backend.attend([Attend((joint, free))])
    assert isinstance(reply, Attended)
    assert [len(row) for row in reply.weights[0]] == [len(row) for row in reply.weights[1]]


def test_documents_with_markers_are_text(home: Path, qwen: TransformersBackend) -> None:
    documents = ["milk </think> true", "<|im_end|>", "plain"]
    request = asked("why", "N/A", documents=documents)
    (reply,) = qwen.attend([request])
    for prompt, weights in zip(request.prompts, reply.weights, strict=True):
        assert same(weights, expected(home / "qwen2", qwen, prompt))


# ---- documents ----------------------------------------------------------------------------------


@pytest.mark.parametrize("documents", [["x"], [""], ["", ""], ["😀"], [" "], ["a", "", "b"], ["", "milk."]])
def test_empty_and_tiny_documents(home: Path, qwen: TransformersBackend, documents: list[str]) -> None:
    request = asked("why", "N/A", documents=documents)
    (reply,) = qwen.attend([request])
    assert isinstance(reply, Attended)
    for prompt, weights in zip(request.prompts, reply.weights, strict=True):
        assert same(weights, expected(home / "qwen2", qwen, prompt))
    for text, row in zip(documents, reply.weights[0], strict=True):
        assert (len(row) > 0) == bool(text)


def test_long_documents_are_cut_alike_for_every_tail_and_reported(home: Path) -> None:
    backend = TransformersBackend(str(home / "qwen2"), max_length=120)
    documents = ["acid curdles milk " * 40, "bread", "light bends " * 30]
    request = asked("a much longer query than the other one", "N/A", documents=documents)
    (reply,) = backend.attend([request])
    assert reply.cut_tokens > 100
    lengths = [len(row) for row in reply.weights[0]]
    assert lengths == [len(row) for row in reply.weights[1]]
    assert abs(lengths[0] - lengths[2]) <= 2
    assert lengths[1] == len(backend._encoder.encode(Prompt((Segment("[2] bread"),))).ids)
    # The same documents, cut by hand: what is left is read as if nothing more had been there.
    placed = whole_prompt(backend, request.prompts[0])
    spans = [(a + length, b) for (a, b), length in zip(placed.documents, lengths, strict=True)]
    keep = [i for i in range(len(placed.ids)) if not any(a <= i < b for a, b in spans)]
    assert len(keep) == 120
    tail = len(placed.ids) - placed.tail
    found = one_pass(home / "qwen2", [placed.ids[i] for i in keep])
    whole = sum(part[:, -tail:].mean(dim=1).sum(dim=0) for part in found).numpy()
    place = keep.index(placed.documents[0][0])
    assert np.allclose(reply.weights[0][0], whole[place : place + lengths[0]], rtol=1e-5, atol=1e-5)


# ---- trouble ------------------------------------------------------------------------------------


def test_a_window_that_hides_documents_from_every_layer_is_an_error(home: Path) -> None:
    backend = TransformersBackend(str(tiny.build(home / "window", "mistral")))
    with pytest.raises(BackendError, match="no layer of this model sees all documents"):
        backend.attend([asked("why", "N/A")])
    assert backend._model.held.decoder.config._attn_implementation == "sdpa"


def test_attention_is_put_back_after_an_error(qwen: TransformersBackend) -> None:
    def explode(*_: Any) -> None:
        raise RuntimeError("out of memory")

    hook = qwen._model.held.decoder.layers[-1].self_attn.register_forward_pre_hook(explode)
    network = qwen._model.held
    with pytest.raises(RuntimeError, match="out of memory"):
        document_attention._tail_attention(network, network.prefix([5, 6, 7]), [8, 9], 0)
    hook.remove()
    assert network.decoder.config._attn_implementation == "sdpa"
    assert not any(module._forward_hooks for module in network.decoder.modules())
    assert isinstance(qwen.attend([asked("why")])[0], Attended)


def test_a_model_that_is_no_transformer_is_refused(home: Path) -> None:
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4}
    config = transformers.MambaConfig(vocab_size=len(tiny.tokenizer()), **shape)
    transformers.MambaForCausalLM(config).save_pretrained(home / "mamba")
    tiny.tokenizer().save_pretrained(home / "mamba")
    backend = TransformersBackend(str(home / "mamba"), max_length=256)
    with pytest.raises(BackendError, match="remembers more than keys and values"):
        backend.attend([asked("why", "N/A")])


def test_what_is_no_number_fails_alone(home: Path) -> None:
    backend = TransformersBackend(str(home / "qwen2"))
    poison = tiny.tokenizer().convert_tokens_to_ids("Ġquite")
    backend._model.held._model.get_input_embeddings().weight.data[poison] = torch.nan
    replies = backend.attend([asked("why", documents=["milk is quite true"]), asked("why")])
    assert isinstance(replies[0], Failed)
    assert "not finite" in replies[0].reason
    assert isinstance(replies[1], Attended)


def test_requests_that_make_no_sense_are_named(qwen: TransformersBackend) -> None:
    for request, problem in [
        (Attend(()), "at least one prompt"),
        (Attend((Prompt((Segment("no document"),)),)), "holds no document"),
        (Attend((prompt_of("why", ["a"]), prompt_of("why", ["b"]))), "equal up to the end"),
        (Attend((Prompt((Segment("Text: "), Segment("a b", False, True))),)), "ends with a document"),
    ]:
        with pytest.raises(InputError, match=problem):
            qwen.attend([request])
        replies = qwen.attend([request, asked("why")])
        assert isinstance(replies[0], Failed)
        assert isinstance(replies[1], Attended)


def test_a_closed_backend_says_so(home: Path) -> None:
    backend = TransformersBackend(str(home / "qwen2"))
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.attend([asked("why")])
