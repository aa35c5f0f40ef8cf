"""From a prompt to token ids: exactly the tokenizer's, but no marker ever comes from untrusted text.

A *marker* is a special or added token (`<think>`, `<|im_end|>`, …). The whole prompt is tokenised
jointly, as in training. Only where that would turn a query's or passage's own characters into a
marker is the prompt taken apart at the template's markers, and the runs between are encoded by a
copy of the tokenizer that has none. `split_special_tokens=True` would not do: it lets ordinary
added tokens such as `<think>` through.

Many tokenizers (Qwen2.5, SmolLM2, Llama) have no token for `<think>` or `<answer>`: there a passage would
write the very ids that the template writes. Those marks are neutralised visibly, as `"think"`: `tags.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

from limrank_plugins.backends.chat import as_completion, has_chat_template
from limrank_plugins.backends.counting import note
from limrank_plugins.backends.local.tags import changed_tags, forged
from limrank_plugins.backends.local.truncation import EncodedPrompt, Span, inside
from limrank_plugins.backends.local.vocabulary import FastVocabulary, Vocabulary
from limrank_plugins.data import Usage
from limrank_plugins.errors import BackendError, InputError
from limrank_plugins.segments import Prompt, Segment, clean_text

_REPAIRS = 4
# What a label stands behind to be tokenised by itself.
_APART = ("\n", "1", ")")


class PromptEncoder:
    """Encodes prompts for one tokenizer. Safe to use from many threads.

    Attributes:
        markers: the ids that only a template may write.
        prefix: what the tokenizer puts before a text.
        neutralised: tags and chat markers without a token of their own that were neutralised in queries,
            documents and reasoning so far, each time they were encoded.

    Args:
        tokenizer: a fast tokenizer of the `transformers` library, which is copied, never changed; or any
            other vocabulary.

    Raises:
        BackendError: the tokenizer is not a fast one, so characters cannot be traced to tokens.
    """

    def __init__(self, tokenizer: Any) -> None:
        known = isinstance(tokenizer, Vocabulary)
        self._vocabulary: Vocabulary = tokenizer if known else FastVocabulary(tokenizer)
        self._tokenizer = self._vocabulary.chat
        self._lock = threading.Lock()
        self.neutralised = 0
        self.markers = self._vocabulary.markers
        self.prefix = self._vocabulary.prefix

    @property
    def chats(self) -> bool:
        """Whether the tokenizer has a chat template."""
        return has_chat_template(self._tokenizer)

    # ---- encoding -------------------------------------------------------------------------------

    def encode(self, prompt: Prompt, *, apart: bool = False) -> EncodedPrompt:
        """The prompt's tokens, equal to the tokenizer's own for the joined text wherever that is safe.

        A chat goes through the model's own chat template first, which also brings the BOS.

        Args:
            prompt: what is encoded.
            apart: take it apart at the template's markers even where that is not needed, so that two
                prompts with a common beginning get the same tokens for it whatever follows.

        Raises:
            BackendError: untrusted text became a marker even without markers and with the marker
                visibly broken by a space (only tokenizers that drop spaces or have markers of one
                character can do that).
        """
        if prompt.images:
            raise InputError(
                "a document or the query has an image, which this backend cannot show its model: use "
                "backend='vision', or backend='openai' with a served model that can see"
            )
        completion = as_completion(prompt, self._tokenizer)
        return self.encode_completion(completion, with_prefix=not prompt.is_chat, apart=apart)

    def encode_completion(self, prompt: Prompt, *, with_prefix: bool, apart: bool = False) -> EncodedPrompt:
        """As `encode`, for a text that needs no chat template any more.

        Args:
            prompt: segments of text.
            with_prefix: begin with the tokenizer's own prefix (BOS), which a chat template has written.
            apart: as for `encode`.
        """
        prefix = self.prefix if with_prefix else ()
        pieces = [
            Segment(clean_text(s.text), s.trusted, s.cuttable, s.shared, most=s.most)
            for s in prompt.segments
            if s.text or s.cuttable
        ]
        pieces = self._without_forged(pieces)
        ids, offsets = self._vocabulary.encode("".join(piece.text for piece in pieces))
        if apart or self._offences(ids, offsets, pieces):
            ids, offsets, pieces = self._apart(pieces)
        head = len(prefix)
        spans = _spans(pieces)
        ranges: list[Span] = []
        begins: list[int] = []
        headings: list[int] = []
        for number, (piece, span) in enumerate(zip(pieces, spans, strict=True)):
            if piece.cuttable:
                least = ranges[-1][1] if ranges else 0
                begin = max(_before(offsets, span[0]) + head, least)
                heading = _heading(pieces[number - 1].text) if number and pieces[number - 1].trusted else 0
                headings.append(max(_before(offsets, span[0] - heading) + head, least))
                start, stop = (place + head for place in inside(offsets, span))
                if start == stop:  # all of it, if anything, is in one token with a neighbour
                    held = begin - head < len(offsets) and offsets[begin - head][0] < span[1] > span[0]
                    start = stop = begin + held
                ranges.append((start, stop))
                begins.append(begin)
        written = [i for i, piece in enumerate(pieces) if piece.text]
        end = pieces[written[-1]].text if written else ""
        if written and not pieces[written[-1]].trusted:
            end = end[-32:]
        common = "".join(piece.text for piece in takewhile(lambda piece: piece.shared, pieces))
        return EncodedPrompt(
            [*prefix, *ids],
            [(0, 0)] * head + offsets,
            ranges,
            end,
            # Spaces at its end may become one token with what follows.
            shared=head + _before(offsets, len(common.rstrip())),
            last=head + (_before(offsets, spans[-1][0]) if spans else 0),
            begins=begins,
            headings=headings,
            tail=head + _before(offsets, _behind(pieces, spans)),
            most=[piece.most for piece in pieces if piece.cuttable],
        )

    def limited(self, prompt: Prompt) -> tuple[Prompt, int]:
        """The prompt for a server that is given text, each document cut to its most; and tokens left out."""
        if all(segment.most is None for segment in prompt.segments):
            return prompt, 0
        _, offsets = self._vocabulary.encode(prompt.text)
        segments: list[Segment] = []
        cut = 0
        for segment, span in zip(prompt.segments, _spans(prompt.segments), strict=True):
            if segment.most is not None:
                start, stop = inside(offsets, span)
                if stop - start > segment.most:
                    cut += stop - start - segment.most
                    end = offsets[start + segment.most - 1][1]
                    segment = replace(segment, text=segment.text[: end - span[0]])
            segments.append(segment)
        return Prompt(tuple(segments)), cut

    def decode(self, ids: Sequence[int]) -> str:
        """The text of these tokens, markers included, nothing tidied up."""
        return self._vocabulary.decode(ids)

    def label_ids(self, labels: Sequence[str], after: str) -> list[int]:
        """The one token each label is when it follows the text `after`.

        A prompt's tokens are there before its label is. Where a vocabulary would join "[" and "A", the model
        writes "A" behind "[" as behind anything it does not join it with; words are never taken apart.

        Raises:
            InputError: a label is not exactly one token there, or two labels are the same token.
        """
        known: dict[int, str] = {}
        for label in labels:
            contexts = (after,) if after[-1:].isalnum() else (after, *_APART)
            rest = next(filter(None, (self._following(label, text) for text in contexts)), [])
            if len(rest) != 1:
                whole = self._vocabulary.names(self._vocabulary.encode(after + label)[0])
                raise InputError(
                    f"the label {label!r} is not one token after {after[-40:]!r} but becomes "
                    f"{whole[-max(1, len(rest)) :]}: choose labels that are single tokens, or a template "
                    f"that ends where they are"
                )
            if rest[0] in known:
                raise InputError(
                    f"the labels {known[rest[0]]!r} and {label!r} are the same token {self.decode(rest)!r}"
                )
            known[rest[0]] = label
        return list(known)

    # ---- inside ---------------------------------------------------------------------------------

    def _following(self, label: str, after: str) -> list[int] | None:
        """The label's tokens behind the text; None where a token holds something of both."""
        before = self._vocabulary.encode(after)[0]
        whole = self._vocabulary.encode(after + label)[0]
        return list(whole[len(before) :]) if whole[: len(before)] == before else None

    def _without_forged(self, pieces: list[Segment]) -> list[Segment]:
        """The pieces, without what untrusted text wrote of the template's marks that are no single token."""
        for _ in range(_REPAIRS):
            bad = forged(pieces, _spans(pieces), self._vocabulary.single)
            if not bad:
                break
            with self._lock:
                self.neutralised += len(bad)
            note(Usage(neutralised=len(bad)))
            pieces, left = changed_tags(pieces, _spans(pieces), bad)
            pieces = _broken(pieces, left, '"') if left else pieces
        return pieces

    def _offences(self, ids: Sequence[int], offsets: Sequence[Span], pieces: Sequence[Segment]) -> list[Span]:
        """The characters of markers that are not wholly the template's."""
        if self.markers.isdisjoint(ids):
            return []
        text = "".join(piece.text for piece in pieces)
        trusted = _trusted(pieces)
        bad = []
        for token, (start, stop) in zip(ids, offsets, strict=True):
            if token in self.markers:
                # A marker may swallow spaces around it (lstrip, rstrip); those are nobody's secret.
                core = text[start:stop].strip()
                if core:
                    start = text.index(core, start)
                    stop = start + len(core)
                if not any(a <= start and stop <= b for a, b in trusted):
                    bad.append((start, stop))
        return bad

    def _apart(self, pieces: list[Segment]) -> tuple[list[int], list[Span], list[Segment]]:
        for _ in range(_REPAIRS):
            ids, offsets = self._in_runs(pieces)
            bad = self._offences(ids, offsets, pieces)
            if not bad:
                return ids, offsets, pieces
            pieces = _broken(pieces, bad)
        text = "".join(piece.text for piece in pieces)
        shown = ", ".join(repr(text[start:stop]) for start, stop in bad[:3])
        raise BackendError(
            f"this tokenizer turns {shown} of a query or document into a special token whatever is done: "
            f"remove it from the text, or use a tokenizer.json without that token in its base vocabulary"
        )

    def _in_runs(self, pieces: Sequence[Segment]) -> tuple[list[int], list[Span]]:
        """Encode with the markers of the template as the only ones."""
        text = "".join(piece.text for piece in pieces)
        markers: list[tuple[Span, int]] = []
        # Each stretch of the template on its own: a passage must not be able to hide a marker of it either.
        for start, stop in _trusted(pieces):
            for token, (a, b) in zip(*self._vocabulary.encode(text[start:stop]), strict=True):
                if token in self._vocabulary.added and b > a:
                    markers.append(((start + a, start + b), token))
        ids: list[int] = []
        offsets: list[Span] = []
        at = 0
        for (start, stop), token in [*markers, ((len(text), len(text)), -1)]:
            if start > at:
                run, places = self._vocabulary.encode_bare(text[at:start], first=at == 0)
                ids += run
                offsets += [(at + a, at + b) for a, b in places]
            if stop > start:
                ids.append(token)
                offsets.append((start, stop))
            at = stop
        return ids, offsets


