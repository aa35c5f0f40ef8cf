"""When a completion holds nothing usable: one rule for rerankers, readers, rewriters, judges and synthesis.

Nothing usable is a completion without a text behind its reasoning (empty, without anything that can be seen,
or all of its budget spent on reasoning), and a refusal: a text that begins as models do when they decline
what they were asked. It is a failure: not committed, asked again by the same command, counted and told.
Callers add what they cannot read.

Where reasoning was asked for and a verdict is read behind it (`no_reasoning`), a model that wrote none, or
refused there, has not come to a verdict: none is read by force. One that closed its reasoning at once, by
itself, has gone on to its verdict.

The line to an abstention: a model that is asked to choose or to answer, and says that it does not know, that
it cannot be told, that several or none are meant, has answered. That is no failure, whatever word it begins
with. A text that was cut off behind its reasoning, or that is about something else, holds something, too.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, NamedTuple

from limrank_plugins.readouts.labels import TAG, Labels
from limrank_plugins.readouts.parsing import answer_in, split_reasoning
from limrank_plugins.wording import number_of

_REFUSAL = re.compile(
    r"\W{0,4}(?:i['’]?m (?:(?:very|so|really|truly) )?sorry\b|i am (?:(?:very|so|really|truly) )?sorry\b"
    r"|sorry[,.!]|i apologi[sz]e\b|as an ai\b|(?:unfortunately,? )?i(?: can(?:no|['’])t| can not| won['’]t"
    r"| will not|(?: am|['’]m) (?:unable|not able|not allowed) to| must decline)\b)",
    re.IGNORECASE,
)
# What is said of the question rather than of the wish: nobody declines who says that it cannot be told.
_UNDECIDED = re.compile(
    r"\b(?:(?:don['’]?t|do not) know|(?:not|n['’]t) (?:sure|certain|clear)|unclear|not enough|insufficient"
    r"|(?:can(?:no|['’])t|can not|(?:un|not )able to) (?:be (?:sure|certain|determined|decided|told|answered)"
    r"|say|tell|decide|determine|know|conclude|judge|find|see|choose between|pick between)\b"
    r"|(?:can(?:no|['’])t|can not|(?:un|not )able to) answer\b[^.\n]{0,40}?"
    r"\b(?:from|based on|with|without|given)\b)",
    re.IGNORECASE,
)
# What a model says that finds no document better than the others.
_NO_CHOICE = re.compile(
    r"\b(?:none|neither|both|tied?|equal|equally|no (?:passage|document|image))\b", re.IGNORECASE
)
# What says something of what it was shown has considered it, whatever word it begins with.
_CONSIDERED = re.compile(
    r"(?<!whether )(?<!if )(?<!not )\b(?:the|this|that|these|both) "
    r"(?:passage|document|text|image|page|article|query)s?(?: above| below| itself)?"
    r"(?:,? \w+ly| also| only)? (?:is|are|was|were|does|do|don['’]t|doesn['’]t|has|have"
    r"|gives?|provides?|contains?|mentions?|discuss(?:es)?|answers?|helps?|describes?|explains?|talks?"
    r"|address(?:es)?|focus(?:es)?|asks?|wants?|says?|states?)\b",
    re.IGNORECASE,
)
_OTHER_LABEL = re.compile(r"\[\s{0,3}(?:[0-9]{1,4}|[A-Za-z])\s{0,3}\]")
# Blanks, controls, marks on no letter, signs of no width; and letters and a symbol that are blank.
_UNSEEN = ("Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Mn", "Mc", "Me")
_FILLERS = "\u115f\u1160\u2800\u3164\uffa0"
_SHOWN = 80


class NothingUsable(NamedTuple):
    """Why a completion holds nothing: what kind it is, for counts, and a sentence."""

    kind: Literal["empty", "refused", "cut"]
    reason: str


def nothing_usable(
    text: str, finish: str = "end", *, budget: int | None = None, may_abstain: bool = False
) -> NothingUsable | None:
    """Why a completion holds nothing usable, or None where it holds something.

    Args:
        text: the whole completion; reasoning that a server returned apart from it does not count.
        finish: how it ended; `"length"` is a budget that was spent.
        budget: tokens, for the sentence.
        may_abstain: saying that it cannot be told is an answer here, not a refusal.
    """
    if is_blank(text):
        if finish != "length":
            return NothingUsable("empty", "the model wrote no answer")
        tokens = "" if budget is None else f" of {number_of(budget, 'token')}"
        return NothingUsable("cut", f"the model spent its budget{tokens} before it wrote an answer")
    if is_refusal(text) and not (may_abstain and is_undecided(text)):
        return NothingUsable("refused", f"the model refused: {_shown(text)}")
    return None


def no_reasoning(apart: str, text: str, finish: str, *, budget: int) -> NothingUsable | None:
    """Why what was written before a verdict is no reasoning, or None where it is, or where none is missing.

    Args:
        apart: reasoning that a server returned apart from the text.
        text: everything else that the model wrote.
        finish: how it ended; `"stop"`: the model itself ended its reasoning, which may be empty then.
        budget: tokens, for the sentence.
    """
    inside = can_be_seen(TAG.sub("", text))
    if not inside and not can_be_seen(apart):
        if finish == "stop":
            return None
        if finish == "length":
            spent = (
                f"the model spent its budget of {number_of(budget, 'token')} before it wrote any reasoning"
            )
            return NothingUsable("cut", f"{spent}: raise max_reasoning_tokens")
        reason = "the model wrote no reasoning (reasoning='none' asks for its verdict alone)"
        return NothingUsable("empty", reason)
    last = text if inside else apart
    if is_refusal(last) and not is_undecided(last) and not _CONSIDERED.search(_body(last)):
        return NothingUsable("refused", f"the model refused: {_shown(last)}")
    return None


def can_be_seen(text: str) -> bool:
    """Whether a text holds anything but blanks, controls, marks on no letter and signs of no width."""
    return any(unicodedata.category(sign) not in _UNSEEN and sign not in _FILLERS for sign in text)


def is_blank(text: str) -> bool:
    """Whether there is nothing behind the reasoning, tags apart."""
    return not can_be_seen(TAG.sub("", split_reasoning(text)[1]))


def is_refusal(text: str) -> bool:
    """Whether a completion, after any reasoning, begins as models do when they refuse."""
    return _REFUSAL.match(_body(text)) is not None


def is_undecided(text: str) -> bool:
    """Whether a completion says behind its reasoning that it cannot be told, or that nobody knows."""
    return _UNDECIDED.search(_body(text)) is not None


def is_abstention(text: str, labels: Labels) -> bool:
    """Whether a completion that chooses nothing has considered the documents all the same.

    It names one of them (two, or one that is not shown, by numbers where letters were asked for, or in a
    place where it does not count), or says that none or both are meant.
    A refusal or a text about anything else is no usable reply.
    """
    rest = split_reasoning(text)[1]
    answer = answer_in(rest)
    body = TAG.sub(" ", rest if answer is None else answer)
    if is_refusal(body) and not is_undecided(body):
        return False
    rest = TAG.sub(" ", rest)
    return (
        labels.mentioned(rest) or _OTHER_LABEL.search(rest) is not None or _NO_CHOICE.search(body) is not None
    )


def names_nothing(text: str) -> str:
    """Why no document could be read from a completion, as a failure's reason; its beginning is shown."""
    nothing = nothing_usable(text)
    return nothing.reason if nothing else f"the model's completion names no document: {_shown(text)}"


def _body(text: str) -> str:
    """What stands behind the reasoning, tags apart; where nothing does, all of it."""
    if "<" not in text:
        return text.strip()
    return TAG.sub(" ", split_reasoning(text)[1]).strip() or TAG.sub(" ", text).strip()


def _shown(text: str) -> str:
    answer = " ".join(_body(text).split())
    return repr(answer if len(answer) <= _SHOWN else f"{answer[:_SHOWN]}…")
