"""Run a local sequence-to-sequence model (T5, mT5, T0, BART) with the `transformers` library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from limrank_plugins.backends.local.continuations import numbers
from limrank_plugins.backends.local.cuts import tokens_cut
from limrank_plugins.backends.local.encdec import EncoderDecoder
from limrank_plugins.backends.local.label_prompts import LabelTokens
from limrank_plugins.backends.local.loading import load
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.local.requests import checked_length, encode_to_fit, label_reply, prepare_each
from limrank_plugins.backends.local.shared_model import SharedModel
from limrank_plugins.backends.protocols import Arrived, Likelihood, ReadLabels, Reply, Request
from limrank_plugins.checks import whole_number
from limrank_plugins.data import Usage
from limrank_plugins.errors import InputError
from limrank_plugins.segments import Prompt, Segment

_LENGTH = 512


class Seq2SeqBackend:
    """A model with an encoder, which reads the prompt, and a decoder, which answers.

    It reads labels at the decoder's first position and says how likely an answer is; it does not write.
    Safe to use from many threads, which take turns. On CPU every prompt is computed on its own, whatever
    else is asked: its float32 numbers are the same, but for rounding (1e-5 of their size).

    Args:
        model: a folder, a hub name, or the folder of a LoRA adapter, which names its base.
        device: as for `TransformersBackend`.
        dtype: as for `TransformersBackend`. T5 in float16 tends to overflow, which fails the documents
            concerned.
        adapter: as for `TransformersBackend`.
        merge_adapter: as for `TransformersBackend`.
        revision: as for `TransformersBackend`.
        trust_remote_code: as for `TransformersBackend`.
        max_length: tokens of a prompt, its end token included; documents are cut to fit. Default: the
            model's context, 512 where it has none (mT5). Models with relative positions (T5) take more.
        batch_tokens: prompt tokens computed at a time on a GPU; default 4,096.

    Raises:
        InputError: a value that cannot be used, or a path that holds no model.
        BackendError: the model cannot be loaded.
        MissingExtra: torch, transformers or peft is not installed.
    """

    name = "seq2seq"
    shows_images = False

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
        whole_number("batch_tokens", batch_tokens, least=1)
        loaded = load(
            model,
            "seq2seq",
            device=device,
            dtype=dtype,
            adapter=adapter,
            merge_adapter=merge_adapter,
            revision=revision,
            trust_remote_code=trust_remote_code,
        )
        relative = hasattr(loaded.model.config, "relative_attention_num_buckets")
        usual = loaded.context if loaded.context is not None else _LENGTH
        self._length = (
            usual if max_length is None else checked_length(max_length, None if relative else loaded.context)
        )
        self.identity = f"{loaded.identity}:{self._length}"
        self._encoder = PromptEncoder(loaded.tokenizer)
        self._labels = LabelTokens(self._encoder)
        network = EncoderDecoder(
            loaded.model,
            loaded.tokenizer,
            exact=loaded.model.device.type == "cpu",
            budget=batch_tokens,
        )
        self._suffix = network.suffix
        self._model = SharedModel(f"this {self.name} backend", network)

    def check_labels(self, labels: Sequence[str], after: str) -> None:
        """Raise an `InputError` naming the label that is not one token at the beginning of an answer."""
        self._labels.of(tuple(labels), "")

    def read_labels(self, requests: Sequence[ReadLabels], arrived: Arrived | None = None) -> list[Reply]:
        """The labels' logits at the decoder's first position, in float32.

        Raises:
            InputError: no prompt fits the model, or no label can be read.
        """
        prompts, replies = prepare_each(
            requests,
            lambda request: (*self._prompt(request.prompt), self._labels.of(request.labels, "")),
            arrived,
        )
        with self._model.turn() as network:
            keys = list(prompts)
            for position, logits in network.logits([prompts[key][0] for key in keys], [()] * len(keys)):
                ids, cut, labels = prompts[keys[position]]
                usage = Usage(prompt_tokens=len(ids))
                replies[keys[position]] = label_reply(logits[0, labels].tolist(), usage, cut)
        return replies.in_order()

    def likelihood(self, requests: Sequence[Likelihood], arrived: Arrived | None = None) -> list[Reply]:
        """The log-probability of each token of each continuation as the decoder's answer, in float32.

        The continuation is tokenised on its own, without spaces before it, and with an end token (`</s>`)
        only where that is asked for.

        Raises:
            InputError: no prompt fits the model, or no continuation has a token or is short enough.
        """
        prompts, replies = prepare_each(
            requests,
            lambda request: (*self._prompt(request.prompt), self._answer(request)),
            arrived,
        )
        with self._model.turn() as network:
            keys = list(prompts)
            # The last token is what the last position says, and nothing is asked of what follows it.
            for position, logits in network.logits(
                [prompts[key][0] for key in keys], [prompts[key][2][:-1] for key in keys]
            ):
                ids, cut, answer = prompts[keys[position]]
                chosen = logits[list(range(len(answer))), answer] - logits.logsumexp(dim=-1)
                usage = Usage(prompt_tokens=len(ids) + len(answer))
                replies[keys[position]] = numbers(chosen.tolist(), usage, cut)
        return replies.in_order()

    def cuts(self, requests: Sequence[Request]) -> list[int]:
        """The tokens of documents that each request would leave out; see `CountsCuts`."""
        return [tokens_cut(self._encoder, request, self._length - len(self._suffix)) for request in requests]

    def close(self) -> None:
        """Release the model's memory. May be called twice; afterwards nothing can be asked."""
        self._model.close()

    # ---- inside ---------------------------------------------------------------------------------

    def _prompt(self, prompt: Prompt) -> tuple[list[int], int]:
        _, ids, cut = encode_to_fit(self._encoder, prompt, self._length - len(self._suffix))
        return [*ids, *self._suffix], cut

    def _answer(self, request: Likelihood) -> list[int]:
        text = request.continuation
        prompt = Prompt((Segment(text.lstrip(), trusted=False),))
        encoded = self._encoder.encode_completion(prompt, with_prefix=False)
        if not encoded.ids:
            raise InputError(f"the continuation {text!r} has no token: give at least one word")
        if len(encoded.ids) > self._length:
            raise InputError(
                f"the continuation has {len(encoded.ids)} tokens, but there is room for {self._length}: "
                f"shorten the query, or raise max_length"
            )
        return [*encoded.ids, *self._suffix] if request.ends else encoded.ids
