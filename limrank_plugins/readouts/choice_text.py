"""Choices as general models write them in words: "Passage B is the most relevant." Pure, total.

The released code of setwise prompting takes the first "Passage B" of any text, also of "Passage B is off
topic"; Rank-R1's takes nothing but `[2]`. Here a sentence must say that a document is the answer, after a few
words at most, without a negation or a condition, and all such sentences must mean one document. A letter
counts only as a capital, behind a word such as "passage" or at the end of such a sentence, so that an article
is no label.
"""

from __future__ import annotations

import re

from limrank_plugins.readouts.labels import WORD, Labels

_NAMES = {"numeric": "[0-9]{1,6}", "plain": "[0-9]{1,6}", "alphabetic": "[A-Z]"}
_MARKS = r"[\s*_`\"'“”\[\]]{0,6}"
_SENTENCE = re.compile(r"[^.!?\n]*(?:[.!?\n]|\Z)")
_UNSURE = re.compile(
    r"\b(?:not|never|no|none|neither|nor|both|or|if|unless|whether|unclear|hardly|barely|least|less|worst|"
    r"cannot|except|than (?:any|all)|tied?|equal(?:ly)?)\b|n['’]t\b|\?",
    re.IGNORECASE,
)
_BEST = r"(?:most|best)"
_OF_TWO = r"(?:most|best|more|better)"
# Words that may stand before the document that a sentence is about.
_BEFORE = (
    r"(?:[^\n]{0,200}(?:,|:|\b(?i:that|think|believe|therefore|thus|hence|so|clearly|overall|say|conclude)))?"
)
_VERB = (
    r"(?i:is|are|seems(?:\s+to\s+be)?|appears(?:\s+to\s+be)?|would\s+be|looks|answers|fits|matches|addresses)"
)
_QUALITY = r"(?:relevant|helpful|useful|suitable|appropriate|related|informative|promising|likely)"


def chosen_in_words(text: str, labels: Labels, size: int) -> int | None:
    """The position of the document that a text says is the answer; None where it says so of none or several.

    Args:
        text: a completion without reasoning and tags, brackets in their usual form.
        labels: how the documents were called.
        size: how many there were. Of two, the better one is the best.
    """
    name = _NAMES[labels.kind]
    best = _OF_TWO if size == 2 else _BEST
    called = rf"{_MARKS}(?i:{WORD}){_MARKS}[:#]?{_MARKS}({name}){_MARKS}"
    # "The most relevant passage is B", "Answer: B". A number alone may answer the query itself.
    noun = rf"(?:{WORD}|one|choice|selection|option|pick)"
    alone = rf"{_MARKS}(?:(?i:{WORD}){_MARKS}[:#]?{_MARKS})?({name}){_MARKS}"
    quality = rf"{best}(?:\s+{_QUALITY})?"
    what = rf"(?:{quality}\s+)?{noun}(?:\s+(?:that\s+is\s+)?{quality})?"
    led = rf"(?:(?:the|my)\s+)?(?:final\s+)?{what}(?:\s+(?:to|for)\b[^\n:]{{0,200}}?)?"
    patterns = [
        called,
        rf"{_BEFORE}{_MARKS}(?i:{led}{_MARKS}(?:is|would\s+be|:))[:\s]{{0,3}}{alone}",
        rf"{_BEFORE}{called}\b{_VERB}\b[^\n]{{0,60}}?\b(?i:{best})\b[^\n]*",
        rf"{_BEFORE}{called}\b(?i:{best})\s+{_VERB}\b[^\n]*",
        rf"{_BEFORE}{_MARKS}(?i:(?:i|we)\s+(?:would\s+|will\s+)?(?:choose|pick|select|prefer)){called}(?:[,\s][^\n]*)?",
    ]
    if labels.kind == "alphabetic":
        answer = r"(?:(?:the|my)\s+)?(?:(?:final|correct|right|best)\s+)?(?:answer|label|letter|result)"
        patterns.append(rf"{_BEFORE}{_MARKS}(?i:{answer}{_MARKS}(?:is|would\s+be|:))[:\s]{{0,3}}{alone}")
    chosen: set[str] = set()
    for sentence in _SENTENCE.findall(text):
        body = sentence.strip()
        if not body or _UNSURE.search(body):
            continue
        body = body.rstrip(".!").strip()
        matches = (re.fullmatch(pattern, body) for pattern in patterns)
        chosen |= {match[1] for match in matches if match is not None}
    if len(chosen) != 1:
        return None
    position = labels.position(chosen.pop())
    return position if 0 <= position < size else None
