"""Three assemblies of the same parts, and a reader that is right exactly where the gold passage is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts import passages_of

from limrank_pipelines import RagPipeline, Reader
from limrank_pipelines.citations import neutral
from limrank_plugins import Document, Reranker, ScriptedBackend
from limrank_plugins.retrievers import Retriever

LETTERS = "ABCD"


@dataclass(frozen=True, repr=False)  # a failing test would print the whole book
class Quiz:
    """Multiple-choice questions: the right letter and the gold passages of each."""

    corpus: Sequence[Document]
    key: Mapping[str, str]
    gold: Mapping[str, frozenset[str]]

    def reader(self) -> Reader:
        """It knows the key, and shows that only where it has a gold passage before it."""
        names = {neutral(document.passage): document.id or "" for document in self.corpus}
        assert len(names) == len(self.corpus), "two passages read the same: a text would not say which it is"
        asked = {neutral(question): question for question in self.key}

        def answer(prompt: Any) -> str:
            question = asked[prompt.text.rpartition("Question: ")[2]]
            right = self.key[question]
            for number, text in enumerate(passages_of(prompt), start=1):
                if names[text] in self.gold[question]:
                    return f"It is ({right}), as [{number}] says."
            return f"It is ({LETTERS[LETTERS.index(right) - 1]}), as [1] says."

        return Reader(backend=ScriptedBackend(generate=answer))

    def right(self, question: str, text: str | None) -> bool:
        """Whether an answer gives the right letter."""
        return text is not None and f"({self.key[question]})" in text


Said = tuple[str | None, list[str], list[str]]
"""Text, identifiers of the passages shown, identifiers of those cited."""


def framework_free(index: Retriever, reader: Reader, reranker: Reranker | None, k: int, n: int) -> Any:
    pipeline = RagPipeline(index, reranker=reranker, reader=reader, k=k, top_n=n)

    def ask_all(questions: Sequence[str]) -> list[Said]:
        return [
            (a.text, [d.id or "" for d in a.passages], [c.id for c in a.citations])
            for a in pipeline.ask_many(questions)
        ]

    return ask_all


def llama_index(index: Retriever, reader: Reader, reranker: Reranker | None, k: int, n: int) -> Any:
    from limrank_pipelines.llama_index import query_engine

    engine = query_engine(index, reranker=reranker, reader=reader, k=k, top_n=n)

    def one(question: str) -> Said:
        response: Any = engine.query(question)
        if not response.source_nodes:
            return None, [], []
        cited = [entry["node_id"] for entry in response.metadata["limrank_citations"]]
        return response.response, [node.node.node_id for node in response.source_nodes], cited

    return lambda questions: [one(question) for question in questions]


def haystack(index: Retriever, reader: Reader, ranker: Any, k: int, n: int) -> Any:
    from limrank_pipelines.haystack import LimRankFirstStage, LimRankReader, ask, build_pipeline

    first = LimRankFirstStage(retriever=index, top_k=n if ranker is None else k)
    pipeline = build_pipeline(first, ranker=ranker, reader=LimRankReader(reader=reader))

    def one(question: str) -> Said:
        said = ask(pipeline, question)
        shown = said["retriever" if ranker is None else "ranker"]["documents"]
        answer = said["answer"]
        cited = [] if answer is None else [document.id for document in answer.documents]
        return None if answer is None else answer.data, [document.id for document in shown], cited

    return lambda questions: [one(question) for question in questions]


def check(quiz: Quiz, assemblies: Mapping[str, Callable[[Sequence[str]], list[Said]]]) -> float:
    """Accuracy, after checking that it is the hit rate exactly and that all agree question by question."""
    questions = list(quiz.key)
    said = {name: assembly(questions) for name, assembly in assemblies.items()}
    first = next(iter(said.values()))
    for name, answers in said.items():
        for question, ours, theirs in zip(questions, first, answers, strict=True):
            assert ours == theirs, (name, question)
    hits = [any(i in quiz.gold[q] for i in shown) for q, (_, shown, _) in zip(questions, first, strict=True)]
    rights = [quiz.right(question, text) for question, (text, _, _) in zip(questions, first, strict=True)]
    assert rights == hits
    for question, hit, (text, _, cited) in zip(questions, hits, first, strict=True):
        assert text is None or len(cited) == 1
        assert not hit or cited[0] in quiz.gold[question]
    return sum(rights) / len(questions)
