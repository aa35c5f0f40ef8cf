"""From the options of `limrank eval gpqa` and `questions` to models, answers and the files about them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limrank_evals.cli.question_options import QuestionOptions
from limrank_evals.guarded_folders import STORE, open_folder, working_in
from limrank_evals.loaders.multiple_choice import MultipleChoice, hashed
from limrank_evals.questions import conditions as names
from limrank_evals.questions.answer_judge import Judge
from limrank_evals.questions.answering import answer_all
from limrank_evals.questions.choice_reader import ChoiceReader
from limrank_evals.questions.contexts import find_contexts
from limrank_evals.questions.gating import Gate
from limrank_evals.questions.question_evaluation import QuestionsEvaluation, Setup, evaluate_answers
from limrank_evals.questions.questions_folder import OUTPUTS, SCHEMA, job_name
from limrank_evals.questions.questions_report import write_reports
from limrank_pipelines import RagPipeline, Rewriter
from limrank_pipelines.ask_command import first_stage
from limrank_plugins import Reranker, __version__
from limrank_plugins.cli import common
from limrank_plugins.corpus import corpus_fingerprint, read_corpus
from limrank_plugins.data import Document
from limrank_plugins.errors import InputError
from limrank_plugins.jobs import Job


@dataclass(frozen=True)
class _Parts:
    """What takes part: a reader always, everything else where the conditions have it."""

    reader: ChoiceReader
    judge: Judge | None
    rewriter: Rewriter | None
    reranker: Reranker | None
    pipeline: RagPipeline | None

    def keep_answers(self, store: Any) -> None:
        """Let all models' answers be stored there."""
        for part in (self.reader, self.judge, self.rewriter, self.reranker):
            if part is not None:
                part.store = store


def evaluate(
    options: QuestionOptions,
    named: tuple[str, str],
    questions: tuple[MultipleChoice, ...],
    folder: Path,
    gate: Gate,
) -> QuestionsEvaluation:
    """Ask the questions as wanted, and write the files of the evaluation into the folder.

    Args:
        options: of the command.
        named: benchmark and split, as tables call them.
        questions: all of the set; the options may cut them.
        folder: where everything goes; one with other settings is refused.
        gate: decides what is kept and shown.

    Raises:
        InputError: an option that cannot be used, or a folder that holds another evaluation.
    """
    running, searching = options.running, options.searching
    for name, value in (("--batch", running.batch), ("--limit", running.limit)):
        if value is not None and value < 1:
            raise InputError(f"{name} must be > 0, but got {value}")
    conditions = names.chosen_conditions(searching.condition or [], corpus=searching.corpus is not None)
    questions = questions[: running.limit]
    seed = options.reranking.seed
    with ExitStack() as held:
        parts = held.enter_context(_parts(options, conditions))
        settings = _settings(options, named, questions, conditions, parts, gate)
        held.enter_context(working_in(folder))
        open_folder(folder, SCHEMA, settings, outputs=OUTPUTS, fresh=running.fresh)
        # The journal lies in the folder; models' answers do, too, unless told otherwise or gated.
        kept = held.enter_context(common.open_store(folder / STORE))
        if not gate.closed:
            parts.keep_answers(
                held.enter_context(common.open_store(running.store, fresh=running.fresh))
                if running.store
                else kept
            )
        job = Job(kept, job_name(settings))
        progress = held.enter_context(common.progress_bars())
        shared: dict[str, Any] = {"gate": gate, "batch": running.batch, "progress": progress}
        contexts = None
        if parts.pipeline is not None:
            drawn: dict[str, Any] = {"options": searching.with_options, "seed": seed}
            contexts = find_contexts(questions, parts.pipeline, job, **drawn, **shared)
        answers = answer_all(
            questions,
            conditions,
            parts.reader,
            job,
            contexts=contexts,
            texts=_texts(searching.corpus),
            judge=parts.judge,
            **shared,
        )
        setup = _setup(options, named, parts)
        found = evaluate_answers(
            questions, answers, setup=setup, settings=settings, gate=gate, contexts=contexts, seed=seed
        )
        write_reports(folder, found)
    return found


