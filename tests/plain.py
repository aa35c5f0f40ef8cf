"""The plainest way to the same numbers: one prompt, no cache, no batch. Tests compare with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from limrank_plugins.backends.protocols import Generated, LabelReading, ReadLabels
from limrank_plugins.backends.transformers import TransformersBackend
from limrank_plugins.prompts import load_template
from limrank_plugins.readouts.yes_no import probability
from limrank_plugins.segments import Prompt, Segment

TEMPLATE = load_template("limrank")
LABELS = TEMPLATE.labels
THINK, END = tiny.tokenizer().convert_tokens_to_ids(["</think>", "<|im_end|>"])


def ask(query: str, passage: str) -> ReadLabels:
    return ReadLabels(TEMPLATE.render(query, [passage]).then(Segment(TEMPLATE.no_think)), LABELS)


class Reference:
    """One forward pass per prompt, with the tokenizer itself."""

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


class Loop:
    """Writes greedily; every step is a full forward pass over everything so far."""

    def __init__(self, backend: TransformersBackend) -> None:
        self.model = backend._model.held._model
        self.encoder = backend._encoder
        self.tokens = tiny.tokenizer()

    def logits(self, ids: Sequence[int]) -> torch.Tensor:
        with torch.no_grad():
            return self.model(torch.tensor([list(ids)]), use_cache=False).logits[0, -1]

    def text(self, ids: Sequence[int]) -> str:
        return self.tokens.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def write(
        self, prompt: Prompt, stop: Sequence[str], budget: int
    ) -> tuple[str, str, int, list[float] | None]:
        ids = self.encoder.encode(prompt).ids
        written: list[int] = []
        while len(written) < budget:
            written.append(int(self.logits(ids + written).argmax()))
            text = self.text(written)
            places = sorted((text.index(mark), mark) for mark in stop if mark in text)
            if places:
                place, mark = places[0]
                behind = (
                    self.logits(ids + written)
                    if text.endswith(mark) and place + len(mark) == len(text)
                    else None
                )
                found = None if behind is None else [float(behind[i]) for i in self.labels()]
                return text[:place], "stop", len(written), found
            if written[-1] == END:
                return self.text(written[:-1]), "end", len(written), None
        return self.text(written), "length", len(written), None

    def labels(self) -> list[int]:
        return [self.tokens(label)["input_ids"][0] for label in LABELS]


def check(reply: Any, expected: tuple[str, str, int, list[float] | None]) -> None:
    assert isinstance(reply, Generated), reply
    text, finish, count, reading = expected
    assert (reply.text, reply.finish, reply.usage.generated_tokens) == (text, finish, count)
    if reading is None:
        assert reply.reading is None
    else:
        assert reply.reading is not None
        assert reply.reading.logits == pytest.approx(reading, abs=1e-4)


def eager_to_stop(family: str, stop: float, end: float) -> Any:
    """A random model that likes to write `</think>` and its end of answer."""
    made = tiny.model(family, tie_word_embeddings=False)
    with torch.no_grad():
        made.lm_head.weight[THINK] *= stop
        made.lm_head.weight[END] *= end
    return made
