"""Questions asked in every condition into a folder, which goes on after a kill."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limrank_evals.evaluation.systems import describe
from limrank_evals.guarded_folders import STORE, evaluation_files, keep_settings, working_in
from limrank_evals.loaders.multiple_choice import MultipleChoice, hashed
from limrank_evals.questions.answer_judge import Judge
from limrank_evals.questions.answering import answer_all
from limrank_evals.questions.batches import Progress
from limrank_evals.questions.choice_reader import ChoiceReader
from limrank_evals.questions.conditions import CONDITIONS
from limrank_evals.questions.contexts import find_contexts
from limrank_evals.questions.gating import Gate, digest
from limrank_evals.questions.question_evaluation import QuestionsEvaluation, Setup, evaluate_answers
from limrank_evals.questions.questions_report import OUTPUTS, SCHEMA, write_reports
from limrank_pipelines import RagPipeline
from limrank_plugins import __version__
from limrank_plugins.begun_anew import working_on
from limrank_plugins.corpus import Corpus, corpus_fingerprint, read_corpus
from limrank_plugins.data import Document
from limrank_plugins.errors import BackendError
from limrank_plugins.jobs import Job
from limrank_plugins.store import Store
from limrank_plugins.wording import number_of


@dataclass(frozen=True, slots=True)
class CorpusSearch:
    """What is searched for passages, and how.

    Attributes:
        corpus: as for `limrank search`.
        retriever: the first stage's name.
        pipeline: searches it; its rewriter and its reranker, where it has them, take part.
        with_options: search and rerank with the options' texts, too.
        rewriting: how the rewriter rewrites, by name; "" without one.
    """

    corpus: str | Corpus
    retriever: str
    pipeline: RagPipeline
    with_options: bool = False
    rewriting: str = ""

    def texts(self, wanted: Collection[str]) -> dict[str, Document]:
        """The documents of these identifiers."""
        return {d.id: d for d in read_corpus(self.corpus) if d.id is not None and d.id in wanted}

    def settings(self) -> dict[str, Any]:
        """What the passages depend on, as JSON."""
        rewriter, reranker = self.pipeline.rewriter, self.pipeline.reranker
        return {
            "corpus": corpus_fingerprint(self.corpus),
            "retriever": self.retriever,
            "depth": self.pipeline.k,
            "top_n": self.pipeline.top_n,
            "with_options": self.with_options,
            "rewriter": rewriter.identity if rewriter else None,
            "reranker": reranker.identity if reranker else None,
        }


def evaluate_questions(
    named: tuple[str, str],
    questions: Sequence[MultipleChoice],
    conditions: Sequence[str],
    reader: ChoiceReader,
    folder: Path,
    *,
    gate: Gate,
    search: CorpusSearch | None = None,
    judge: Judge | None = None,
    seed: int = 0,
    batch: int = 8,
    store: Path | None = None,
    fresh: bool = False,
    say: Callable[[str], object] = lambda sentence: None,
    progress: Progress = lambda stage, done, total: None,
) -> tuple[QuestionsEvaluation, Path]:
    """Ask the questions, and write the files of the evaluation into the folder.

    Args:
        named: benchmark and split, as tables call them.
        questions: with ids of their own.
        conditions: `limrank_evals.questions.conditions.chosen_conditions`.
        reader: answers.
        folder: where everything goes; one with other settings is refused.
        gate: decides what is kept and shown.
        search: finds the passages; needed for all conditions but the closed book.
        judge: gives a second opinion on every answer; default: none.
        seed: of the options' order in a search, and of the bootstrap.
        batch: how many answers are asked for in lockstep and committed together.
        store: keeps the models' answers, unless the gate is closed; default: the folder's.
        fresh: begin anew; see `begun_anew`.
        say: gets a sentence about that.
        progress: told after every batch.

    Returns:
        The evaluation, and where its files are: the folder, unless something failed that was begun anew.

    Raises:
        InputError: a folder that holds another evaluation, or a corpus that has changed meanwhile.
        BackendError: of one condition nothing was answered, rewritten or reranked: no report is written.
    """
    settings = _settings(named, questions, conditions, reader, gate, search, judge, seed)
    with (
        working_in(folder),
        working_on(folder, settings, question_files, fresh=fresh, say=say) as work,
        ExitStack() as held,
    ):
        keep_settings(work.place, SCHEMA, settings)
        # The journal lies in the folder; models' answers do, too, unless told otherwise or gated.
        kept = held.enter_context(Store(work.place / STORE))
        if not gate.closed:
            answers_store = kept if store is None else held.enter_context(work.store(store))
            pipeline = (search.pipeline.rewriter, search.pipeline.reranker) if search else ()
            for part in (reader, judge, *pipeline):
                if part is not None:
                    part.store = answers_store
        job = Job(kept, job_name(settings))
        shared: dict[str, Any] = {"gate": gate, "batch": batch, "progress": progress}
        contexts = None
        if search is not None:
            contexts = find_contexts(
                questions, search.pipeline, job, options=search.with_options, seed=seed, **shared
            )
            every = list(contexts.values())
            _refuse_failed("queries could be rewritten", (c.unwritten and c.reason for c in every))
            # One passage alone is no order: listwise recipes ask nothing about it, and cannot fail.
            outages = (c.outage and c.reason for c in every if c.candidates > 1)
            _refuse_failed("questions' passages could be judged", outages)
        texts: dict[str, Any] = {} if search is None else {"texts": search.texts}
        answers = answer_all(
            questions, conditions, reader, job, contexts=contexts, judge=judge, **texts, **shared
        )
        for condition in conditions:
            of_condition = [answer for answer in answers if answer.condition == condition]
            _refuse_failed(
                f"answers came ({CONDITIONS[condition]})",
                (a.sha256 is None and a.failure for a in of_condition),
            )
        evaluation = evaluate_answers(
            questions,
            answers,
            setup=_setup(named, reader, search),
            settings=settings,
            gate=gate,
            contexts=contexts,
            seed=seed,
        )
        write_reports(work.place, evaluation)
        held.close()
        work.end(is_finished=not evaluation.failures)
    return evaluation, work.place


def question_files(folder: Path) -> list[Path]:
    """What an evaluation by questions has written into its folder; see `begun_anew.working_on`.

    Raises:
        InputError: the folder is another kind of evaluation's.
    """
    return evaluation_files(folder, SCHEMA, OUTPUTS)


def _refuse_failed(could: str, failures: Iterable[str | bool | None]) -> None:
    """Raise a `BackendError` where everything failed: a report would claim what no model has done."""
    reasons = list(failures)
    if reasons and all(reasons):
        raise BackendError(
            f"none of the {len(reasons)} {could}, so there is nothing to report; the first one: "
            f"{reasons[0]}. The same command asks again"
        )


def job_name(settings: Mapping[str, Any]) -> str:
    """The name of the job that these settings make.

    Its journal holds what files will hold, so of a gated set identifiers, letters, numbers and hashes only.
    """
    return f"questions {digest(json.dumps(settings, sort_keys=True))}"


def _settings(
    named: tuple[str, str],
    questions: Sequence[MultipleChoice],
    conditions: Sequence[str],
    reader: ChoiceReader,
    gate: Gate,
    search: CorpusSearch | None,
    judge: Judge | None,
    seed: int,
) -> dict[str, Any]:
    """What makes it this evaluation. Identities name models and wordings, never texts or keys."""
    texts = [text for q in questions for text in (q.id, q.question, *q.choices, q.answer, q.domain)]
    return {
        "benchmark": " ".join(filter(None, named)),
        "questions": len(questions),
        "questions_sha256": hashed(texts),
        "texts": "left out" if gate.closed else "shown",
        "conditions": list(conditions),
        "reader": reader.identity,
        "reader_samples": reader.samples,
        "judge": judge.identity if judge else None,
        "seed": seed,
        "version": __version__,
        **({} if search is None else search.settings()),
    }


def _setup(named: tuple[str, str], reader: ChoiceReader, search: CorpusSearch | None) -> Setup:
    samples = number_of(reader.samples, "sample")
    prompts = f"{reader.template.name}, {samples} at temperature {reader.temperature:g}"
    if search is None:
        return Setup(*named, prompts=prompts, reader=reader.model)
    pipeline, queries = search.pipeline, "question and options" if search.with_options else "question"
    system = None if pipeline.reranker is None else describe(pipeline.reranker)
    return Setup(
        *named,
        reader=reader.model,
        prompts=f"{prompts}, {number_of(pipeline.top_n, 'passage')}",
        first_stage=search.retriever,
        queries=f"{queries}, rewritten ({search.rewriting})" if search.rewriting else queries,
        depth=pipeline.k,
        recipe=system.recipe if system else "",
        model=system.model if system else "",
        backend=system.backend if system else "",
    )
