"""Breaking marker strings in untrusted text, for servers that tokenise by themselves.

Such a server turns a passage's own `</think>` into the marker the verdict is read behind. Where
token ids cannot be sent instead, a space is put after the first character of every marker string
that is not wholly the template's: visible, and no longer the marker.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from limrank_plugins.backends.counting import note
from limrank_plugins.data import Usage
from limrank_plugins.segments import Prompt, Segment

# In any case, as a model may take it where it is no single token. A space after "<" is what breaks it.
_THINK = r"(?i:</?think(?:ing)?\s{0,3}>)"
# Without the model's tokenizer: the shapes that markers of the families we know have.
_KNOWN = re.compile(
    r"<[|｜][^<>\s]{1,64}[|｜]>"  # <|im_end|>, <｜User｜>
    r"|</?(?:think|thinking|answer|tool_call|tool_response|seed:[a-z_]+)>"
    r"|</?s>|<(?:unk|pad|bos|eos|mask|sep|cls)>"
    r"|<(?:start_of_turn|end_of_turn|start_of_image|end_of_image|begin_of_text|end_of_text)>"
    r"|<(?:image|img|video|IMG_CONTEXT|image_soft_token)>|</img>|\[IMG(?:_BREAK|_END)?\]"  # pictures' places
    r"|\[/?(?:INST|SYSTEM_PROMPT|TOOL_CALLS|AVAILABLE_TOOLS|TOOL_RESULTS|THINK|CLS|SEP|PAD|MASK|UNK)\]"
    rf"|{_THINK}"
)
# What chat templates put around turns.
_TURNS = re.compile(r"<[|｜][^<>\s]{1,64}[|｜]>|\[/?INST\]|<</?SYS>>|</?s>|<(?:start_of_turn|end_of_turn)>")
_ROUNDS = 4


def chat_markers(text: str) -> set[str]:
    """The markers of turns that stand in a text, of the shapes that chat templates use."""
    return set(_TURNS.findall(text))


def marker_pattern(markers: Iterable[str] | None = None, *, tags: bool = False) -> re.Pattern[str]:
    """What to look for: these strings, or where they are not known the shapes of well-known ones.

    Args:
        markers: the tokenizer's own.
        tags: the reasoning's tags as well, which many tokenizers have no marker for.
    """
    if markers is None:
        return _KNOWN
    longest_first = sorted((marker for marker in markers if marker.strip()), key=len, reverse=True)
    known = [*map(re.escape, longest_first), *([_THINK] if tags else [])]
    return re.compile("|".join(known) or r"(?!)")


def break_markers(prompt: Prompt, pattern: re.Pattern[str]) -> tuple[str, int]:
    """The prompt's text with the markers of its untrusted segments broken, and how many were.

    Looked for in the joined text, as the server sees it: a marker may begin in one segment and end
    in the next.
    """
    pieces = [(segment.text, segment.trusted) for segment in prompt.segments]
    broken = 0
    for _ in range(_ROUNDS):  # a marker of one kind may hold another
        places = _offences(pieces, pattern)
        if not places:
            break
        broken += len(places)
        for piece, at in sorted(places, reverse=True):
            text, trusted = pieces[piece]
            pieces[piece] = (f"{text[:at]} {text[at:]}", trusted)
    return "".join(text for text, _ in pieces), broken


def unmarked(text: str) -> str:
    """An untrusted text with the well-known markers in it broken; how many is noted in the reply's usage."""
    if not _KNOWN.search(text):
        return text
    text, broken = break_markers(Prompt((Segment(text, trusted=False),)), _KNOWN)
    note(Usage(neutralised=broken))
    return text


def _offences(pieces: list[tuple[str, bool]], pattern: re.Pattern[str]) -> list[tuple[int, int]]:
    """Where to put spaces: (piece, offset) of each marker that is not wholly trusted."""
    owner = [(i, k, trusted) for i, (text, trusted) in enumerate(pieces) for k in range(len(text))]
    places: list[tuple[int, int]] = []
    for match in pattern.finditer("".join(text for text, _ in pieces)):
        # After the first character, or at the first place behind it that the template does not own.
        for position in range(match.start(), match.end()):
            piece, offset, trusted = owner[position]
            if not trusted:
                places.append((piece, offset + 1 if position == match.start() else offset))
                break
    return sorted(set(places))