@contextmanager
def _parts(options: QuestionOptions, conditions: Collection[str]) -> Iterator[_Parts]:
    reading, searching, judging = options.reading, options.searching, options.judging
    seed, index = options.reranking.seed, None
    if any(name != names.CLOSED_BOOK for name in conditions) and searching.corpus is not None:
        index = first_stage(searching.corpus, searching.retriever)
    elif searching.rewrite is not None:
        raise InputError("--rewrite is for a search, and no condition here searches: name a --corpus")
    if judging.judge_option and judging.judge_model is None:
        raise InputError("--judge-option needs a judge: name one with --judge-model")
    with ExitStack() as held:
        reader = ChoiceReader(
            options.reading.reader,
            reading.reader_backend,
            template=reading.reader_template,
            samples=reading.reader_samples,
            max_tokens=reading.max_tokens,
            temperature=reading.temperature,
            top_p=reading.top_p,
            seed=seed,
            **common.parse_options(reading.reader_option, "--reader-option"),
        )
        held.callback(reader.close)
        judge = rewriter = reranker = pipeline = None
        if judging.judge_model is not None:
            arguments = common.parse_options(judging.judge_option, "--judge-option")
            judge = Judge(judging.judge_model, judging.judge_backend, **arguments)
            held.callback(judge.close)
        if names.RERANK in conditions:
            reranker = options.reranking.reranker(None)
        if searching.rewrite is not None:
            rewriter = Rewriter(searching.rewrite, backend=reader.backend, seed=seed)
        if index is not None:
            pipeline = RagPipeline(
                index, rewriter=rewriter, reranker=reranker, k=searching.k, top_n=searching.top_n
            )
            held.callback(pipeline.close)
        yield _Parts(reader, judge, rewriter, reranker, pipeline)


def _settings(
    options: QuestionOptions,
    named: tuple[str, str],
    questions: tuple[MultipleChoice, ...],
    conditions: Collection[str],
    parts: _Parts,
    gate: Gate,
) -> dict[str, Any]:
    """What makes it this evaluation. Identities name models and wordings, never texts or keys."""
    texts = [text for q in questions for text in (q.id, q.question, *q.choices, q.answer, q.domain)]
    common_part = {
        "benchmark": " ".join(filter(None, named)),
        "questions": len(questions),
        "questions_sha256": hashed(texts),
        "texts": "left out" if gate.closed else "shown",
        "conditions": list(conditions),
        "reader": parts.reader.identity,
        "reader_samples": parts.reader.samples,
        "judge": parts.judge.identity if parts.judge else None,
        "seed": options.reranking.seed,
        "version": __version__,
    }
    searching = options.searching
    if parts.pipeline is None or searching.corpus is None:
        return common_part
    return common_part | {
        "corpus": corpus_fingerprint(searching.corpus),
        "retriever": searching.retriever,
        "depth": searching.k,
        "top_n": searching.top_n,
        "with_options": searching.with_options,
        "rewriter": parts.rewriter.identity if parts.rewriter else None,
        "reranker": parts.reranker.identity if parts.reranker else None,
    }


def _setup(options: QuestionOptions, named: tuple[str, str], parts: _Parts) -> Setup:
    reader, searching, reranker = parts.reader, options.searching, parts.reranker
    samples = f"{reader.samples} sample{'s' if reader.samples > 1 else ''}"
    asked = f"{reader.template.name}, {samples} at temperature {reader.temperature:g}"
    if parts.pipeline is None:
        return Setup(*named, options.reading.reader, asked)
    queries = "question and options" if searching.with_options else "question"
    return Setup(
        *named,
        options.reading.reader,
        f"{asked}, {searching.top_n} passages",
        first_stage=searching.retriever,
        queries=queries if searching.rewrite is None else f"{queries}, rewritten ({searching.rewrite})",
        depth=searching.k,
        recipe=reranker.recipe.name if reranker else "",
        model=options.reranking.model or (reranker.recipe.model if reranker else "") or "",
        backend=reranker.backend.name if reranker else "",
    )


def _texts(corpus: str | None) -> Callable[[Collection[str]], Mapping[str, Document]]:
    def texts(wanted: Collection[str]) -> dict[str, Document]:
        if corpus is None:
            return {}
        return {d.id: d for d in read_corpus(corpus) if d.id is not None and d.id in wanted}

    return texts
