"""Run a local causal language model with the `transformers` library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from limrank_plugins.backends.local import continuations, document_attention, label_prompts
from limrank_plugins.backends.local.continuous_batch import ContinuousBatch, Draft, budget_and_room
from limrank_plugins.backends.local.cuts import tokens_cut
from limrank_plugins.backends.local.label_prompts import LabelTokens
from limrank_plugins.backends.local.loading import LoadedModel, context_of, load
from limrank_plugins.backends.local.lora import names_of
from limrank_plugins.backends.local.network import Network
from limrank_plugins.backends.local.prompt_batches import grouped
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.local.requests import checked_length, encode_to_fit, end_tokens, prepare_each
from limrank_plugins.backends.local.shared_model import SharedModel
from limrank_plugins.backends.protocols import (
    Arrived,
    Attend,
    Generate,
    Likelihood,
    ModelFacts,
    ReadLabels,
    Reply,
    Request,
)
from limrank_plugins.checks import whole_number
from limrank_plugins.errors import BackendError


class TransformersBackend:
    """A causal language model on this machine. Safe to use from many threads, which take turns.

    It reads labels, writes, says how likely a continuation is and shows its attention. On CPU prompts are
    read several at a time without padding, and none sees another: whatever else is asked, float32 numbers
    are the same, but for rounding (1e-5 of their size). `batch_tokens=1` reads each alone. Labels behind a
    text that it has just written go on from there.

    Args:
        model: a folder, a hub name, a GGUF file (`"path/file.gguf"`; on the hub `"org/name:file.gguf"`), the
            folder of a LoRA adapter, which names its base, or `"smollm2"`, the embedded language model.
        device: `"cuda"`, `"cuda:1"`, `"mps"`, `"cpu"`, …; default: the best there is, in that order.
        dtype: `"float32"`, `"bfloat16"` or `"float16"`. Default: float32 on CPU, where scores are then
            reproducible to about 1e-5; bfloat16 elsewhere, as checkpoints are trained and stored,
            which moves probabilities by up to about 0.1. On CPU bfloat16 is 2 to 4 times faster.
        adapter: the folder of a LoRA adapter to put on the model.
        merge_adapter: add the adapter's weights to the model's (default, faster), or keep them apart.
        revision: the hub revision (branch, tag or commit).
        trust_remote_code: run code that comes with the model; off unless you say so.
        max_length: tokens of a prompt and what is written behind it; default and upper limit: the
            model's context. Documents are cut to fit.
        batch_tokens: prompt tokens computed at a time; default 4,096.
        cache_tokens: rows × (prompt + budget) held at a time while writing; default 65,536. A token
            takes about 56 KiB in Qwen2.5-7B at 16 bits. One row is always written. Texts
            behind which labels are still to be read are held within the same limit.
        share_prefix: compute instruction and query once per query rather than once per document.
        attn_implementation: `"sdpa"`, `"eager"`, `"flash_attention_2"`, …; default: the model's.

    The reasoning's budget is at most half of `max_length`, so that a document is never crowded out;
    prompts that are written on are cut to what is left, less 16 tokens for closing it by force.

    Raises:
        InputError: a value that cannot be used, or a path that holds no model.
        BackendError: the model cannot be loaded.
        MissingExtra: torch, transformers or peft is not installed.
    """

    name = "transformers"
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
        cache_tokens: int = 65_536,
        share_prefix: bool = True,
        attn_implementation: str | None = None,
    ) -> None:
        _checked(batch_tokens, cache_tokens)  # before anything is loaded
        loaded = load(
            model,
            "transformers",
            device=device,
            dtype=dtype,
            adapter=adapter,
            merge_adapter=merge_adapter,
            revision=revision,
            trust_remote_code=trust_remote_code,
            attn_implementation=attn_implementation,
        )
        names = names_of(model, adapter)
        self._begin(loaded, max_length, batch_tokens, cache_tokens, share_prefix, names)

    @classmethod
    def over(
        cls,
        model: Any,
        tokenizer: Any,
        *,
        max_length: int | None = None,
        batch_tokens: int = 4096,
        cache_tokens: int = 65_536,
        share_prefix: bool = True,
    ) -> TransformersBackend:
        """A backend over a model that is in memory: no second copy of its weights is made.

        It is asked as it is at that moment, so a model in training can be ranked with between two steps.
        Nothing of it is changed; that it is in eval mode is the caller's to see to, here and whenever
        it is asked. Do not keep its replies in a store: its identity does not tell one state of the
        weights from the next.

        Args:
            model: a causal language model of the `transformers` library, on its device; of a peft model
                its `get_base_model()`, whose adapters are live.
            tokenizer: a fast one.
            max_length: as for the class.
            batch_tokens: as for the class.
            cache_tokens: as for the class.
            share_prefix: as for the class.

        Raises:
            InputError: a value that cannot be used.
        """
        backend = cls.__new__(cls)
        name = f"{cls.name}:live:{id(model):x}"
        loaded = LoadedModel(model, tokenizer, name, context_of(model, tokenizer))
        backend._begin(loaded, max_length, batch_tokens, cache_tokens, share_prefix, live=True)
        return backend

    def _begin(
        self,
        loaded: LoadedModel,
        max_length: int | None,
        batch_tokens: int,
        cache_tokens: int,
        share_prefix: bool,
        names: tuple[str, ...] = (),
        live: bool = False,
    ) -> None:
        _checked(batch_tokens, cache_tokens)
        self._length = checked_length(max_length, loaded.context)
        self.identity = f"{loaded.identity}:{self._length}"
        self._batch_tokens = batch_tokens
        self._encoder = PromptEncoder(loaded.tokenizer)
        self._labels = LabelTokens(self._encoder)
        self.facts = ModelFacts(names, self._encoder.chats)
        on_cpu = loaded.model.device.type == "cpu"
        network = Network(
            loaded.model,
            slack=0.0 if on_cpu else 0.25,
            exact=on_cpu,
            written_tokens=0 if live else cache_tokens,
        )
        self._share = share_prefix and network.shares
        self._ends = end_tokens(loaded.model, loaded.tokenizer)
        self._cache_tokens, self._max_rows = cache_tokens, 64 if on_cpu else 256
        self._model = SharedModel(f"this {self.name} backend", network)

    def check_labels(self, labels: Sequence[str], after: str) -> None:
        """Raise an `InputError` naming the label that is not one token after the text `after`."""
        self._encoder.label_ids(labels, after)

    def read_labels(self, requests: Sequence[ReadLabels], arrived: Arrived | None = None) -> list[Reply]:
        """The labels' logits at the end of each prompt, in float32.

        Raises:
            InputError: no prompt fits the model, or no label can be read.
        """
        prompts, replies = prepare_each(
            requests,
            lambda request: label_prompts.prepare(self._encoder, self._labels, request, self._length),
            arrived,
        )
        with self._model.turn() as network:
            label_prompts.read(network, prompts, replies, self._share, self._batch_tokens)
        return replies.in_order()

    def likelihood(self, requests: Sequence[Likelihood], arrived: Arrived | None = None) -> list[Reply]:
        """The log-probability of each token of each continuation, in float32.

        Prompt and continuation are tokenised as running text; a token that holds a character of both
        belongs to the continuation. Only the states that the continuation follows on meet the vocabulary.

        Raises:
            InputError: no prompt fits the model, or no continuation has a token.
        """
        prompts, replies = prepare_each(
            requests, lambda request: continuations.prepare(self._encoder, request, self._length), arrived
        )
        with self._model.turn() as network:
            continuations.read(network, prompts, replies, self._share, self._batch_tokens)
        return replies.in_order()

    def attend(self, requests: Sequence[Attend], arrived: Arrived | None = None) -> list[Reply]:
        """The attention that the prompts' tails pay to each token of their documents.

        Documents are computed once per request, in pieces of `batch_tokens`, with the model's usual
        attention; the tails behind them with eager attention, of which one layer is held at a time.
        A layer whose sliding window hides a document from the tail does not count.

        Raises:
            InputError: no request's prompts fit the model or belong together.
            BackendError: the model has no attention probabilities, or no layer sees all documents.
        """
        prompts, replies = prepare_each(
            requests,
            lambda request: document_attention.prepare(self._encoder, request, self._length),
            arrived,
        )
        with self._model.turn() as network:
            for i, prompt in prompts.items():
                replies[i] = document_attention.read(network, prompt, self._batch_tokens)
        return replies.in_order()

    def generate(self, requests: Sequence[Generate], arrived: Arrived | None = None) -> list[Reply]:
        """Write on from each prompt.

        A text does not depend on what else is written with it, up to rounding (which in float32 all
        but never shows, and in 16 bits may).

        Raises:
            InputError: no prompt fits the model, or no label can be read.
        """

        def prepare(request: Generate) -> Draft:
            budget, room = budget_and_room(request, self._length)
            _, ids, cut = encode_to_fit(self._encoder, request.prompt, room)
            behind = {stop: self._labels.of(request.labels, stop) for stop in request.stop if request.labels}
            return Draft(request, ids, cut, budget, behind)

        drafts, replies = prepare_each(requests, prepare, arrived)
        with self._model.turn() as network:
            if drafts and not network.shares:
                raise BackendError(
                    "this model remembers more than keys and values, so it cannot be written with here: "
                    "use reasoning='none', or run it with vLLM"
                )
            rows = [(draft.request.prompt.shared_text, draft.ids, draft) for draft in drafts.values()]
            batch = ContinuousBatch(
                network,
                self._encoder,
                self._ends,
                batch_tokens=self._batch_tokens,
                cache_tokens=self._cache_tokens,
                max_rows=self._max_rows,
            )
            positions = {id(draft): i for i, draft in drafts.items()}
            for draft, reply in batch.finished(grouped(rows, self._share)):
                replies[positions[id(draft)]] = reply
        return replies.in_order()

    def cuts(self, requests: Sequence[Request]) -> list[int]:
        """The tokens of documents that each request would leave out; see `CountsCuts`."""
        return [tokens_cut(self._encoder, request, self._length) for request in requests]

    def close(self) -> None:
        """Release the model's memory. May be called twice; afterwards nothing can be asked."""
        self._model.close()


def _checked(batch_tokens: int, cache_tokens: int) -> None:
    whole_number("batch_tokens", batch_tokens, least=1)
    whole_number("cache_tokens", cache_tokens, least=1)
