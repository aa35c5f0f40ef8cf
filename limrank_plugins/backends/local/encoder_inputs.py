"""Texts and pairs of texts for encoder models: framed as the tokenizer does it, no marker out of a text.

`split_special_tokens=True` is not enough: a SentencePiece vocabulary holds `</s>` itself, so a passage that
says so would end there for XLM-RoBERTa. `PromptEncoder` breaks such a marker visibly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.errors import BackendError
from limrank_plugins.segments import Prompt, Segment

_FAR = 1 << 30
PASS = 32
"""Tokens of a small model whose arithmetic costs a CPU as much as a pass costs by itself."""
TOGETHER = 1024
"""Tokens of a pass beyond which a token of it costs a CPU no less."""
# Models that count positions from behind the padding's number.
_SHIFTED = ("roberta", "camembert", "xlm", "longformer", "mpnet", "data2vec")


@dataclass(frozen=True, slots=True)
class EncoderInput:
    """One input of a model: token ids and, for models that have them, token types. `cut`: tokens left out."""

    ids: list[int]
    types: list[int] | None
    cut: int = 0


class PairEncoder:
    """Encodes texts without their frame, and puts the tokenizer's own special tokens around them.

    Args:
        tokenizer: a fast tokenizer of the `transformers` library. It is copied, never changed.

    Raises:
        BackendError: a slow tokenizer, or one whose frame cannot be made out.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._encoder = PromptEncoder(tokenizer)
        self._single = frame_of(tokenizer, "a")
        self._pair = frame_of(tokenizer, "a", "a")

    def ids(self, text: str, before: str = "") -> list[int]:
        """The text's tokens, no special token among them and none around them.

        Args:
            text: of a user or a collection.
            before: joined in front of it; trusted, so that it may hold special tokens.

        Raises:
            BackendError: the text becomes a special token whatever is done.
        """
        ids = self._encoder.encode(Prompt((Segment(before), Segment(text, trusted=False)))).ids
        return list(ids[len(self._encoder.prefix) :])

    def single(self, ids: Sequence[int], limit: int) -> EncoderInput:
        """One text, cut at its end where it does not fit."""
        room = max(0, limit - self._single.size)
        return self._single.around([list(ids[:room])], max(0, len(ids) - room))

    def pair(self, first: Sequence[int], second: Sequence[int], limit: int) -> EncoderInput | None:
        """Two texts, of which the second alone is cut; None where the first leaves no room for it."""
        room = limit - self._pair.size - len(first)
        if room < 0 or (room == 0 and second):
            return None
        return self._pair.around([list(first), list(second[:room])], max(0, len(second) - room))


@dataclass(frozen=True, slots=True)
class Frame:
    """The special tokens before, between and behind the texts, and the token types of everything."""

    runs: list[list[int]]
    run_types: list[list[int]] | None
    text_types: list[int] | None

    @property
    def size(self) -> int:
        """How many special tokens there are."""
        return sum(map(len, self.runs))

    def around(self, texts: list[list[int]], cut: int) -> EncoderInput:
        """The texts' tokens in their frame; `cut`: how many were left out."""
        ids, types = list(self.runs[0]), None if self.run_types is None else list(self.run_types[0])
        for i, text in enumerate(texts):
            ids += text + self.runs[i + 1]
            if types is not None and self.run_types is not None and self.text_types is not None:
                types += [self.text_types[i]] * len(text) + self.run_types[i + 1]
        return EncoderInput(ids, types, cut)


def frame_of(tokenizer: Any, *texts: str) -> Frame:
    """What the tokenizer puts around so many texts that are read together.

    Args:
        tokenizer: of the `transformers` library.
        texts: examples of one token or more.

    Raises:
        BackendError: where the texts begin cannot be made out.
    """
    whole = tokenizer(*texts)
    ids, types = list(whole["input_ids"]), whole.get("token_type_ids")
    runs: list[list[int]] = []
    run_types: list[list[int]] = []
    text_types: list[int] = []
    at = 0
    for text in texts:
        part = list(tokenizer(text, add_special_tokens=False)["input_ids"])
        places = [i for i in range(at, len(ids)) if part and ids[i : i + len(part)] == part]
        if not places:
            raise BackendError(
                f"the tokenizer {type(tokenizer).__name__} changes texts when it puts special tokens around "
                f"them, so where a text begins is not known: use a plain encoder model"
            )
        runs.append(ids[at : places[0]])
        if types is not None:
            run_types.append(list(types[at : places[0]]))
            text_types.append(types[places[0]])
        at = places[0] + len(part)
    runs.append(ids[at:])
    if types is None:
        return Frame(runs, None, None)
    return Frame(runs, [*run_types, list(types[at:])], text_types)


# ---- rows as tensors ----------------------------------------------------------------------------


def in_turn(lengths: Sequence[int], size: int, *, alone: bool, thrifty: bool = False) -> Iterator[list[int]]:
    """Positions in batches by length.

    Args:
        lengths: tokens of each row.
        size: the most rows of a batch.
        alone: one row at a time, whose result then does not depend on others: products of few rows are
            computed by other routines, which round otherwise than those for many.
        thrifty: batches for a CPU instead, as many rows as `TOGETHER` tokens make, padding included: more
            would save nothing. A row that would be padded by more than a pass costs begins a new batch.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    if thrifty and not alone:
        return _thrifty(order, lengths)
    step = 1 if alone else size
    return (order[start : start + step] for start in range(0, len(order), step))


def _thrifty(order: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    batch: list[int] = []
    for i in reversed(order):
        width = max(1, lengths[batch[0]]) if batch else 1
        if batch and ((len(batch) + 1) * width > TOGETHER or width - lengths[i] > PASS):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def as_tensors(
    torch: Any, rows: Sequence[EncoderInput], tokenizer: Any, device: Any, side: str | None = None
) -> dict[str, Any]:
    """What a model's forward takes, padded on the tokenizer's side, or another, where the lengths differ."""
    width = max(len(row.ids) for row in rows)
    left = (side or getattr(tokenizer, "padding_side", "right")) == "left"
    blank = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0

    def padded(values: list[int], fill: int) -> list[int]:
        gap = [fill] * (width - len(values))
        return gap + values if left else values + gap

    features = {
        "input_ids": [padded(row.ids, blank) for row in rows],
        "attention_mask": [padded([1] * len(row.ids), 0) for row in rows],
    }
    if rows[0].types is not None:
        features["token_type_ids"] = [padded(row.types or [], 0) for row in rows]
    return {name: torch.tensor(values, device=device) for name, values in features.items()}


def longest(config: Any, tokenizer: Any, *limits: int | None) -> int:
    """The most tokens of a row: the least of what model, tokenizer and caller say; 512 if nobody does."""
    known = [limit for limit in limits if limit is not None]
    if tokenizer.model_max_length is not None and tokenizer.model_max_length < _FAR:
        known.append(int(tokenizer.model_max_length))
    positions = getattr(config, "max_position_embeddings", None)
    relative = getattr(config, "position_biased_input", True) is False  # DeBERTa: any length goes
    if isinstance(positions, int) and positions > 0 and not relative:
        shifted = any(name in str(config.model_type) for name in _SHIFTED)
        known.append(positions - (int(config.pad_token_id or 0) + 1 if shifted else 0))
    return min(known, default=512)
