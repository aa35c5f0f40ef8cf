r"""The exact layout that LimRank and Rank1 are trained in and asked in.

    Determine if the following passage is relevant … 'true' or 'false'.\n
    Query: {query}\n
    Passage: {passage}\n
    <think>                                            <- the prompt ends here
    \n{trace}\n</think> true                           <- the completion

The prompt is the template `limrank`, rendered as at inference. The completion is what inference
makes of reasoning: a line end, the reasoning without white space around it, then the template's `close`
and one of its `labels`, which is also how reasoning that ran out of budget is closed before the verdict
is read. `<think>` and `</think>` are tokens of their own, so prompt and completion give the same tokens
joined or apart, and the verdict is the one token after `</think>` that inference reads.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from limrank_plugins import prompts
from limrank_plugins.backends.remote.markers import marker_pattern
from limrank_plugins.prompts import Template, load_template
from limrank_plugins.readouts.labels import TAG
from limrank_plugins.readouts.usable import can_be_seen
from limrank_synth.records import FOREIGN, LabelledPassage

OPENING = "<think>"
_MARKERS = marker_pattern()


class CompletionParts(NamedTuple):
    """A completion taken apart: the trace, and the verdict behind it."""

    trace: str
    relevant: bool


def pointwise_prompt(query: str, passage: str) -> str:
    """What the model reads about one passage, byte for byte; it ends in `<think>`."""
    return template().render(query, [passage]).text


def completion(trace: str, relevant: bool) -> str:
    """What the model is to write after that prompt."""
    chosen = template()
    reasoning = trace.strip() or None
    segments = prompts.completion(chosen, reasoning, chosen.labels[0 if relevant else 1])
    return "".join(segment.text for segment in segments)


def read_completion(text: str) -> CompletionParts | str:
    r"""Take apart `<think>…</think> true|false`, with or without the opening tag; or say why it is none.

    Whatever a trace says, its label is the word behind the only `</think>`: a text with another tag of
    reasoning in it is refused, so that a verdict inside a trace is never taken for the row's.
    """
    body = text.strip()
    body = body.removeprefix(OPENING)
    end = re.search(r"</think>\s*(true|false)\s*\Z", body, re.IGNORECASE)
    if end is None:
        return "the output does not end in '</think> true' or '</think> false'"
    trace = body[: end.start()].strip()
    if tag := _tag_in(trace):
        return f"its trace holds {tag!r}"
    if not can_be_seen(trace):
        return "its trace is empty"
    return CompletionParts(trace, end[1].lower() == "true")


def blank(row: LabelledPassage) -> str | None:
    """Why a row says nothing of a passage, or None."""
    return None if can_be_seen(row.query) and can_be_seen(row.passage) else "its query or passage is empty"


def problem(row: LabelledPassage) -> str | None:
    """Why a row cannot be trained on, or None.

    A trainer tokenises texts as they are. A marker such as `</think>` in a query or a passage would
    become the token that inference keeps out of them; in a trace it would end the reasoning before its
    time. Such rows are left out and counted, since any change to them would not be the inference prompt.
    """
    if reason := blank(row):
        return reason
    if not can_be_seen(row.trace) and row.intent != FOREIGN:
        return "its trace is empty"
    prompt = pointwise_prompt(row.query, row.passage)
    if len(markers := _MARKERS.findall(prompt)) > 1:
        return f"its query or passage holds the marker {markers[0]!r}"
    if found_tag := _tag_in(row.trace):
        return f"its trace holds {found_tag!r}"
    if len(markers := _MARKERS.findall(prompt + completion(row.trace, row.relevant))) > 2:
        return f"its trace holds the marker {markers[1]!r}"
    return None


def has_marker(text: str) -> bool:
    """Whether a trainer's tokenizer would make a special token out of a part of this text.

    Tags of reasoning, an answer or a score are not meant: where a layout has them, it takes them out.
    """
    return any(TAG.fullmatch(marker) is None for marker in _MARKERS.findall(text))


def template() -> Template:
    """The template of both."""
    return load_template("limrank")


def _tag_in(trace: str) -> str | None:
    return next((tag[0] for tag in TAG.finditer(trace) if tag[2].lower() == "think"), None)
