r"""Which option a model's text chose in a multiple-choice question, or None where it chose none.

No one line says it, so several are asked, the most conclusive first:

1. the last `\boxed{…}`;
2. the last "final answer" that names an option;
3. a last line that is nothing but an option ("**C**", "(B)", "D.");
4. the last statement of a choice: "the answer is not A but C", "I would say (B)", "C is correct";
5. "it is B", "so B", after an answer that was ruled out;
6. a first line that begins with an option ("B. Because …"), or the only option the text names;
7. an option's own words, where the statement or the whole text is nothing else.

A statement that names two ("A or B", "A and C") is a refusal to choose: None, as is "I cannot say whether
(B) is right". What stands before the last `</think>` is thought, not answer; a thought that never ended
has none. Letters are read with care: an article, "vitamin C" and "B-cells" are none.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Sequence

from limrank_evals.answers.option_reader import OptionReader
from limrank_plugins.errors import InputError

_MOST = len(string.ascii_uppercase)


def choice_letters(count: int) -> str:
    """The letters of so many options: "ABCD" for 4."""
    if not 1 <= count <= _MOST:
        raise InputError(f"a question has 1 to {_MOST} options, but this has {count}")
    return string.ascii_uppercase[:count]


def extract_choice(text: str, choices: int | Sequence[str] = 4) -> str | None:
    """The letter of the option a text chose, or None.

    Args:
        text: what the model wrote.
        choices: the options' texts in the order the model saw them, or only how many there were.

    Raises:
        InputError: no options, or more than 26.
    """
    letters = choice_letters(choices if isinstance(choices, int) else len(choices))
    answer = _plain(text)
    if answer is None:
        return None
    reading = OptionReader(letters, () if isinstance(choices, int) else choices)
    for step in (
        reading.boxed,
        reading.final,
        reading.last_line,
        reading.stated,
        reading.weakly,
        reading.alone,
    ):
        letter = step(answer)
        if letter is not None:
            return letter or None  # "" is a refusal to choose
    return reading.by_words(answer)


def _plain(text: str) -> str | None:
    """What is answer, without markup; None where there is only thought."""
    if "</think>" in text:
        text = text.rpartition("</think>")[2]
    elif "<think>" in text:
        return None
    text = unicodedata.normalize("NFKC", text).translate({0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"'})
    text = re.sub(r"\\(?:text|mathrm|mathbf|textbf|mathsf|bf|rm)\b\s*\{([^{}]*)\}", r"\1", text)
    return re.sub(
        r"[*`$]|(?<!\w)_+|_+(?!\w)|\\[()\[\]!, ]|^#{1,3}\s|</?(?:b|strong|answer|i|em)>",
        "",
        text,
        flags=re.MULTILINE,
    )
