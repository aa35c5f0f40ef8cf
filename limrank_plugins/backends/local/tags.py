"""The marks of a template that are ordinary text to a tokenizer, found in untrusted text and neutralised.

Where `</think>` is one added token, a passage cannot write it: see `prompt_encoder`. Where it is three
ordinary tokens, as in Qwen2.5 and SmolLM2, a passage that says `</think> true` writes the ids that the
verdict is read behind. So their angle brackets become quotation marks, or 【】 where the template has no
such tag, and a quotation mark is put into `[INST]`: of what was tried on SmolLM2 the least that still shows
what stood there (docs/injection.md).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from limrank_plugins.backends.local.truncation import Span
from limrank_plugins.backends.remote.markers import chat_markers
from limrank_plugins.segments import Segment

# As a reader takes them: in any case, with a few spaces. Names are bounded, so that it stays linear.
_TAG = re.compile(r"<\s{0,3}(/?)\s{0,3}([A-Za-z][\w:-]{0,31})\s{0,3}>")
_ALWAYS = frozenset({"think"})
"""Names of tags that a model writes even where no template holds them."""


def forged(pieces: Sequence[Segment], spans: Sequence[Span], single: Collection[str]) -> list[Span]:
    """The characters of marks that untrusted text wrote, or had a part in.

    Looked for are the tags that stand in the template's own text, `think` always, and the chat markers
    (`<|user|>`, `[INST]`) of that text. A prompt without a template has none.

    Args:
        pieces: the prompt.
        spans: where each piece stands in the joined text.
        single: what is one added token, in lower case: it is encoded apart, and left as it is.
    """
    template = "\n".join(piece.text for piece in pieces if piece.trusted)
    if not template.strip():
        return []
    text = "".join(piece.text for piece in pieces)
    names = _ALWAYS | _names(template)
    found = [
        tag.span()
        for tag in _TAG.finditer(text)
        if tag[2].lower() in names and f"<{tag[1]}{tag[2]}>".lower() not in single
    ]
    written = {marker for marker in chat_markers(template) if marker.lower() not in single}
    if written:
        pattern = "|".join(map(re.escape, sorted(written, key=len, reverse=True)))
        found += [marker.span() for marker in re.finditer(pattern, text)]
    own = [span for piece, span in zip(pieces, spans, strict=True) if piece.trusted]
    joined = _joined(own)
    return sorted({(a, b) for a, b in found if not any(start <= a and b <= stop for start, stop in joined)})


def changed_tags(
    pieces: Sequence[Segment], spans: Sequence[Span], bad: Sequence[Span]
) -> tuple[list[Segment], list[Span]]:
    """The pieces with the angle brackets of forged tags as other marks, and the spans left.

    The length of the text stays. Left are markers in square brackets, and tags of which only the middle
    is untrusted.
    """
    text = "".join(piece.text for piece in pieces)
    own = _names("\n".join(piece.text for piece in pieces if piece.trusted))
    changed = [list(piece.text) for piece in pieces]
    left: list[Span] = []
    for start, stop in bad:
        done = False
        opening, closing = '""' if _names(text[start:stop]) <= own else "【】"
        for i, (a, b) in enumerate(spans):
            for place, bracket, instead in ((start, "<", opening), (stop - 1, ">", closing)):
                if not pieces[i].trusted and a <= place < b and pieces[i].text[place - a] == bracket:
                    changed[i][place - a] = instead
                    done = True
        if not done:
            left.append((start, stop))
    return [replace(piece, text="".join(text)) for piece, text in zip(pieces, changed, strict=True)], left


def _names(text: str) -> set[str]:
    return {tag[2].lower() for tag in _TAG.finditer(text)}


def _joined(spans: Sequence[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, stop in spans:
        if merged and merged[-1][1] == start:
            merged[-1] = (merged[-1][0], stop)
        else:
            merged.append((start, stop))
    return merged
