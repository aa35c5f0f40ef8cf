"""A model that cannot see refuses an image; it is never left out silently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny

from limrank_plugins import Document, Query, Reranker, ScriptedBackend
from limrank_plugins.backends import backend_names
from limrank_plugins.images import Image
from limrank_plugins.recipes import recipe_names
from limrank_plugins.segments import Prompt

GIF = Image(b"GIF89a" + b"image")
DOCUMENTS = [Document("one", id="a"), Document("two", id="b", images=(GIF,)), Document("three", id="c")]
# They cannot be loaded here (vllm), see, are asked otherwise below or in a file of their own (llama-cpp), or
# make no difference (none).
ELSEWHERE = {"vllm", "llama-cpp", "vision", "multimodal-encoder", "openai", "rerank-api", "decisions", "none"}


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokens = tiny.qwen_tokenizer()
    tokens.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    return tiny.build(tmp_path_factory.mktemp("blind") / "model", tokens=tokens)


@pytest.mark.parametrize("recipe", ["limrank", "qlm", "icr"])
def test_a_language_model_marks_the_document(language_model: Path, recipe: str):
    settings: dict[str, Any] = {"reasoning": "none", "template": recipe} if recipe == "limrank" else {}
    made = Reranker(recipe, str(language_model), "transformers", device="cpu", **settings)
    found = made.rank("why", DOCUMENTS)
    assert [failure.id for failure in found.failures] == ["b"]
    assert "image" in found.failures[0].reason


def test_a_query_with_an_image_is_not_read_as_its_words(language_model: Path):
    made = Reranker("qlm", str(language_model), "transformers", device="cpu")
    found = made.rank(Query("why", images=(GIF,)), ["one", "two"])
    assert [failure.id for failure in found.failures] == ["0", "1"]


def test_every_recipe_shows_or_refuses_an_image():
    """With a scripted model: whatever is asked about the document holds its image, or it has failed."""
    from scripts import answer, attention, full_backend, logits, thought, vector

    def unseen(script: Any) -> Any:
        def ask(prompt: Prompt, *others: Any) -> Any:
            if any("two" in s.text for s in prompt.segments if s.cuttable):
                assert prompt.images, "the image was left out"
            return script(prompt, *others)

        return ask

    def encode(text: str, role: str, *images: Any) -> list[float]:
        assert images or text != "two", "the image was left out"
        return vector(text, role)

    def pair(query: str, passage: str) -> float:
        assert passage != "two", "a passage without its image"
        return 0.5

    def classify(text: str, labels: tuple[str, ...]) -> list[float]:
        assert text != "two", "a passage without its image"
        assert "two" not in labels
        return [0.5 for _ in labels]

    for recipe in recipe_names():
        backend: ScriptedBackend = full_backend(
            read_labels=unseen(logits),
            generate=unseen(thought if recipe in ("limrank", "rank1") else answer),
            encode=encode,
            score_pairs=pair,
            classify=classify,
            likelihood=unseen(lambda prompt, continuation: [-1.0]),
            attend=unseen(attention),
        )
        found = Reranker(recipe, backend=backend).rank("why", DOCUMENTS)
        assert sorted(found.ids) == ["a", "b", "c"], recipe
        assert {failure.id for failure in found.failures} <= {"b"}, recipe


def test_every_backend_is_looked_at():
    seen = {"transformers", "encoder", "cross-encoder", "seq2seq", "tildev2", "gliclass"}
    assert set(backend_names()) == seen | ELSEWHERE, "look at a new backend here, too"