def _spans(pieces: Sequence[Segment]) -> list[Span]:
    spans, at = [], 0
    for piece in pieces:
        spans.append((at, at + len(piece.text)))
        at += len(piece.text)
    return spans


def _before(offsets: Sequence[Span], place: int) -> int:
    """How many tokens end at or before this character."""
    return next((i for i, (_, stop) in enumerate(offsets) if stop > place), len(offsets))


def _heading(text: str) -> int:
    """How many of its last characters stand on the line of what follows it, spaces before them left out."""
    return len(text[text.rfind("\n") + 1 :].lstrip())


def _behind(pieces: Sequence[Segment], spans: Sequence[Span]) -> int:
    """The first character behind the last cuttable piece that is no white space."""
    last = max((i for i, piece in enumerate(pieces) if piece.cuttable), default=-1)
    text = "".join(piece.text for piece in pieces[last + 1 :])
    return (spans[last][1] if last >= 0 else 0) + len(text) - len(text.lstrip())


def _trusted(pieces: Sequence[Segment]) -> list[Span]:
    """The stretches of template text, neighbouring segments joined."""
    merged: list[Span] = []
    for piece, (start, stop) in zip(pieces, _spans(pieces), strict=True):
        if piece.trusted:
            joins = bool(merged) and merged[-1][1] == start
            merged[-1:] = [(merged[-1][0], stop)] if joins else [*merged[-1:], (start, stop)]
    return merged


def _broken(pieces: Sequence[Segment], bad: Sequence[Span], mark: str = " ") -> list[Segment]:
    """A mark after the first character of each bad span, or at the nearest untrusted place in it."""
    places: dict[int, list[int]] = {}
    for start, stop in bad:
        for i, (a, b) in enumerate(_spans(pieces)):
            if not pieces[i].trusted and a < stop and start < b:
                places.setdefault(i, []).append(max(start + 1, a) - a)
                break
    changed = list(pieces)
    for i, cuts in places.items():
        text = changed[i].text
        for cut in sorted(set(cuts), reverse=True):
            text = f"{text[:cut]}{mark}{text[cut:]}"
        changed[i] = replace(changed[i], text=text)
    return changed
