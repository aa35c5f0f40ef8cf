"""Orders as general models write them, made the one form that labels are read from. Pure, total.

`[2] > [1]` is what prompts ask for. Models also write full-width, CJK and escaped brackets, `[Passage 2]`,
`[1-3]`, `Passage 2 > Passage 1`, lists in JSON, lines such as `Doc: 2, Relevance: 9`, and a few words before
it. Prose that only mentions numbers is left alone. Round brackets are not read: a passage's own labels are
printed with them, and a model may repeat a passage.
"""

from __future__ import annotations

import re

from limrank_plugins.readouts.labels import FORMS, WORD, Labels

_NAMES = {"numeric": r"[0-9]{1,6}", "plain": r"[0-9]{1,6}", "alphabetic": r"[A-Z]"}
_WIDE = {ord("\uff10") + i: str(i) for i in range(10)} | {ord("\uff21") + i: chr(65 + i) for i in range(26)}
_SHAPES = str.maketrans("［］【】〔〕（）＞＜，", "[][][]()><,") | _WIDE
_ESCAPED = re.compile(r"\\([\[\]])")
_MOST = 1000
# The words before an order: what ends with a colon, or says of what follows that it is one.
_LEAD = (
    r"(?:[^\n]{0,200}:|[^\n]{0,200}\b(?:order|ranking|ranked|answer|result|identifiers)\b"
    r"[^\n0-9]{0,20}\b(?:is|are))?"
)


def bracketed(text: str, labels: Labels) -> str:
    """The text with its brackets, digits and ranges in the usual form."""
    return FORMS[labels.kind].sub(_usual, _ESCAPED.sub(r"\1", text.translate(_SHAPES)))


def names_in(text: str, labels: Labels) -> tuple[list[str], bool] | None:
    """The names in the order that the text gives without brackets of its own, and whether the worst is first.

    None where there is no such order: a chain or a list of two at least, or nothing but lines of names.
    """
    name = _NAMES[labels.kind]
    item = rf"(?:(?i:{WORD})\s{{0,3}}[:#]?\s{{0,3}})?[\"']?{name}[\"']?"
    for listed in re.finditer(rf"\[\s{{0,40}}({item}(?:\s{{0,40}},\s{{0,40}}{item})+)\s{{0,40}}\]", text):
        return _found(listed[1], name), False
    for line in text.splitlines():
        for sign in (">", "<", ","):
            chain = rf"({item}(?:\s{{0,3}}{sign}\s{{0,3}}{item})+)"
            match = re.fullmatch(
                rf"{_LEAD}\s{{0,3}}[*`]{{0,3}}{chain}[*`]{{0,3}}\s{{0,3}}[.!]?\s{{0,3}}", line
            )
            if match is not None:
                return _found(match[1], name), sign == "<"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    row = rf"(?:[0-9]{{1,3}}[.)]\s{{1,3}}|[-*•]\s{{1,3}})?(?i:{WORD})\s{{0,3}}[:#]?\s{{0,3}}({name})"
    row += r"(?:\s{0,3}[,;:(|-]{0,2}\s{0,3}(?i:relevance|score|rating)\b[^\n]{0,30})?[.,;)]?"
    rows = [re.fullmatch(row, line) for line in lines]
    if len(rows) > 1 and all(rows):
        return [match[1] for match in rows if match is not None], False
    return None


def is_ascending(text: str, labels: Labels) -> bool:
    """Whether nothing but `<` stands between labels in brackets: the worst is first."""
    gaps = re.split(rf"\[\s{{0,3}}{_NAMES[labels.kind]}\s{{0,3}}\]", text)[1:-1]
    return bool(gaps) and all(gap.strip() in ("<", "<<", "&lt;") for gap in gaps)


def _found(text: str, name: str) -> list[str]:
    return re.findall(rf"(?<![A-Za-z0-9]){name}(?![A-Za-z0-9])", text)


def _usual(match: re.Match[str]) -> str:
    """The label alone, or every label of a range."""
    names = re.findall(r"[0-9]{1,6}", match[1])
    if not names:
        return f"[{match[1][-1]}]"
    first, last = int(names[0]), int(names[-1])
    if len(names) == 1:
        return f"[{names[0]}]"
    if abs(last - first) >= _MOST:
        return match[0]
    step = 1 if first <= last else -1
    return " > ".join(f"[{number}]" for number in range(first, last + step, step))
