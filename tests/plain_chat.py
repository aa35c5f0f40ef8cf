"""`transformers` alone on a model that chats, one prompt at a time. Tests compare with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from limrank_plugins.backends.transformers import TransformersBackend


class PlainChat:
    """Plain calls on the weights and the tokenizer that a backend has loaded: no batch, no shared prefix."""

    def __init__(self, backend: TransformersBackend) -> None:
        self.model: Any = backend._model.held._model
        self.tokens: Any = backend._encoder._tokenizer

    def chat(self, text: str, system: str | None = None) -> str:
        """A user's message, and the beginning of the reply to it, as the chat template writes them."""
        messages = [{"role": "system", "content": system}] if system is not None else []
        messages.append({"role": "user", "content": text})
        return str(self.tokens.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def ids(self, text: str) -> list[int]:
        return list(self.tokens(text, add_special_tokens=False)["input_ids"])

    def label(self, text: str) -> int:
        """The one token that a label is."""
        (token,) = self.ids(text)
        return token

    def logits(self, text: str, keep: int = 0) -> torch.Tensor:
        """At each of the text's tokens or the last `keep`, shape (tokens, vocabulary), in float64."""
        ids = torch.tensor([self.ids(text)])
        with torch.no_grad():
            return self.model(ids, use_cache=False, logits_to_keep=keep).logits[0].double()

    def at_the_end(self, text: str, labels: Sequence[str]) -> list[float]:
        """The labels' logits behind a text."""
        last = self.logits(text, keep=1)[-1]
        return [float(last[self.label(label)]) for label in labels]

    def probabilities(self, text: str, labels: Sequence[str]) -> list[float]:
        """Of the labels behind a text, among themselves."""
        found: list[float] = (
            torch.tensor(self.at_the_end(text, labels), dtype=torch.float64).softmax(0).tolist()
        )
        return found

    def greedy(self, text: str, tokens: int, **options: Any) -> tuple[str, float]:
        """What `generate` writes behind a text, and how near another token came to be written (logits)."""
        ids = torch.tensor([self.ids(text)])
        with torch.no_grad():
            made = self.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=tokens,
                do_sample=False,
                output_logits=True,
                return_dict_in_generate=True,
                **options,
            )
        best = [step[0].topk(2).values for step in made.logits]
        text = self.tokens.decode(made.sequences[0, ids.shape[1] :], skip_special_tokens=True)
        return str(text), min(float(first - second) for first, second in best)
