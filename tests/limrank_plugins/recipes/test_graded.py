"""Expected grades on a tiny model: those of a plain forward pass at the same place."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch

from limrank_plugins import Reranker
from limrank_plugins.backends.transformers import TransformersBackend

CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PASSAGES = ["acid curdles milk", "bread rises when yeast makes gas", "", "rivers carve valleys"]


@pytest.mark.parametrize("family", ["qwen2", "gemma2"])
@pytest.mark.parametrize("levels", [2, 5, 11])
def test_the_grades_are_those_of_a_full_forward_pass(
    family: str, levels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny, "CORPUS", [*tiny.CORPUS, *[": A B C D E F G H I J K"] * 50])
    tokens = tiny.qwen_tokenizer()
    tokens.chat_template = CHAT
    place = tiny.build(tmp_path / family, family, tokens=tokens, max_position_embeddings=2048)
    backend = TransformersBackend(str(place))
    recipe = f"graded:levels={levels}"
    ranking = Reranker(recipe, backend=backend).rank("why does milk curdle?", PASSAGES)
    model = tiny.model(family, tokens=tokens, max_position_embeddings=2048)
    grades = [
        tokens(f" {letter}", add_special_tokens=False)["input_ids"] for letter in "ABCDEFGHIJK"[:levels]
    ]
    assert [len(grade) for grade in grades] == [1] * levels
    values = torch.arange(levels - 1, -1, -1, dtype=torch.float32)
    expected = {}
    for i, passage in enumerate(PASSAGES):
        asked: list[str] = []
        Reranker(recipe, backend=_Recorder(asked)).rank("why does milk curdle?", [passage])
        text = tokens.apply_chat_template(
            [{"role": "user", "content": asked[0].removesuffix("Grade:")}],
            tokenize=False,
            add_generation_prompt=True,
        )
        ids = tokens(f"{text}Grade:", add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([ids]), use_cache=False).logits[0, -1]
        shares = torch.softmax(logits[[grade[0] for grade in grades]], dim=0)
        expected[i] = float(shares @ values)
    found = {hit.index: hit.score for hit in ranking}
    assert [found[i] for i in expected] == pytest.approx(list(expected.values()), abs=1e-5)
    assert max(expected.values()) - min(expected.values()) > 5e-4, "the model does tell them apart"
    assert ranking.usage.generated_tokens == 0


class _Recorder:
    """Notes the prompts and says nothing of interest."""

    name = "recorder"
    identity = "recorder"

    def __init__(self, asked: list[str]) -> None:
        self._asked = asked

    def read_labels(self, requests: list) -> list:
        from limrank_plugins.backends.protocols import LabelReading

        self._asked += [request.prompt.text for request in requests]
        return [LabelReading(tuple(0.0 for _ in request.labels)) for request in requests]
