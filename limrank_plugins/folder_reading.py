"""What is said of a folder's files: which were not read, which rows were left out, and why.

It can be kept as JSON, and is then said of the folder by the name that it has by then.
"""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Self

from limrank_plugins.errors import InputError
from limrank_plugins.files import DAMAGE
from limrank_plugins.rows import LeftOut
from limrank_plugins.wording import number_of, shortened, verb_for

_NAMED = 10  # files of which a note gives the reasons
_REASON = 300  # characters of one of them
_NAMES = 1_000  # characters of the names of further files
_BRIEF, _BRIEF_NAMES = 300, 160  # characters of a note that is said again, and of the names in it


class Remark(NamedTuple):
    """What is to say about some files, as an index of the folder has it, and about each of them.

    Attributes:
        brief: what matters, which is said again.
        whole: all of it.
        reasons: that `whole` gives and `brief` does not.
        is_cut: names or a reason in `brief` did not fit.
    """

    brief: str
    whole: str
    reasons: Sequence[str] = ()
    is_cut: bool = False


@dataclass(slots=True)
class Reading:
    """What a note says about the files of a folder: which were not read, or otherwise than most.

    Attributes:
        read: how many files were read.
        skipped: why files were not, by name, in a sentence that names it.
        likely: of those without a field of texts, the field that may hold them.
        left_out: by the names of files with rows that cannot be used: how many, of how many, and why the
            first one cannot, in a sentence that names the file.
        of_other_kinds: how many files are never read, by ending.
        for_evaluation: names of files of queries and judgements.
        without_field: the field that was named for the text, if no table has it.
        guessed: the encoding that was guessed, by the name of a file.
        unsplit: files of running text that were longer than a passage, without what splits them.
        most_words: of a passage, for the message.
    """

    read: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    likely: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    of_other_kinds: dict[str, int] = field(default_factory=dict)
    for_evaluation: list[str] = field(default_factory=list)
    without_field: str | None = None
    guessed: dict[str, str] = field(default_factory=dict)
    unsplit: int = 0
    most_words: int = 0

    def skip(self, name: str, reason: str, likely: str = "") -> None:
        """Note why a file is not read, in a sentence that names it; and which field may hold its texts."""
        self.skipped[name] = shortened(reason, _REASON)
        if likely:
            self.likely[name] = likely

    def leave_out(self, name: str, rows: LeftOut, of: int, first: str) -> None:
        """Note that rows of a file are left out.

        Args:
            name: of the file.
            rows: that are left out.
            of: how many it has.
            first: why the first one cannot be used, in a sentence that names the file.
        """
        self.left_out[name] = rows.count, of, shortened(first, _REASON)

    def unread_names(self, most: int = _NAMES) -> str:
        """The files that were not read, as many as fit: first those of which a field may be named."""
        first = [f"{name} (perhaps --field {shlex.quote(likely)})" for name, likely in self.likely.items()]
        names = _listed([*first, *(name for name in self.skipped if name not in self.likely)], most)
        return ", ".join(filter(None, (names, self._others())))

    def sentences(self, name: str) -> list[str]:
        """All that there is to say, of a folder of this name."""
        return [remark.whole for remark in self._remarks(name)]

    def brief(self, name: str, command: str) -> str:
        """What matters of it: names before reasons, and which command says all; "" for nothing.

        Args:
            name: of the folder.
            command: prints all of it.
        """
        remarks = self._remarks(name)
        parts = [remark.brief for remark in remarks]
        parts += [reason for remark in remarks for reason in remark.reasons]
        said = parts[:1]
        for part in parts[1:]:
            if len("; ".join([*said, part])) > _BRIEF:
                break
            said.append(part)
        is_all = len(said) == len(parts) and not any(remark.is_cut for remark in remarks)
        return "; ".join(said if is_all else [*said, f"{command} says all of it"])

    def as_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: Any) -> Self:
        """What was kept; `InputError` where it is no such thing."""
        try:
            return cls(
                read=int(body["read"]),
                skipped=_strings(body["skipped"]),
                likely=_strings(body["likely"]),
                left_out={
                    str(name): (int(count), int(of), str(first))
                    for name, (count, of, first) in body["left_out"].items()
                },
                of_other_kinds={str(kind): int(n) for kind, n in body["of_other_kinds"].items()},
                for_evaluation=[str(name) for name in body["for_evaluation"]],
                without_field=None if body["without_field"] is None else str(body["without_field"]),
                guessed=_strings(body["guessed"]),
                unsplit=int(body["unsplit"]),
                most_words=int(body["most_words"]),
            )
        except DAMAGE as error:
            raise InputError(f"this is not what is kept of a folder's files: {error}") from error

    def _remarks(self, name: str) -> list[Remark]:
        said = [*self._of_unread(name), *self._of_rows(name)]
        if self.without_field is not None:
            said.append(_plain(f"no table in {name} has a field {self.without_field!r}"))
        if self.for_evaluation:
            said.append(
                _of_names(f"queries and judgements in {name} are not searched: ", self.for_evaluation)
            )
        if self.guessed:
            count = len(self.guessed)
            before = f"{number_of(count, 'file')} in {name} {verb_for(count, 'are')} not UTF-8; the encoding "
            files = [f"{file} ({encoding})" for file, encoding in self.guessed.items()]
            said.append(_of_names(f"{before}was guessed: ", files))
        if self.unsplit:
            were = verb_for(self.unsplit, "were")
            said.append(
                _plain(
                    f"{number_of(self.unsplit, 'text')} in {name} {verb_for(self.unsplit, 'are')} longer "
                    f"than {self.most_words} words and {were} not split: pip install 'limrank[files]', or "
                    f"ask for whole texts (--passages whole)"
                )
            )
        return said

    def _of_unread(self, name: str) -> list[Remark]:
        missed = len(self.skipped) + sum(self.of_other_kinds.values())
        if not missed:
            return []
        total = number_of(self.read + missed, "file")
        before = f"{missed:,} of {total} in {name} {verb_for(missed, 'were')} not read: "
        files = sorted(
            self.skipped, key=lambda file: file not in self.likely
        )  # first what can be mended here
        reasons = [self._reason(file) for file in files]
        parts = reasons[:_NAMED]
        if more := files[_NAMED:]:
            parts.append(f"{number_of(len(more), 'more file')}: {_listed(more, _NAMES)}")
        whole = before + "; ".join(filter(None, (*parts, self._others())))
        if missed == 1 and not self.likely:  # the reason names it
            shown = shortened((*reasons, self._others())[0], _BRIEF_NAMES)
            return [Remark(before + shown, whole, is_cut=shown.endswith("…"))]
        names = self.unread_names(_BRIEF_NAMES)
        return [Remark(before + names, whole, reasons, is_cut=names != self.unread_names())]

    def _reason(self, file: str) -> str:
        likely = self.likely.get(file)
        return self.skipped[file] + (f" (perhaps --field {shlex.quote(likely)})" if likely else "")

    def _of_rows(self, name: str) -> list[Remark]:
        if not self.left_out:
            return []
        reasons = [first for _, _, first in self.left_out.values()]
        if len(self.left_out) == 1:
            ((file, (count, of, first)),) = self.left_out.items()
            rows = f"{count:,} of {number_of(of, 'row')} {verb_for(count, 'were')} left out"
            brief = f"{os.path.join(name, file)}: {rows}"
            why = first.removeprefix(f"{file}, ")
            return [Remark(brief, f"{brief}; {why}", [why])]
        before = f"rows of {number_of(len(self.left_out), 'file')} in {name} were left out: "
        files = [f"{file} ({count:,} of {of:,})" for file, (count, of, _) in self.left_out.items()]
        named = _of_names(before, files)
        return [named._replace(whole="; ".join([named.whole, *reasons[:_NAMED]]), reasons=reasons)]

    def _others(self) -> str:
        if not self.of_other_kinds:
            return ""
        endings = Counter(self.of_other_kinds).most_common(_NAMED)
        shown = ", ".join(f"{count:,} {ending}" for ending, count in endings)
        return f"{number_of(sum(self.of_other_kinds.values()), 'file')} of other kinds ({shown})"


def _of_names(before: str, names: Sequence[str]) -> Remark:
    brief, whole = (before + _listed(names, room) for room in (_BRIEF_NAMES, _NAMES))
    return Remark(brief, whole, is_cut=brief != whole)


def _plain(sentence: str) -> Remark:
    return Remark(sentence, sentence)


def _strings(body: Any) -> dict[str, str]:
    return {str(name): str(value) for name, value in body.items()}


def _listed(names: Iterable[str], most: int) -> str:
    """Names with commas between, as many as make so many characters, but one; and how many more there are."""
    listed = list(names)
    shown = listed[:1]
    for name in listed[1:]:
        if len(", ".join([*shown, name])) > most:
            break
        shown.append(name)
    more = len(listed) - len(shown)
    return ", ".join([*shown, *([f"and {more:,} more"] if more else [])])
