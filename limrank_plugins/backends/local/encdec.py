"""A model with an encoder and a decoder, as a reranker needs it: what the decoder expects, step by step.

Nothing is shared between prompts: an encoder reads in both directions, so every token depends on the
whole prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from limrank_plugins.backends.local.prompt_batches import in_batches
from limrank_plugins.errors import require

_LOGITS = 1 << 26
"""Logits held at a time (256 MiB in float32)."""


class EncoderDecoder:
    """A loaded sequence-to-sequence model.

    Args:
        model: of the `transformers` library, on its device, in eval mode.
        tokenizer: its tokenizer.
        exact: every row is computed alone, so that no bit of it depends on what else is asked.
        budget: prompt tokens computed at a time, padding included; one row is always computed.

    Attributes:
        suffix: the tokens that end a prompt (T5: `</s>`).
    """

    def __init__(self, model: Any, tokenizer: Any, *, exact: bool, budget: int) -> None:
        self._torch = require("torch", "transformers", "Seq2SeqBackend")
        self._model = model
        self._exact = exact
        self._budget = budget
        self._device = model.get_input_embeddings().weight.device
        self._begin = _begin(model)
        self._pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self._begin[0]
        self.suffix = _suffix(tokenizer)

    def logits(
        self, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]
    ) -> Iterator[tuple[int, Any]]:
        """For each prompt the logits at the answer's first position and behind each of its tokens.

        Args:
            prompts: token ids, the suffix included.
            answers: tokens that are put into the decoder's mouth; may be empty.

        Yields:
            The position of a prompt, and a tensor in float32 of shape (len(answer) + 1, vocabulary).
        """
        lengths = [len(prompt) for prompt in prompts]
        if self._exact:
            batches = [[i] for i in range(len(prompts))]
        else:
            longest = max((len(answer) for answer in answers), default=0) + len(self._begin)
            rows = max(1, _LOGITS // (longest * self._model.get_output_embeddings().weight.shape[0]))
            batches = [
                batch[start : start + rows]
                for batch in in_batches(lengths, 0, self._budget, 0.25)
                for start in range(0, len(batch), rows)
            ]
        for batch in batches:
            logits = self._forward([prompts[i] for i in batch], [answers[i] for i in batch])
            for row, i in enumerate(batch):
                first = len(self._begin) - 1
                yield i, logits[row, first : first + len(answers[i]) + 1].float()

    def _forward(self, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> Any:
        width = max(map(len, prompts))
        depth = max(map(len, answers))
        rows = [[*prompt, *[self._pad] * (width - len(prompt))] for prompt in prompts]
        mask = [[1] * len(prompt) + [0] * (width - len(prompt)) for prompt in prompts]
        # The decoder looks back only, so that what stands behind an answer changes nothing about it.
        begun = [[*self._begin, *answer, *[self._pad] * (depth - len(answer))] for answer in answers]
        with self._torch.inference_mode():
            return self._model(
                input_ids=self._torch.tensor(rows, device=self._device),
                attention_mask=self._torch.tensor(mask, device=self._device),
                decoder_input_ids=self._torch.tensor(begun, device=self._device),
                # A decoder that guesses which of its tokens are padding would take T5's start for one.
                decoder_attention_mask=self._torch.ones(
                    (len(begun), len(begun[0])), dtype=self._torch.long, device=self._device
                ),
                use_cache=False,
            ).logits


def _begin(model: Any) -> list[int]:
    """What the decoder starts from: its start token, and a first token where the model always gives one."""
    configs = (model.generation_config, model.config)
    begin: list[int] = []
    for names in (("decoder_start_token_id", "bos_token_id", "pad_token_id"), ("forced_bos_token_id",)):
        tokens = (getattr(config, name, None) for name in names for config in configs)
        begin += next(([token] for token in tokens if isinstance(token, int)), [])
    return begin


def _suffix(tokenizer: Any) -> list[int]:
    """What the tokenizer puts behind a text, or the end token where it puts nothing."""
    whole = list(tokenizer("a")["input_ids"])
    text = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    for start in range(len(whole) - len(text), -1, -1):
        if whole[start : start + len(text)] == text and whole[start + len(text) :]:
            return whole[start + len(text) :]
    return [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
