"""How the options of one question are named in a text: one step of the reading, one method."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from limrank_evals.answers import patterns
from limrank_plugins.retrievers.folding import folded_words


class OptionReader:
    """How options are named in one question. Every step gives a letter, "" for a refusal, or None."""

    def __init__(self, letters: str, choices: Sequence[str]) -> None:
        self._letters = letters
        self._words = [plain_words(choice) for choice in choices]
        group, small = f"[{letters}]", f"[{letters.lower()}]"
        # "(B)", "[B]", "(b)", "B)", "B"; not "B-cells", "B's", "B12".
        self._letter = re.compile(
            rf"[(\[]\s*(?P<in>{group}|{small})\s*[)\]]|(?P<bare>{group})(?![\w'’]|-\w|[&/]\w|\.\w)\)?"
        )
        self._end = re.compile(rf"(?P<small>{small})\)?(?=\s*(?:[.,;!\"']|$))", re.MULTILINE)
        self._only = re.compile(
            rf"\W*(?:(?:the |my )?(?:final |correct )?(?:{patterns.NOUN})\b\W*(?:is\b\W*)?)?"
            rf"(?P<one>{group})\W*",
            re.IGNORECASE,
        )
        self._begins = re.compile(
            rf"\W*(?:(?:{patterns.NOUN})[ \t]+)?(?P<one>{group})(?:[.):]|[ \t]+[-–—])(?=\s|$)", re.IGNORECASE
        )

    def boxed(self, text: str) -> str | None:
        """1. The last box."""
        for inside in reversed(re.findall(r"\\(?:f?boxed|framebox)\s*\{([^{}]*)\}", text)):
            letter = self._named(" " + inside, 0) or self._by_text(inside)
            if letter is None and len(inside.strip()) == 1:
                letter = inside.strip().upper() if inside.strip().upper() in self._letters else None
            if letter is not None:
                return letter
        return None

    def final(self, text: str) -> str | None:
        """2. The last "final answer"."""
        return self._last(text, final=True)

    def last_line(self, text: str) -> str | None:
        """3. A last line that is one option and nothing else."""
        lines = text.split("\n")
        line = next((line for line in reversed(lines) if line.strip()), "")
        whole = self._only.fullmatch(line)
        return whole["one"].upper() if whole else None

    def stated(self, text: str) -> str | None:
        """4. The last statement of a choice."""
        return self._last(text, final=False)

    def weakly(self, text: str) -> str | None:
        """5. "It is B", which is said of many things: only where nothing else was."""
        if patterns.REFUSAL.search(text):
            return None
        letters = [
            self._named(text, cue.end())
            for cue in patterns.WEAK.finditer(text)
            if self._meant(text, cue.start())
        ]
        return next((letter for letter in reversed(letters) if letter is not None), None)

    def alone(self, text: str) -> str | None:
        """6. A first line that begins with an option, or the only option that is named."""
        lines = [line for line in text.split("\n") if line.strip()]
        if lines and (whole := self._only.fullmatch(lines[0])):
            return whole["one"].upper()
        begins = [match["one"].upper() for line in lines if (match := self._begins.match(line))]
        if begins and lines and self._begins.match(lines[0]) and len(set(begins)) == 1:
            return begins[0]
        if patterns.REFUSAL.search(text):
            return None
        named = {
            letter
            for letter, place, end in self._mentions(text)
            if self._meant(text, place) and not patterns.WRONG.match(text, end, end + patterns.NEAR)
        }
        return named.pop() if len(named) == 1 else None

    def by_words(self, text: str) -> str | None:
        """7. An option's own words, as all there is of the text, its last line, or its last statement."""
        lines = [line for line in text.split("\n") if line.strip()]
        cues = [cue for cue in patterns.STATEMENT.finditer(text) if self._meant(text, cue.start())]
        verbs = [
            patterns.VERB.search(text, cue.end(), cue.end() + 80) if cue["noun"] else cue for cue in cues
        ]
        ends = [verb.end() for verb in verbs if verb is not None]
        stated = [patterns.STATED.match(text, end) for end in ends]
        for words in (text, *lines[-1:], *(words[0] for words in reversed(stated) if words)):
            letter = self._by_text(words)
            if letter is not None:
                return letter
        return None

    def _last(self, text: str, *, final: bool) -> str | None:
        """What the last statement that names options chose."""
        cues = [cue for cue in patterns.STATEMENT.finditer(text) if cue["final"] or not final]
        stated = (
            (cue.start(), letter)
            for cue in reversed(cues)
            if self._meant(text, cue.start()) and (letter := self._behind(text, cue)) is not None
        )
        called = (
            (place, "" if self._joined(text, place) else letter)
            for letter, place, end in reversed([] if final else list(self._mentions(text)))
            if patterns.RIGHT.match(text, end, end + patterns.NEAR) and self._meant(text, place)
        )
        lasts = [last for last in (next(stated, None), next(called, None)) if last is not None]
        return max(lasts)[1] if lasts else None

    def _joined(self, text: str, place: int) -> bool:
        """Whether the option here is the end of a list: "A and B are correct"."""
        before = text[max(0, place - 16) : place]
        return bool(patterns.JOINED.search(before) and self._letter.search(before))

    def _behind(self, text: str, cue: re.Match[str]) -> str | None:
        """The option behind a cue, or behind the first verb of its sentence that has one."""
        if not cue["noun"]:
            return self._named(text, cue.end())
        sentence = patterns.SENTENCE.match(text, cue.end())
        end = sentence.end() if sentence else cue.end()
        for verb in patterns.VERB.finditer(text, cue.end(), end):
            letter = self._named(text, verb.end(), negated=bool(verb["not"]))
            if letter is not None:
                return letter
        return None

    def _named(self, text: str, place: int, *, negated: bool = False) -> str | None:
        """The option named right after a cue: a letter, "" for several, None for none."""
        affirmed: list[str] = []
        joined, seen = True, False
        end = min(len(text), place + patterns.NEAR)
        while place < end:
            fill = patterns.FILL.match(text, place, end)
            if fill:
                if "\n" in fill[0] and seen:
                    break
                joined = joined or ("," in fill[0] and bool(self._listed(text, fill.end())))
                place = fill.end()
            if (match := patterns.NEGATION.match(text, place, end)) is not None:
                negated, joined = True, True
            elif (match := patterns.TURN.match(text, place, end)) is not None:
                negated, joined = False, True
            elif (match := patterns.JOIN.match(text, place, end)) is not None:
                joined = True
            elif joined and (letter := self._at(text, place)) is not None:
                one, match_end = letter
                if not negated:
                    affirmed.append(one)
                joined, seen, place = False, True, match_end
                continue
            else:
                break
            place = match.end()
        distinct = set(affirmed)
        return None if not distinct else distinct.pop() if len(distinct) == 1 else ""

    def _at(self, text: str, place: int) -> tuple[str, int] | None:
        """The letter that stands here, and where it ends."""
        match = self._letter.match(text, place)
        if match and self._is_letter(text, match):
            return (match["in"] or match["bare"]).upper(), match.end()
        small = self._end.match(text, place)
        return (small["small"].upper(), small.end()) if small else None

    def _listed(self, text: str, place: int) -> re.Match[str] | None:
        """Whether a letter after a comma goes on with a list: "A, B and C", "A, C."."""
        match = self._letter.match(text, place)
        return patterns.GOES_ON.match(text, match.end()) if match else None

    def _is_letter(self, text: str, match: re.Match[str]) -> bool:
        if match["in"]:
            return True
        if patterns.CONTENT.search(text[max(0, match.start() - 20) : match.start()]) or match["bare"] == "I":
            return False
        article = match[0] == "A" and patterns.SMALL_WORD.match(text, match.end())
        return not article or bool(patterns.AFTER_ARTICLE.match(text, match.end()))

    def _mentions(self, text: str) -> Iterator[tuple[str, int, int]]:
        """Every option a text names by its letter, and where that begins and ends."""
        for match in self._letter.finditer(text):
            before = text[match.start() - 1] if match.start() else " "
            if not (before.isalnum() or before in "'-") and self._is_letter(text, match):
                yield (match["in"] or match["bare"]).upper(), match.start(), match.end()

    def _meant(self, text: str, place: int) -> bool:
        """Whether the clause up to here neither denies nor supposes what comes."""
        start = max(
            (match.end() for match in patterns.CLAUSE.finditer(text, max(0, place - 80), place)), default=0
        )
        return patterns.UNSAID.search(text, max(start, place - 80), place) is None

    def _by_text(self, text: str) -> str | None:
        words = plain_words(text)
        same = [
            letter for letter, own in zip(self._letters, self._words, strict=False) if own and own == words
        ]
        return same[0] if len(same) == 1 else None


def plain_words(text: str) -> str:
    """A text as words alone, in small letters, without an article in front."""
    words = " ".join(folded_words(text))
    return re.sub(r"^(?:the|an?) ", "", words)
