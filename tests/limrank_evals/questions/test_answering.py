"""Contexts and answers: once each, in every condition; a killed evaluation goes on and ends the same."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from quizzes import CORPUS, GOLD, QUESTIONS, knowing, reader, texts
from scripts import passage_of

from limrank_evals.loaders.multiple_choice import MultipleChoice
from limrank_evals.questions import (
    CLOSED_BOOK,
    CONDITIONS,
    RERANK,
    RETRIEVE,
    AnswerRecord,
    ChoiceReader,
    Gate,
    Judge,
    answer_all,
    find_contexts,
)
from limrank_evals.questions.conditions import chosen_conditions
from limrank_evals.questions.contexts import searched_with
from limrank_pipelines import RagPipeline, Rewriter
from limrank_plugins import Query, Reranker, ScriptedBackend, ScriptedFailure, Store
from limrank_plugins.errors import BackendError, InputError
from limrank_plugins.jobs import Job
from limrank_plugins.retrievers import build_retriever

OPEN, CLOSED = Gate(closed=False), Gate(closed=True)
CANARY = "CANARY-9c1e"


def first(query: Query, k: int) -> list[Any]:
    """Finds everything, the gold passage last but one."""
    gold = GOLD[query.id]
    others = [document for document in CORPUS if document.id != gold]
    return [*others[:2], next(d for d in CORPUS if d.id == gold), others[2]][:k]


def judging(prompt: Any) -> tuple[float, float]:
    """Prefers what shares a word with the question."""
    words = set(prompt.shared_text.lower().replace("?", " ").split()) & {"milk", "bread", "tides"}
    return (3.0, 0.0) if words & set(passage_of(prompt).lower().split()) else (0.0, 3.0)


def pipeline(**parts: Any) -> RagPipeline:
    reranker = Reranker("limrank", backend=ScriptedBackend(read_labels=judging), reasoning="none")
    return RagPipeline(first, **({"reranker": reranker, "k": 4, "top_n": 2} | parts))


@pytest.fixture
def journal(tmp_path: Path) -> Any:
    with Store(tmp_path / "store.sqlite") as store:
        yield Job(store, "job")


def answered(journal: Job, made: ChoiceReader | None = None, **options: Any) -> list[AnswerRecord]:
    contexts = find_contexts(QUESTIONS, pipeline(), journal, gate=options.get("gate", OPEN))
    return answer_all(
        QUESTIONS,
        list(CONDITIONS),
        made or reader(),
        journal,
        **({"gate": OPEN, "contexts": contexts, "texts": texts} | options),
    )


def test_a_reader_that_needs_the_gold_passage_is_right_where_it_is_shown(journal: Job):
    answers = answered(journal)
    assert [(a.condition, a.question, a.sample) for a in answers] == [
        (condition, question.id, 0) for condition in CONDITIONS for question in QUESTIONS
    ]
    for one in answers:
        assert one.right == (GOLD[one.question] in one.passages)
    assert {a.condition: a.right for a in answers} == {CLOSED_BOOK: False, RETRIEVE: False, RERANK: True}
    shown = {(a.condition, a.question): a.passages for a in answers}
    assert shown[RETRIEVE, "q1"] == ("bread", "moon"), "the first stage's order"
    assert shown[RERANK, "q1"] == ("acid", "bread"), "the reranker's, ties in the first stage's"


def test_conditions_are_chosen():
    assert chosen_conditions([], corpus=True) == tuple(CONDITIONS)
    assert chosen_conditions([], corpus=False) == (CLOSED_BOOK,)
    assert chosen_conditions([RERANK, CLOSED_BOOK, RERANK], corpus=True) == (CLOSED_BOOK, RERANK)
    with pytest.raises(InputError, match="'retrieve' needs passages to search"):
        chosen_conditions([RETRIEVE], corpus=False)
    with pytest.raises(InputError, match="no condition 'open-book'"):
        chosen_conditions(["open-book"], corpus=True)


def test_what_is_searched_with():
    question = QUESTIONS[0]
    assert searched_with(question, options=False, seed=0) == Query(question.question, "q1")
    seen = {searched_with(replace(question, id=f"q{i}"), options=True, seed=0).text for i in range(40)}
    assert all(choice in text for text in seen for choice in question.choices)
    assert len(seen) > 6, "where the right one always comes first, a reranker would see that"


def test_a_context_counts_what_went_wrong(journal: Job):
    def partly(prompt: Any) -> tuple[float, float]:
        if "moon" in passage_of(prompt) or "tides" in prompt.shared_text:
            raise ScriptedFailure("no")
        return judging(prompt)

    failing = Reranker("limrank", backend=ScriptedBackend(read_labels=partly), reasoning="none")
    rewriter = Rewriter("keywords", backend=ScriptedBackend(generate=lambda prompt: ""))
    made = pipeline(reranker=failing, rewriter=rewriter)
    found = find_contexts(QUESTIONS, made, journal, gate=OPEN)
    assert [c.unjudged for c in found.values()] == [1, 1, 4]
    assert all(c.unwritten for c in found.values())
    assert [c.outage for c in found.values()] == [False, False, True]
    assert len(journal) == 0, "where something failed, a later run tries again"
    healed = find_contexts(QUESTIONS, pipeline(rewriter=rewriter), journal, gate=OPEN)
    assert [c.unjudged for c in healed.values()] == [0, 0, 0]
    assert all(c.unwritten for c in healed.values())
    assert len(journal) == 0
    find_contexts(QUESTIONS, pipeline(), journal, gate=OPEN)
    assert len(journal) == 3


def test_nothing_found_is_asked_without_passages(journal: Job):
    nothing = RagPipeline(lambda query, k: [])
    contexts = find_contexts(QUESTIONS, nothing, journal, gate=OPEN)
    assert {c.candidates for c in contexts.values()} == {0}
    answers = answer_all(QUESTIONS, [RETRIEVE], reader(), journal, gate=OPEN, contexts=contexts, texts=texts)
    assert [one.passages for one in answers] == [()] * 3


class Killed(BaseException):
    """What no code catches, as a SIGKILL."""


@pytest.mark.parametrize("gate", [OPEN, CLOSED])
def test_killed_after_any_number_of_calls_it_ends_the_same(tmp_path: Path, gate: Gate):
    """Every place where a model is asked is one where the process may go."""
    with Store(tmp_path / "whole.sqlite") as store:
        backend = ScriptedBackend(
            generate=lambda prompt: knowing(prompt) if "settles" not in prompt.text else "yes"
        )
        whole = full(store, backend, gate)
    total = len(backend.batches)
    assert total > 12
    for place in range(total):
        with Store(tmp_path / f"killed{place}.sqlite") as store:
            calls = 0

            def script(prompt: Any, place: int = place) -> str:
                nonlocal calls
                calls += 1
                if calls == place + 1:
                    raise Killed
                return knowing(prompt) if "settles" not in prompt.text else "yes"

            with pytest.raises(Killed):
                full(store, ScriptedBackend(generate=script), gate)
            assert full(store, ScriptedBackend(generate=script), gate) == whole
            with closing(sqlite3.connect(tmp_path / f"killed{place}.sqlite")) as database:
                computed = [row[0] for row in database.execute("SELECT computed FROM journal")]
            assert set(computed) == {1}, "what was committed is not asked again"


def full(store: Store, backend: ScriptedBackend, gate: Gate) -> list[AnswerRecord]:
    """One process of an evaluation with two samples and a judge, an answer at a time."""
    made = ChoiceReader(backend=backend, samples=2)
    return answered(Job(store, "job"), made, judge=Judge(backend=backend), gate=gate, batch=1)


def test_batches_change_nothing(tmp_path: Path):
    found = []
    for batch in (1, 4, 100):
        with Store(tmp_path / f"{batch}.sqlite") as store:
            found.append(answered(Job(store, "job"), reader(samples=3), batch=batch))
    assert found[0] == found[1] == found[2]


def test_failures_are_asked_again_and_nothing_else(journal: Job):
    down = True

    def script(prompt: Any) -> str:
        if down and "bread" in prompt.text.lower().partition("what makes bread")[1]:
            raise ScriptedFailure("HTTP 503")
        return knowing(prompt)

    answers = answered(journal, reader(script))
    assert [a.question for a in answers if a.failure] == ["q2"] * 3
    assert not any(a.right for a in answers if a.failure), "wrong until it comes"
    down = False
    backend = ScriptedBackend(generate=script)
    again = answered(journal, ChoiceReader(backend=backend))
    assert len(backend.requests) == 3
    assert not any(a.failure for a in again)


def test_a_judge_that_fails_is_asked_again(journal: Job):
    down = True

    def opinion(prompt: Any) -> str:
        if down:
            raise ScriptedFailure("HTTP 503")
        return "perhaps"

    judge = Judge(backend=ScriptedBackend(generate=opinion))
    answers = answered(journal, judge=judge)
    assert {a.verdict for a in answers} == {"failed"}
    assert {a.failure for a in answers} == {"the judge: HTTP 503"}
    assert sum(a.right for a in answers) == 3, "the extraction does not need it"
    down = False
    assert {a.verdict for a in answered(journal, judge=judge)} == {"unreadable"}


def test_an_edited_question_or_passage_is_asked_anew(journal: Job):
    answered(journal)
    edited = (replace(QUESTIONS[0], question="What makes milk curdle, really?"), *QUESTIONS[1:])
    backend = ScriptedBackend(generate=lambda prompt: "(A)")
    contexts = find_contexts(QUESTIONS, pipeline(), journal, gate=OPEN)

    def other(wanted: Any) -> Any:
        return {i: replace(d, text=d.text + "!") if i == "bread" else d for i, d in texts(wanted).items()}

    made = ChoiceReader(backend=backend)
    answer_all(edited, [CLOSED_BOOK], made, journal, gate=OPEN)
    assert len(backend.requests) == 1
    answer_all(QUESTIONS, [RERANK], made, journal, gate=OPEN, contexts=contexts, texts=other)
    shown = [c for c in contexts.values() if "bread" in c.passages(RERANK)]
    assert len(backend.requests) == 1 + len(shown)
    with pytest.raises(InputError, match="no longer holds 3 passages"):
        answer_all(QUESTIONS, [RERANK, RETRIEVE], made, journal, gate=OPEN, contexts=contexts)


SECRET = tuple(
    MultipleChoice(
        q.id, f"{CANARY} {q.question}", tuple(f"{CANARY} {c}" for c in q.choices), q.answer, gated=True
    )
    for q in QUESTIONS
)


def quoting(prompt: Any) -> str:
    """A model that repeats what it is asked."""
    return "yes" if "settles" in prompt.text else f"{prompt.text} The answer is (B)."


def secretly(store: Store, answers: Store | None, gate: Gate, script: Any = quoting) -> list[AnswerRecord]:
    made = ChoiceReader(backend=ScriptedBackend(generate=script), store=answers)
    judge = Judge(backend=ScriptedBackend(generate=script), store=answers)
    rewriter = Rewriter(
        "reasoning", backend=ScriptedBackend(generate=lambda prompt: prompt.text), store=answers
    )
    index = build_retriever("bm25s", CORPUS)
    reranker = Reranker(
        "limrank", backend=ScriptedBackend(generate=quoting, read_labels=judging), store=answers
    )
    found = RagPipeline(index, rewriter=rewriter, reranker=reranker, k=4, top_n=2)
    journal = Job(store, "job")
    contexts = find_contexts(SECRET, found, journal, gate=gate, options=True)
    options: dict[str, Any] = {"gate": gate, "contexts": contexts, "texts": texts, "judge": judge}
    return answer_all(SECRET, list(CONDITIONS), made, journal, **options)


def kept(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


def test_no_text_of_a_gated_set_is_kept(tmp_path: Path):
    with Store(tmp_path / "closed" / "store.sqlite") as store:
        answers = secretly(store, None, CLOSED)
        assert CANARY.encode() not in kept(tmp_path / "closed"), "not in the write-ahead log either"
    assert CANARY.encode() not in kept(tmp_path / "closed")
    assert CANARY not in json.dumps([repr(one) for one in answers])
    assert {one.verdict for one in answers} == {"yes"}
    assert all(one.sha256 and one.said == "B" for one in answers)
    with Store(tmp_path / "open" / "store.sqlite") as store:
        shown = secretly(store, store, OPEN)
    assert CANARY.encode() in kept(tmp_path / "open"), "the check can fail"
    assert [replace(one, text=None) for one in shown] == answers


def test_failures_of_a_gated_set_say_nothing(tmp_path: Path):
    def refusing(prompt: Any) -> str:
        raise ScriptedFailure(f"HTTP 400: cannot answer {prompt.text}")

    def breaking(prompt: Any) -> str:
        raise ValueError(prompt.text)

    with Store(tmp_path / "store.sqlite") as store:
        answers = secretly(store, None, CLOSED, refusing)
        assert {one.failure for one in answers} == {
            "HTTP 400 (the rest is not shown, since it may quote a gated question)"
        }
        with pytest.raises(BackendError, match="reading ended with ValueError") as caught:
            secretly(store, None, CLOSED, breaking)
    assert CANARY not in str(caught.value)
    assert CANARY.encode() not in kept(tmp_path)
