"""The beginning of a long text, so that what no model reads is not tokenised.

A tokenizer that takes texts apart at spaces before it does anything else gives a beginning that ends before a
space the first tokens of the whole text, whatever comes behind. Where a tokenizer is not known to be like
that, texts stay whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

_CHARACTERS = 8
"""Of a beginning for each token that is wanted, at first: few texts have more to a token."""
_SPACE = r"(?<=\S)(?= )"
# BERT's words end at punctuation, too, and each ideograph is a word: what has no spaces ends as well.
_BERT = rf"{_SPACE}|(?=[\n!-/:-@\[-`{{-~\u4e00-\u9fff])"
_AT_SPACES = ("BertPreTokenizer", "Whitespace", "WhitespaceSplit", "Metaspace", "ByteLevel")


class TextHeads:
    """Beginnings of texts for one tokenizer. Safe to use from many threads.

    Args:
        tokenizer: of the `transformers` library.
    """

    def __init__(self, tokenizer: Any) -> None:
        ends = _ends(tokenizer)
        self._ends = None if ends is None else re.compile(ends)

    def head(self, text: str, tokens: int, count: Callable[[str], int]) -> str:
        """A beginning of the text, or all of it, whose tokens are the text's first ones.

        Args:
            text: as long as it likes.
            tokens: a beginning that is not all of the text has at least so many.
            count: how many tokens a text has.
        """
        characters = tokens * _CHARACTERS
        while self._ends is not None and len(text) > 2 * characters:
            end = self._ends.search(text, characters)
            if end is None:
                break
            beginning = text[: end.start()]
            if count(beginning) >= tokens:
                return beginning
            characters = 2 * len(beginning)
        return text


def about(rest: str, head: str, tokens: int) -> int:
    """How many tokens there are in what is behind a beginning of so many, if they are as long there."""
    return round(len(rest.rstrip()) * tokens / max(1, len(head)))


def _ends(tokenizer: Any) -> str | None:
    """A pattern of places where a text may end without changing a token before them; None: none is known."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    parts = json.loads(backend.to_str())
    special = getattr(tokenizer, "split_special_tokens", False)  # such are text then
    added = [token["content"] for token in parts["added_tokens"] if not (special and token["special"])]
    normalizer, splitter = parts["normalizer"] or {}, parts["pre_tokenizer"] or {}
    is_bert = (normalizer.get("type"), splitter.get("type")) == ("BertNormalizer", "BertPreTokenizer")
    if is_bert and normalizer["handle_chinese_chars"] and not added:
        return _BERT
    steps = splitter.get("pretokenizers", [splitter])
    at_spaces = any(map(_splits_at_spaces, steps)) and not any(re.search(r"\s", token) for token in added)
    return _SPACE if at_spaces else None


def _splits_at_spaces(step: dict[str, Any]) -> bool:
    """Whether a step makes words of their own of what stands between white space."""
    named = step.get("type") in _AT_SPACES
    return named and step.get("split", True) is True and step.get("use_regex", True) is True
