"""Parts of wrappers whose answers are written down, and what they were asked."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from limrank_plugins.data import Document, Query, Usage, Verdict
from limrank_plugins.verdicts import Outcome

QUERY = Query("q")


class Part:
    """Says about each document what a function of its text says; `asked` lists the texts of each turn."""

    oracle = "score"

    def __init__(
        self,
        say: Callable[[str], Verdict],
        *,
        name: str = "part",
        comparable: bool = True,
        score_kind: str = "probability",
        order: Callable[[list[str]], list[int]] | None = None,
    ) -> None:
        self.say, self.name, self.comparable, self.score_kind, self.order = (
            say,
            name,
            comparable,
            score_kind,
            order,
        )
        self.asked: list[list[str]] = []

    def rank(self, documents: Sequence[Document]) -> Generator[list[Any], list[Any], Outcome]:
        texts = [document.text for document in documents]
        self.asked.append(texts)
        yield ["a question"]
        verdicts = tuple(self.say(text) for text in texts)
        return Outcome(verdicts, None if self.order is None else self.order(texts))


def numbers(size: int) -> list[Document]:
    """Documents that read "0", "1", …"""
    return [Document(str(i), id=str(i)) for i in range(size)]


def told(scores: Sequence[float | None], tokens: Sequence[int] | int = 0, seconds: float = 0.0) -> Any:
    """A function that looks scores up by text; None is a failure."""

    def say(text: str) -> Verdict:
        i = int(text)
        usage = Usage(prompt_tokens=tokens if isinstance(tokens, int) else tokens[i], seconds=seconds)
        failure = f"no answer about {text}" if scores[i] is None else None
        return Verdict(scores[i], failure=failure, usage=usage)

    return say


def finished(program: Generator[list[Any], list[Any], Outcome]) -> Outcome:
    """Run a program whose questions need no answers."""
    try:
        questions = next(program)
        while True:
            questions = program.send([None] * len(questions))
    except StopIteration as end:
        return end.value
