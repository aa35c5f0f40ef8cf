"""Questions with options and a key: any JSONL of them, and GPQA, whose texts must not be shown.

GPQA's authors ask that its questions never appear in plain text online, so that they do not end up in
training data. A gated set's questions are written as hashes unless they are asked for by `--show-gated`.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limrank_evals.answers import choice_letters
from limrank_evals.loaders.benchmark import check_count
from limrank_evals.loaders.dataset_rows import field, file_rows
from limrank_plugins.data import check_unique
from limrank_plugins.errors import InputError, LimRankWarning
from limrank_plugins.pipes import is_pipe, regular_file
from limrank_plugins.readouts.usable import can_be_seen
from limrank_plugins.wording import number_of, verb_for

GPQA_DIAMOND = 198
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class MultipleChoice:
    """A question.

    Attributes:
        id: its identifier.
        question: its text.
        choices: the options' texts, in the set's order.
        answer: the letter of the right one in that order.
        gated: its text must not be shown.
        domain: the part of the set it belongs to (a subject, a chapter); empty where that is not known.
    """

    id: str
    question: str = dataclasses.field(repr=False)
    choices: tuple[str, ...] = dataclasses.field(repr=False)
    answer: str
    gated: bool = False
    domain: str = ""

    def __post_init__(self) -> None:
        if self.answer not in tuple(choice_letters(len(self.choices))):
            raise InputError(
                f"question {self.id!r} has {len(self.choices)} options and the key {self.answer!r}"
            )

    def shown(self, *, show_gated: bool = False) -> dict[str, Any]:
        """The question for reports and logs: its texts, or only their hash where it is gated."""
        if self.gated and not show_gated:
            return {"id": self.id, "sha256": hashed([self.question, *self.choices])}
        return {
            "id": self.id,
            "question": self.question,
            "choices": list(self.choices),
            "answer": self.answer,
        }


def hashed(texts: Sequence[str]) -> str:
    """One hash of several texts: enough to tell whether two reports are about the same question."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    return digest.hexdigest()


def load_questions(
    path: str | os.PathLike[str], *, gated: bool = False, domain: str | None = None
) -> tuple[MultipleChoice, ...]:
    """Questions of a JSONL or parquet file: `question`, `choices`, `answer` (a letter or a place from 0).

    Args:
        path: the file; `.jsonl.gz` is read, too.
        gated: their texts must not be shown.
        domain: the field that holds a question's domain; default: `domain` or, as in MMLU, `subject`.

    A question's id is its `_id` or `id`; without either, as in MMLU, its number from 1.

    Raises:
        InputError: a line that is no such question, an id twice, or no questions.
    """
    regular_file(path, "file of questions")
    if gated and domain == "question":
        raise InputError("domains of a gated set are shown, so its field 'question' cannot be one")
    try:
        questions = [
            _question(row, path, number, gated, domain)
            for number, row in enumerate(file_rows(Path(path)), start=1)
        ]
    except InputError:
        if gated:
            # The message may quote the row.
            raise InputError(
                f"{path} holds a question that cannot be read; it is gated, so not shown"
            ) from None
        raise
    return _whole(questions, path)


