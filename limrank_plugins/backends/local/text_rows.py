"""Texts as the rows of token ids that a sentence-transformers model reads, each text tokenised once.

Of a text that is longer than the model reads either the beginning is read, or the beginning and windows of
tokens behind it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from limrank_plugins.backends.local.encoder_inputs import Frame, as_tensors, frame_of
from limrank_plugins.backends.local.text_heads import TextHeads, about
from limrank_plugins.backends.local.token_windows import token_windows
from limrank_plugins.backends.protocols import Encode
from limrank_plugins.errors import BackendError
from limrank_plugins.segments import clean_text

_TOKENISED_AT_ONCE = 512
_PROBES = ["a", "a a a"]


@dataclass(frozen=True, slots=True)
class TextRow:
    """What one pass reads of a text.

    Attributes:
        tokens: how many it has, the special ones included.
        ids: those of the text; None where the model's own code is to tokenise.
        text: a beginning of the text that holds them all, for that code.
        start: where they begin in the text, in characters.
        end: where they end; what stands before a window counts for neither.
    """

    tokens: int
    ids: npt.NDArray[np.int32] | None
    text: str = ""
    start: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class TextReading:
    """What is read of a text: its beginning, and the windows behind it.

    Attributes:
        rows: the first one is the beginning.
        cut: how many tokens are in no row; about, where they were not counted.
    """

    rows: list[TextRow]
    cut: int = 0


class TextRows:
    """Makes rows of texts, and of rows what the model takes.

    Where a model's own code hands it anything but a text's tokens in their frame (a chat template, a bag of
    embeddings), that code tokenises, and of a long text the beginning alone is read.

    Args:
        torch: the library.
        model: a sentence-transformers model.
        heads: beginnings of texts for its tokenizer.
        prompt: put before every text.
    """

    def __init__(self, torch: Any, model: Any, heads: TextHeads, prompt: str) -> None:
        self._torch, self._heads, self._prompt = torch, heads, prompt
        self._tokenizer, self._limit = model.tokenizer, model.max_seq_length
        self._constants: dict[str, Any] = {}
        self._frame = self._own_frame(model)

    def read(self, requests: Sequence[Encode]) -> list[TextReading]:
        """What is read of the text of each request."""
        starts = range(0, len(requests), _TOKENISED_AT_ONCE)
        parts = (requests[start : start + _TOKENISED_AT_ONCE] for start in starts)
        return [reading for part in parts for reading in self._read(part)]

    def features(self, model: Any, rows: Sequence[TextRow], device: Any) -> dict[str, Any]:
        """What the model takes for one pass over these rows."""
        if self._frame is not None:
            framed = [self._frame.around([row.ids.tolist()], 0) for row in rows if row.ids is not None]
            return as_tensors(self._torch, framed, self._tokenizer, device) | self._constants
        made = preprocessed(model, [row.text for row in rows], self._prompt)
        return {key: value.to(device) if hasattr(value, "to") else value for key, value in made.items()}

    # ---- inside ---------------------------------------------------------------------------------

    def _read(self, requests: Sequence[Encode]) -> Iterator[TextReading]:
        limit = self._limit
        texts = [self._prompt + clean_text(request.text) for request in requests]
        most = [1 if self._frame is None else request.windows for request in requests]
        heads = texts
        if limit is not None:
            heads = [
                self._heads.head(text, limit * windows, lambda some: self._sizes([some])[0])
                for text, windows in zip(texts, most, strict=True)
            ]
        if self._frame is None:
            for text, head, size in zip(texts, heads, self._sizes(heads), strict=True):
                read = size if limit is None else min(size, limit)
                behind = size - read + about(text[len(head) :], head, size)
                yield TextReading([TextRow(read, None, head[len(self._prompt) :])], behind)
            return
        encodings = self._tokenised(heads).encodings
        for request, text, head, windows, encoding in zip(
            requests, texts, heads, most, encodings, strict=True
        ):
            unseen = about(text[len(head) :], head, len(encoding.ids))
            yield self._windows(self._frame, encoding, windows, request.heading, unseen)

    def _windows(self, frame: Frame, encoding: Any, most: int, heading: int, unseen: int) -> TextReading:
        """The rows of a text of which this was tokenised, and so many tokens more were not."""
        front, back = len(frame.runs[0]), len(frame.runs[-1])
        ids = np.asarray(encoding.ids[front : len(encoding.ids) - back], dtype=np.int32)
        limit = self._limit
        if limit is None or len(ids) + frame.size <= limit:
            return TextReading([TextRow(len(ids) + frame.size, ids)], unseen)
        room = max(0, limit - frame.size)
        if most == 1 or not room:
            return TextReading([TextRow(limit, ids[:room])], len(ids) - room + unseen)
        offsets = encoding.offsets[front : len(encoding.ids) - back]
        starts = [start for start, _ in offsets]
        before = bisect_left(starts, len(self._prompt) + heading)
        if 2 * before > room:  # without the title
            before = bisect_left(starts, len(self._prompt))
        spans, before = token_windows(len(ids), before, room, most)
        rows = []
        for number, (start, end) in enumerate(spans):
            own = ids[start:end] if number == 0 else np.concatenate([ids[:before], ids[start:end]])
            first, last = (
                offsets[place][side] - len(self._prompt) for place, side in ((start, 0), (end - 1, 1))
            )
            rows.append(TextRow(len(own) + frame.size, own, start=max(0, first), end=max(0, last)))
        return TextReading(rows, len(ids) - spans[-1][1] + unseen)

    def _own_frame(self, model: Any) -> Frame | None:
        """What stands around a text's tokens; None where the model's own code hands it anything else."""
        tokenizer = self._tokenizer
        if not getattr(tokenizer, "is_fast", False) or tokenizer.truncation_side != "right":
            return None
        try:
            frame = frame_of(tokenizer, "a")
        except BackendError:
            return None
        texts = [self._prompt + probe for probe in _PROBES]
        rows = [frame.around([ids], 0) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]
        own = as_tensors(self._torch, rows, tokenizer, "cpu")
        theirs = preprocessed(model, _PROBES, self._prompt)
        self._constants = {key: value for key, value in theirs.items() if key not in own}
        if own.keys() - theirs.keys() or any(hasattr(value, "shape") for value in self._constants.values()):
            return None
        return frame if all(self._torch.equal(own[key], theirs[key]) for key in own) else None

    def _tokenised(self, texts: Sequence[str]) -> Any:
        return self._tokenizer(
            list(texts),
            truncation=False,
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )

    def _sizes(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has, the special ones included and nothing cut."""
        if not callable(self._tokenizer):  # a bag of embeddings: all of a text is read
            return [0] * len(texts)
        return [len(ids) for ids in self._tokenised(texts)["input_ids"]]


def preprocessed(model: Any, texts: Sequence[str], prompt: str) -> dict[str, Any]:
    """What the model's own code makes of texts with a prompt before each."""
    features: dict[str, Any]
    if hasattr(model, "preprocess"):  # sentence-transformers 6
        features = model.preprocess(list(texts), prompt=prompt or None)
    else:
        features = model.tokenize([prompt + text for text in texts])
    return features
