"""How a query and a passage become one row of a cross-encoder: as a pair, or through its chat template.

The template is written once, with a private mark in the place of the query and of the passage, so that
nothing out of a text goes through it and only a passage is ever cut.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from limrank_plugins.backends.local.encoder_inputs import EncoderInput, PairEncoder
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.local.text_heads import TextHeads, about
from limrank_plugins.backends.local.truncation import fit_documents
from limrank_plugins.errors import BackendError, InputError, one_sentence
from limrank_plugins.segments import Prompt, Segment

_PARTS = ("query", "passage")
_MARKS = tuple(f"\ue002{part}\ue003" for part in _PARTS)
_SPACE = "\u2003"  # put on either side of a mark, to see whether the template trims
_MARK = re.compile(f"({_SPACE}?)\ue002({'|'.join(_PARTS)})\ue003({_SPACE}?)")
_PROBE = ("what is milk", "milk is white")
_TOKENS = {"input_ids", "attention_mask", "token_type_ids"}
_HANDED_ON = {"modality", "prompt_length", "logits_to_keep"}
_NOT_OF_THE_TEMPLATE = {"padding", "truncation", "max_length", "return_tensors", "restore_suffix"}


class PairRows(Protocol):
    """Makes rows of one model."""

    def row(self, query: str, passage: str) -> EncoderInput:
        """The tokens of a pair, the passage's end left out where it does not fit.

        Raises:
            InputError: the query leaves no room for a passage.
        """


class PlainRows:
    """A pair as the tokenizer frames it, the model's prompt before the query.

    Args:
        model: what messages call it.
        tokenizer: of the model.
        limit: the most tokens of a row.
        prompt: written before every query; it is the model's own or the caller's, so it may hold markers.
    """

    def __init__(self, model: str, tokenizer: Any, limit: int, prompt: str) -> None:
        self._model, self._limit, self._prompt = model, limit, prompt
        self._pairs = PairEncoder(tokenizer)
        self._heads = TextHeads(tokenizer)
        self._last: tuple[str, list[int]] = ("", [])

    def row(self, query: str, passage: str) -> EncoderInput:
        """See `PairRows`."""
        if self._last[0] != query or not query:
            self._last = query, self._pairs.ids(query, before=self._prompt)
        ids = self._last[1]
        head = self._heads.head(passage, self._limit, lambda text: len(self._pairs.ids(text)))
        read = self._pairs.ids(head)
        row = self._pairs.pair(ids, read, self._limit)
        if row is None:
            raise InputError(
                f"the query has {len(ids)} tokens, which leave no room for a passage in the "
                f"{self._limit} that {self._model} reads: shorten the query or the instruction"
            )
        return replace(row, cut=row.cut + about(passage[len(head) :], head, len(read)))


class TemplateRows:
    """A pair as the model's chat template writes it, the model's prompt in the system's place.

    Args:
        model: what messages call it.
        transformer: the library's module that reads texts.
        limit: the most tokens of a row.
        prompt: what the system says; empty for nothing.

    Raises:
        BackendError: the template cannot carry a pair.
    """

    def __init__(self, model: str, transformer: Any, limit: int, prompt: str) -> None:
        self._model, self._limit = model, limit
        self._encoder = PromptEncoder(transformer.tokenizer)
        formatter = transformer.input_formatter
        messages = formatter.pair_to_messages([f"{_SPACE}{mark}{_SPACE}" for mark in _MARKS])
        if prompt:
            (messages,) = formatter.prepend_prompt_to_messages([messages], prompt)
        options = transformer.processing_kwargs.get("chat_template", {})
        options = {name: value for name, value in options.items() if name not in _NOT_OF_THE_TEMPLATE}
        try:
            text = str(transformer.processor.apply_chat_template(messages, tokenize=False, **options))
        except Exception as error:  # templates raise what they like
            raise BackendError(
                f"the chat template of {model} cannot write a query and a passage: {one_sentence(error)}"
            ) from error
        self._pieces: Sequence[str] = _MARK.split(text)
        if missing := set(_PARTS).difference(self._pieces[2::4]):
            raise BackendError(
                f"the chat template of {model} leaves out the {sorted(missing)[0]}: it is no template of a "
                f"cross-encoder; a language model is asked by a recipe with a prompt, such as qwen3-reranker"
            )

    def row(self, query: str, passage: str) -> EncoderInput:
        """See `PairRows`."""
        texts = dict(zip(_PARTS, (query, passage), strict=True))
        segments: list[Segment] = []
        for place in range(0, len(self._pieces), 4):
            segments.append(Segment(self._pieces[place]))
            if place + 3 < len(self._pieces):
                before, part, after = self._pieces[place + 1 : place + 4]
                text = texts[part] if before else texts[part].lstrip()
                text = text if after else text.rstrip()
                segments.append(Segment(text, trusted=False, cuttable=part == "passage"))
        # The template writes what the tokenizer would put before a text.
        encoded = self._encoder.encode_completion(
            Prompt(tuple(s for s in segments if s.text or s.cuttable)), with_prefix=False
        )
        fits = fit_documents(encoded, self._limit)
        if fits.cut and not any(start < stop for start, stop in fits.documents):
            raise InputError(
                f"the query and the template have {len(fits.ids)} tokens, which leave no room for a passage "
                f"in the {self._limit} that {self._model} reads: shorten the query or the instruction"
            )
        return EncoderInput(fits.ids, None, fits.cut)


def pair_rows(model: str, loaded: Any, limit: int, prompt: str) -> tuple[PairRows, dict[str, Any]]:
    """How this model is given pairs, compared with the library's own way on one of them.

    Args:
        model: what messages call it.
        loaded: a `CrossEncoder`.
        limit: the most tokens of a row.
        prompt: what the model is told with every pair; empty for nothing.

    Returns:
        What makes rows, and what the library hands on to its modules beside tokens.

    Raises:
        BackendError: it does not read texts, its template cannot carry a pair, or its rows are made in a way
            that is not known here.
    """
    transformer = loaded[0]
    if loaded.tokenizer is None or not hasattr(transformer, "input_formatter"):
        raise BackendError(f"{model} does not read texts: give a cross-encoder for texts")
    chats = "message" in transformer.modality_config
    rows: PairRows = (
        TemplateRows(model, transformer, limit, prompt)
        if chats
        else PlainRows(model, loaded.tokenizer, limit, prompt)
    )
    if loaded.tokenizer.pad_token is None:  # the library can prepare no batch then
        return rows, {"modality": "message" if chats else "text"}
    try:
        wanted = loaded.preprocess([_PROBE], prompt=prompt or None)
    except Exception as error:
        raise BackendError(f"{model} cannot be given a pair of texts: {one_sentence(error)}") from error
    if others := set(wanted).difference(_TOKENS, _HANDED_ON):
        raise BackendError(
            f"{model} reads more than tokens ({', '.join(sorted(others))}): give another model"
        )
    ids = wanted["input_ids"][0].tolist()
    if len(ids) < limit and rows.row(*_PROBE).ids != ids:
        raise BackendError(
            f"{model} frames a pair in a way that cannot be followed here ({ids} is not "
            f"{rows.row(*_PROBE).ids}): give another model"
        )
    return rows, {name: value for name, value in wanted.items() if name in _HANDED_ON}
