"""What a prompt encoder needs of a tokenizer, and how fast tokenizers of `transformers` give it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

from limrank_plugins.backends.local.truncation import Span
from limrank_plugins.errors import BackendError, require


@runtime_checkable
class Vocabulary(Protocol):
    """Turns texts into tokens and says which characters each token stands for.

    Attributes:
        markers: the ids that only a template may write: special and added tokens (`<think>`, `<|im_end|>`).
        added: the ids that stand for a text of their own wherever it comes, whatever is around it.
        single: the texts of these, in lower case.
        prefix: what the tokenizer puts before a text.
        chat: what applies the model's chat template, as a tokenizer of `transformers` does.
    """

    markers: frozenset[int]
    added: frozenset[int]
    single: frozenset[str]
    prefix: tuple[int, ...]
    chat: Any

    def encode(self, text: str) -> tuple[list[int], list[Span]]:
        """The text's tokens, markers among them, and the characters of each; no prefix."""

    def encode_bare(self, text: str, *, first: bool) -> tuple[list[int], list[Span]]:
        """The same where no text is a marker, if that can be had. `first`: nothing comes before it."""

    def names(self, ids: Sequence[int]) -> list[str]:
        """The tokens as the vocabulary writes them."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of these tokens, markers included, nothing tidied up."""


class FastVocabulary:
    """The vocabulary of a fast tokenizer.

    Args:
        tokenizer: of the `transformers` library. It is copied, never changed.

    Raises:
        BackendError: the tokenizer is not a fast one, so characters cannot be traced to tokens.
    """

    def __init__(self, tokenizer: Any) -> None:
        engine = getattr(tokenizer, "backend_tokenizer", None)
        if engine is None or not hasattr(engine, "to_str"):
            raise BackendError(
                f"{type(tokenizer).__name__} is a slow tokenizer, which cannot say which characters a token "
                f"stands for: convert it to a tokenizer.json (AutoTokenizer with use_fast=True) first"
            )
        self.chat = tokenizer
        self._state = json.loads(engine.to_str())
        # A post-processor adds special tokens (here: `prefix`) and hides a token's spaces from its offsets.
        self._state |= {"truncation": None, "padding": None, "post_processor": None}
        self._engine = _engine(self._state)
        added = self._engine.get_added_tokens_decoder()
        self.added = frozenset(added)
        self.single = frozenset(entry.content.strip().lower() for entry in added.values())
        # A run of whitespace added as one ordinary token is vocabulary: it can impersonate nothing.
        named = {token for token, entry in added.items() if entry.special or entry.content.strip()}
        self.markers = frozenset((named | set(tokenizer.all_special_ids)) - _unknown(tokenizer))
        self.prefix = _prefix(tokenizer)

    def encode(self, text: str) -> tuple[list[int], list[Span]]:
        """As `Vocabulary` says."""
        return _encoded(self._engine, text)

    def encode_bare(self, text: str, *, first: bool) -> tuple[list[int], list[Span]]:
        """By a copy of the tokenizer that has no added tokens."""
        return _encoded(self._bare if first else self._bare_inner, text)

    def names(self, ids: Sequence[int]) -> list[str]:
        """As `Vocabulary` says."""
        return [self._engine.id_to_token(token) for token in ids]

    def decode(self, ids: Sequence[int]) -> str:
        """As `Vocabulary` says."""
        return str(self._engine.decode(list(ids), skip_special_tokens=False))

    @cached_property
    def _bare(self) -> Any:
        return _engine(self._state | {"added_tokens": []})

    @cached_property
    def _bare_inner(self) -> Any:
        # For runs that do not begin the text: "prepend a space to the first word" is not for them.
        return _engine(_never_first(self._state | {"added_tokens": []}))


def _encoded(engine: Any, text: str) -> tuple[list[int], list[Span]]:
    encoding = engine.encode(text, add_special_tokens=False)
    return encoding.ids, encoding.offsets


def _engine(state: dict[str, Any]) -> Any:
    tokenizers = require("tokenizers", "transformers", "PromptEncoder")
    return tokenizers.Tokenizer.from_str(json.dumps(state))


def _never_first(state: Any) -> Any:
    if isinstance(state, dict):
        changed = {key: _never_first(value) for key, value in state.items() if key != "model"}
        if changed.get("prepend_scheme") == "first":
            changed["prepend_scheme"] = "never"
        return changed | ({"model": state["model"]} if "model" in state else {})
    return [_never_first(entry) for entry in state] if isinstance(state, list) else state


def _unknown(tokenizer: Any) -> set[int]:
    """The id of unknown words, which any text may become, unless the same id also ends or pads a text."""
    unknown = getattr(tokenizer, "unk_token_id", None)
    roles = ("bos", "eos", "pad", "sep", "cls", "mask")
    others = {getattr(tokenizer, f"{role}_token_id", None) for role in roles}
    return set() if unknown is None or unknown in others else {unknown}


def _prefix(tokenizer: Any) -> tuple[int, ...]:
    """What the tokenizer puts before a text by default. What it puts after one would end the completion."""
    whole = list(tokenizer("a")["input_ids"])
    text = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    for start in range(len(whole) - len(text) + 1):
        if whole[start : start + len(text)] == text:
            return tuple(whole[:start])
    return ()
