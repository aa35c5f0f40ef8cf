"""The package `gliclass` on random weights against ours. Run by tests/compat/run_gliclass.

Three things give the same logits: the package's own pipeline, our use of a released model, and our own
compact model with the released one's weights put in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tiny_encoders import QUERY, TEXTS, bert_config, bert_tokenizer

from limrank_plugins import Reranker
from limrank_plugins.backends.gliclass import GLiClass, GLiClassBackend
from limrank_plugins.backends.gliclass.head import head
from limrank_plugins.backends.gliclass.label_inputs import LABEL, SEPARATOR
from limrank_plugins.backends.protocols import Classify, Numbers

gliclass = pytest.importorskip("gliclass", reason="needs gliclass: run tests/compat/run_gliclass")

LABELS = [text for text in TEXTS if text][:4]
OURS = {
    "model.text_projector.linear_1": "text_projector.0",
    "model.text_projector.linear_2": "text_projector.2",
    "model.classes_projector.linear_1": "label_projector.0",
    "model.classes_projector.linear_2": "label_projector.2",
    "model.scorer.proj_text": "text_weights",
    "model.scorer.proj_label": "label_weights",
    "model.scorer.out_mlp.0": "scorer.0",
    "model.scorer.out_mlp.3": "scorer.2",
}


def released(folder: Path, scorer: str, *, prompt_first: bool = True) -> tuple[Any, Any]:
    """A random model of the package's, saved as the released ones are, and its tokenizer."""
    tokenizer = bert_tokenizer(folder, model_max_length=64)
    markers = [transformers.AddedToken(m, normalized=False, special=True) for m in (LABEL, SEPARATOR)]
    tokenizer.add_tokens(markers, special_tokens=True)
    torch.manual_seed(3)
    config = gliclass.GLiClassModelConfig(
        encoder_config=bert_config(vocab_size=len(tokenizer)),
        encoder_model="",
        scorer_type=scorer,
        hidden_size=32,
        vocab_size=len(tokenizer),
        class_token_index=tokenizer.convert_tokens_to_ids(LABEL),
        text_token_index=tokenizer.convert_tokens_to_ids(SEPARATOR),
        pooling_strategy="first",
        extract_text_features=True,
        prompt_first=prompt_first,
        initializer_range=0.3,
    )
    gliclass.GLiClassModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return gliclass.GLiClassModel.from_pretrained(folder).eval(), tokenizer


def pipeline_logits(model: Any, tokenizer: Any, text: str, labels: list[str]) -> list[float]:
    """What the package's own pipeline reads from the model for one text."""
    pipeline = gliclass.ZeroShotClassificationPipeline(
        model, tokenizer, classification_type="multi-label", device="cpu", progress_bar=False, max_length=64
    )
    pipe = getattr(pipeline, "pipe", pipeline)
    (found,) = pipe.get_embeddings([text], labels)
    logits: list[float] = found["logits"][: len(labels)].tolist()
    (scores,) = pipeline(text, labels, threshold=0.0)
    chances = {entry["label"]: entry["score"] for entry in scores}
    assert [chances[label] for label in labels] == pytest.approx(torch.tensor(logits).sigmoid().tolist())
    return logits


@pytest.mark.parametrize("scorer", ["simple", "weighted-dot", "mlp"])
@pytest.mark.parametrize("prompt_first", [True, False])
def test_a_released_model_gives_the_pipelines_logits(tmp_path: Path, scorer: str, prompt_first: bool) -> None:
    model, tokenizer = released(tmp_path, scorer, prompt_first=prompt_first)
    backend = GLiClassBackend(str(tmp_path), device="cpu")
    for text, labels in [(QUERY, LABELS), (LABELS[0], [QUERY]), ("", ["milk", "tea"])]:
        (reply,) = backend.classify([Classify(text, tuple(labels))])
        assert isinstance(reply, Numbers), reply
        wanted = pipeline_logits(model, tokenizer, text, labels)
        assert list(reply.values) == pytest.approx(wanted, abs=1e-6)
        print(scorer, prompt_first, [round(value, 4) for value in wanted])


@pytest.mark.parametrize(("scorer", "ours"), [("simple", "dot"), ("weighted-dot", "weighted-dot")])
def test_our_own_head_with_the_same_weights_gives_the_same_logits(
    tmp_path: Path, scorer: str, ours: Any
) -> None:
    model, tokenizer = released(tmp_path, scorer)
    module = torch.nn.ModuleDict({"encoder": model.model.encoder_model, **head(32, ours)}).eval()
    state = model.state_dict()
    for theirs, mine in OURS.items():
        for kind in ("weight", "bias"):
            if f"{theirs}.{kind}" in state:
                module.get_parameter(f"{mine}.{kind}").data.copy_(state[f"{theirs}.{kind}"])
    made = GLiClass(module, tokenizer, pooling="first", scorer=ours, prompt_first=True, identity="test")
    made.save_pretrained(tmp_path / "ours")
    backend = GLiClassBackend(str(tmp_path / "ours"), device="cpu")
    for text, labels in [(QUERY, LABELS), (LABELS[0], [QUERY])]:
        (reply,) = backend.classify([Classify(text, tuple(labels))])
        assert isinstance(reply, Numbers), reply
        wanted = pipeline_logits(model, tokenizer, text, labels)
        assert list(reply.values) == pytest.approx(wanted, rel=1e-5)


def test_a_released_model_as_a_reranker(tmp_path: Path) -> None:
    released(tmp_path, "simple")
    for recipe in ("gliclass", "gliclass:mode=joint"):
        ranking = Reranker(recipe, str(tmp_path), device="cpu").rank(QUERY, LABELS)
        assert ranking.failures == ()


def test_where_the_two_differ(tmp_path: Path) -> None:
    """A marker in a passage, which the pipeline takes for one more label; and labels that are cut away."""
    model, tokenizer = released(tmp_path, "simple")
    backend = GLiClassBackend(str(tmp_path), device="cpu")
    evil = f"milk {LABEL} tea"
    (reply,) = backend.classify([Classify(QUERY, (evil, "acid"))])
    assert isinstance(reply, Numbers)
    assert len(reply.values) == 2
    assert list(reply.values) != pytest.approx(
        pipeline_logits(model, tokenizer, QUERY, [evil, "acid"]), abs=1e-4
    )
    # Their last label is beyond 64 tokens, so it has no state; ours are all cut to fit.
    long = ["milk " * 40, "acid " * 40, "tea"]
    (reply,) = backend.classify([Classify(QUERY, tuple(long))])
    assert isinstance(reply, Numbers)
    assert reply.cut_tokens > 0
    tokens = tokenizer("".join(f"{LABEL}{label}" for label in long), truncation=True, max_length=64)[
        "input_ids"
    ]
    assert tokens.count(tokenizer.convert_tokens_to_ids(LABEL)) == 2
