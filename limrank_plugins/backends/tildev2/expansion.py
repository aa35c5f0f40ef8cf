"""TILDE (arXiv 2108.08513) adds to a passage the tokens that queries about it would hold.

A masked language model reads the passage with token 1 in the place of `[CLS]`, which marks a passage; its
logits at that position rank the vocabulary. Of the best `top`, those are added that are not in the
passage and that count (`terms.py`), question words and "definition" apart: many queries would hold those.

As in the released code (ielab/TILDE, expansion.py), a passage is cut to 128 tokens first, in the index, too,
so that about 64 tokens can always be added.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from limrank_plugins.backends.local.encoder_inputs import EncoderInput, as_tensors, in_turn, longest
from limrank_plugins.backends.local.loading import loading, model_name, pretrained
from limrank_plugins.backends.local.placement import placement
from limrank_plugins.backends.tildev2.model import TILDEv2
from limrank_plugins.checks import whole_number
from limrank_plugins.errors import BackendError, InputError, require

_WHY = "Expansion"
_MARK = 1
MAX_TOKENS = 128
"""Of a passage that is expanded, special tokens included."""
_NEVER_ADDED = ("who", "what", "when", "where", "which", "why", "how", "definition")


class Expansion:
    """Finds tokens to add to passages.

    Args:
        network: a `BertForMaskedLM` in evaluation mode, trained as TILDE.
        top: how many tokens are looked at, before those in the passage and those that do not count are
            left out; 200 for `ielab/TILDEv2-TILDE200-exp`.
        identity: what tells these weights from others.
    """

    def __init__(self, network: Any, *, top: int = 200, identity: str) -> None:
        whole_number("top", top, least=1)
        self._torch = require("torch", "transformers", _WHY)
        self._network = network
        self.top = top
        self.identity = f"{identity}:top{top}:{MAX_TOKENS}"

    @classmethod
    def load(
        cls,
        model: str = "ielab/TILDE",
        *,
        top: int = 200,
        device: str | None = None,
        dtype: str | None = None,
        revision: str | None = None,
    ) -> Self:
        """Read a folder or hub name; arguments as for `TILDEv2.load`.

        Raises:
            InputError: a value that cannot be used.
            BackendError: the model cannot be read, or is no masked language model.
        """
        place = placement(device, "float32" if dtype is None else dtype, "transformers", _WHY)
        with loading(model) as source:
            network, report = pretrained(
                "BertForMaskedLM", source, revision=revision, dtype=place.dtype, output_loading_info=True
            )
            if report.get("missing_keys"):
                missing = sorted(report["missing_keys"])[0]
                raise BackendError(f"{model} is no TILDE: it has no weights for {missing}; give ielab/TILDE")
        network = network.to(place.device).eval().requires_grad_(False)
        return cls(network, top=top, identity=f"tilde:{model_name(source, revision, network)}")

    def expand(
        self, passages: Sequence[Sequence[int]], model: TILDEv2, *, batch_size: int = 32
    ) -> list[list[int]]:
        """The tokens to add to each passage, the likeliest first.

        Args:
            passages: their tokens, none of them special; what is over 128 is not looked at.
            model: what will weigh them, with the same vocabulary.
            batch_size: most passages in one forward pass on a GPU.

        Raises:
            InputError: the two models do not have the same number of tokens.
        """
        size = self._network.config.vocab_size
        if size < model.terms.size:
            raise InputError(
                f"the expansion knows {size} tokens, but the model has {model.terms.size}: "
                f"both must be made of the same vocabulary"
            )
        limit = longest(self._network.config, model.tokenizer, MAX_TOKENS)
        never = set(model.tokenizer.convert_tokens_to_ids(list(_NEVER_ADDED)))
        rows = [self._marked(model.terms.encoder.single(ids, limit)) for ids in passages]
        expansions: list[list[int]] = [[] for _ in rows]
        place = self._network.device
        with self._torch.inference_mode():
            for batch in in_turn([len(row.ids) for row in rows], batch_size, alone=place.type == "cpu"):
                features = as_tensors(self._torch, [rows[i] for i in batch], model.tokenizer, place)
                hidden = self._network.bert(**features).last_hidden_state[:, 0]
                logits = self._network.cls(hidden).float()[:, : model.terms.size]
                # Stable, so that equal logits are taken in the order of the token ids.
                best = logits.sort(dim=-1, descending=True, stable=True).indices[:, : self.top].cpu().tolist()
                for i, tokens in zip(batch, best, strict=True):
                    there = never.union(rows[i].ids)
                    expansions[i] = model.terms.counted([t for t in tokens if t not in there])
        return expansions

    @staticmethod
    def _marked(row: EncoderInput) -> EncoderInput:
        return EncoderInput([_MARK, *row.ids[1:]], row.types, row.cut)