def _question(
    row: dict[str, Any], path: str | os.PathLike[str], number: int, gated: bool, domain: str | None
) -> MultipleChoice:
    where = f"{path}, question {number}"
    named = next((name for name in ("_id", "id") if name in row), None)
    name = str(number) if named is None else str(field(row, named, where, (str, int)))
    where = where if named is None else f"{path}, question {name!r}"
    text, choices = field(row, "question", where), field(row, "choices", where, list)
    _check_texts(text, choices, where)
    key = field(row, "answer", where, (str, int))
    if isinstance(key, int):
        if not 0 <= key < len(choices):
            raise InputError(f"{where}: there is no option number {key}")
        key = choice_letters(len(choices))[key]
    if domain is None:
        topic = next((row[name] for name in ("domain", "subject") if isinstance(row.get(name), str)), "")
    else:
        topic = field(row, domain, where)
    try:
        return MultipleChoice(name, text, tuple(map(str, choices)), key, gated, topic)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _check_texts(question: str, choices: Sequence[Any], where: str) -> None:
    """Raise an `InputError` for a question that nobody can answer; its texts are not shown."""
    if not can_be_seen(question):
        raise InputError(f"{where}: the question has no text")
    try:
        letters = choice_letters(len(choices))
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    for letter, choice in zip(letters, choices, strict=True):
        is_number = isinstance(choice, int | float) and not isinstance(choice, bool)
        if not is_number and not (isinstance(choice, str) and can_be_seen(choice)):
            raise InputError(f"{where}: option {letter} has no text")


def load_gpqa(
    path: str | os.PathLike[str], *, strict: bool = True, domain: str | None = None
) -> tuple[MultipleChoice, ...]:
    """GPQA's `gpqa_diamond.csv`; the right answer is A everywhere, so shuffle the options.

    Args:
        path: the file.
        strict: another number of questions than was published is an error.
        domain: the column with a question's domain; default: `High-level domain`, where there is one.

    Raises:
        InputError: no such file (the message has the steps to get it), wrong columns or counts.
    """
    if is_pipe(path):
        regular_file(path)
    if not Path(path).is_file():
        raise InputError(
            f"there is no file {str(path)!r}. GPQA is gated: accept its terms on "
            f"https://huggingface.co/datasets/Idavidrein/gpqa, run `hf auth login`, then "
            f"`hf download Idavidrein/gpqa gpqa_diamond.csv --repo-type dataset --local-dir .`"
        )
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is no CSV file in UTF-8: {type(error).__name__}") from None
    questions = []
    names = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
    if domain in ("Question", *names):
        raise InputError(f"domains of a gated set are shown, so column {domain!r} cannot be one")
    for number, row in enumerate(rows, start=1):
        where = f"{path}, question {number}"
        # Errors must not quote the row: it is gated.
        if any(not isinstance(row.get(name), str) for name in (*names, "Question", "Record ID")):
            raise InputError(f"{where}: expected the columns Record ID, Question, {', '.join(names)}")
        topic = row.get(domain or "High-level domain")
        if domain is not None and not isinstance(topic, str):
            raise InputError(f"{where}: there is no column {domain!r}")
        choices = tuple(row[name] for name in names)
        questions.append(MultipleChoice(row["Record ID"], row["Question"], choices, "A", True, topic or ""))
    check_count("GPQA diamond, questions", len(questions), GPQA_DIAMOND, strict=strict)
    return _whole(questions, path)


def _whole(questions: list[MultipleChoice], path: str | os.PathLike[str]) -> tuple[MultipleChoice, ...]:
    if not questions:
        raise InputError(f"{path} holds no questions")
    for number, question in enumerate(questions, start=1):
        # Both are shown of gated sets, too: a file whose columns are mixed up must not bring texts there.
        if question.gated and max(len(question.id), len(question.domain)) > _LONGEST_NAME:
            raise InputError(
                f"{path}, question {number}: its id or its domain is longer than {_LONGEST_NAME} characters, "
                f"so it may be a text, and texts of a gated set are not shown: is it the right field?"
            )
    check_unique([question.id for question in questions], f"question id of {path}")
    # Published sets hold some, and are measured with them.
    twins = [question.id for question in questions if _has_twins(question.choices)]
    if twins:
        warnings.warn(
            f"{path}: {number_of(len(twins), 'question')} {verb_for(len(twins), 'have')} two equal options, "
            f"as {twins[0]!r}: one answer in the same words is right, the other wrong",
            LimRankWarning,
            stacklevel=2,
        )
    return tuple(questions)


def _has_twins(choices: Sequence[str]) -> bool:
    return len({" ".join(choice.split()) for choice in choices}) < len(choices)
