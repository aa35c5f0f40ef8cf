"""Run a local sequence-to-sequence model (T5, mT5, T0, BART) with the `transformers` library."""

from __future__ import annotations

import gc
import threading
from collections.abc import Sequence
from typing import Any

from limrank_plugins.backends.local.continuations import numbers
from limrank_plugins.backends.local.encdec import EncoderDecoder
from limrank_plugins.backends.local.label_prompts import LabelTokens
from limrank_plugins.backends.local.loading import load
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.local.requests import checked_length, encode_to_fit, label_reply, prepare_each
from limrank_plugins.backends.protocols import Likelihood, ReadLabels, Reply
from limrank_plugins.data import Usage
from limrank_plugins.errors import BackendError, InputError
from limrank_plugins.segments import Prompt, Segment

_LENGTH = 512


class Seq2SeqBackend:
    """A model with an encoder, which reads the prompt, and a decoder, which answers.

    It reads labels at the decoder's first position and says how likely an answer is; it does not write.
    Safe to use from many threads, which take turns. On CPU every prompt is computed on its own, so that
    its numbers in float32 are the same, bit for bit, whatever else is asked.

    Args:
        model: a folder, a hub name, or the folder of a LoRA adapter, which names its base.
        device: `"cuda"`, `"cuda:1"`, `"mps"`, `"cpu"`, …; default: the best there is, in that order.
        dtype: `"float32"`, `"bfloat16"` or `"float16"`. Default: float32 on CPU, bfloat16 elsewhere. T5
            in float16 tends to overflow, which fails the documents concerned.
        adapter: the folder of a LoRA adapter to put on the model.
        merge_adapter: add the adapter's weights to the model's (default, faster), or keep them apart.
        revision: the hub revision (branch, tag or commit).
        trust_remote_code: run code that comes with the model; off unless you say so.
        max_length: tokens of a prompt, its end token included; documents are cut to fit. Default: the
            model's context, 512 where it has none (mT5). Models with relative positions (T5) take more.
        batch_tokens: prompt tokens computed at a time on a GPU; default 4,096.

    Raises:
        InputError: a value that cannot be used, or a path that holds no model.
        BackendError: the model cannot be loaded.
        MissingExtra: torch, transformers or peft is not installed.
    """

    name = "seq2seq"

    def __init__(
        self,
        model: str,
        *,
        device: str | None = None,
        dtype: Any = None,
        adapter: str | None = None,
        merge_adapter: bool = True,
        revision: str | None = None,
        trust_remote_code: bool = False,
        max_length: int | None = None,
        batch_tokens: int = 4096,
    ) -> None:
        if isinstance(batch_tokens, bool) or not isinstance(batch_tokens, int) or batch_tokens < 1:
            raise InputError(f"batch_tokens must be a whole number > 0, but got {batch_tokens!r}")
        loaded = load(
            str(model),
            device=device,
            dtype=dtype,
            adapter=None if adapter is None else str(adapter),
            merge_adapter=merge_adapter,
            revision=revision,
            trust_remote_code=trust_remote_code,
            attn_implementation=None,
            seq2seq=True,
        )
        relative = hasattr(loaded.model.config, "relative_attention_num_buckets")
        usual = loaded.context if loaded.context is not None else _LENGTH
        self._length = (
            usual if max_length is None else checked_length(max_length, None if relative else loaded.context)
        )
        self._identity = f"{loaded.identity}:{self._length}"
        self._lock = threading.RLock()
        self._encoder = PromptEncoder(loaded.tokenizer)
        self._labels = LabelTokens(self._encoder)
        self._network: EncoderDecoder | None = EncoderDecoder(
            loaded.model,
            loaded.tokenizer,
            exact=loaded.model.device.type == "cpu",
            budget=batch_tokens,
        )
        self._suffix = self._network.suffix

    @property
    def identity(self) -> str:
        """Model, revision (or a fingerprint of the folder), precision, adapter and length."""
        return self._identity

    def check_labels(self, labels: Sequence[str], after: str) -> None:
        """Raise an `InputError` naming the label that is not one token at the beginning of an answer."""
        self._labels.of(tuple(labels), "")

    def read_labels(self, requests: Sequence[ReadLabels]) -> list[Reply]:
        """The labels' logits at the decoder's first position, in float32.

        Raises:
            InputError: no prompt fits the model, or no label can be read.
        """
        asked, replies = prepare_each(
            requests,
            lambda request: (*self._prompt(request.prompt), self._labels.of(request.labels, "")),
        )
        with self._lock:
            network = self._open()
            keys = list(asked)
            prompts = [asked[key][0] for key in keys]
            for position, logits in network.logits(prompts, [()] * len(keys)):
                ids, cut, labels = asked[keys[position]]
                usage = Usage(prompt_tokens=len(ids))
                replies[keys[position]] = label_reply(logits[0, labels].tolist(), usage, cut)
        return [replies[i] for i in range(len(requests))]

    def likelihood(self, requests: Sequence[Likelihood]) -> list[Reply]:
        """The log-probability of each token of each continuation as the decoder's answer, in float32.

        The continuation is tokenised on its own, without spaces before it and without an end token.

        Raises:
            InputError: no prompt fits the model, or no continuation has a token or is short enough.
        """
        asked, replies = prepare_each(
            requests, lambda request: (*self._prompt(request.prompt), self._answer(request.continuation))
        )
        with self._lock:
            network = self._open()
            keys = list(asked)
            several = [asked[key] for key in keys]
            # The last token is what the last position says, and nothing is asked of what follows it.
            for position, logits in network.logits(
                [ids for ids, _, _ in several], [answer[:-1] for _, _, answer in several]
            ):
                ids, cut, answer = several[position]
                chosen = logits[list(range(len(answer))), answer] - logits.logsumexp(dim=-1)
                usage = Usage(prompt_tokens=len(ids) + len(answer))
                replies[keys[position]] = numbers(chosen.tolist(), usage, cut)
        return [replies[i] for i in range(len(requests))]

    def close(self) -> None:
        """Release the model's memory. May be called twice; afterwards nothing can be asked."""
        with self._lock:
            if self._network is None:
                return
            self._network = None
            gc.collect()
            import torch

            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    # ---- inside ---------------------------------------------------------------------------------

    def _prompt(self, prompt: Prompt) -> tuple[list[int], int]:
        _, ids, cut = encode_to_fit(self._encoder, prompt, self._length - len(self._suffix))
        return [*ids, *self._suffix], cut

    def _answer(self, text: str) -> list[int]:
        prompt = Prompt((Segment(text.lstrip(), trusted=False),))
        encoded = self._encoder.encode_completion(prompt, with_prefix=False)
        if not encoded.ids:
            raise InputError(f"the continuation {text!r} has no token: give at least one word")
        if len(encoded.ids) > self._length:
            raise InputError(
                f"the continuation has {len(encoded.ids)} tokens, but there is room for {self._length}: "
                f"shorten the query, or raise max_length"
            )
        return encoded.ids

    def _open(self) -> EncoderDecoder:
        if self._network is None:
            raise BackendError("this backend is closed: make a new one")
        return self._network
