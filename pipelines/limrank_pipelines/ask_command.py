"""`limrank ask`: from a corpus and a question to an answer with its sources."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from limrank_pipelines.first_stage import Searches
from limrank_pipelines.hybrid import HybridRetriever
from limrank_pipelines.rag import Answer, RagPipeline, StageFailure
from limrank_pipelines.reader import Reader
from limrank_pipelines.rewriter import Rewriter
from limrank_plugins.backends.loading_time import loading_seconds
from limrank_plugins.backends.smollm_weights import SMOLLM2
from limrank_plugins.checks import whole_number
from limrank_plugins.cli import common, reports_errors, reranking
from limrank_plugins.cli.reranking import RerankerOptions
from limrank_plugins.cli.search import NOTED_LOADING, show_ranking, summary
from limrank_plugins.corpus import Corpus
from limrank_plugins.corpus_files import source_record, titled
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError
from limrank_plugins.index_folders import is_index
from limrank_plugins.pipes import is_pipe, regular_file
from limrank_plugins.retrievers import takes_language
from limrank_plugins.retrievers.languages import DEFAULT
from limrank_plugins.store import Store
from limrank_plugins.unread import Unread
from limrank_plugins.wording import exact_dollars, number_of, shortened

ReaderBackend = Annotated[
    str, typer.Option(help="How to run the reader: transformers, llama-cpp, vllm, openai.")
]
Rewrite = Annotated[
    str | None,
    typer.Option(
        help="Let the reader's model rewrite the question for the search: reasoning, hyde, keywords.",
        show_default=False,
    ),
]


@reports_errors
def ask(
    corpus: Annotated[str, typer.Argument(help="As for `limrank search`.")],
    question: Annotated[str, typer.Argument(help="What to answer.")],
    reader: Annotated[
        str | None,
        typer.Option(
            help="Folder, hub name or served name of an instruction-tuned model that writes the answer. "
            "Without one, the passages are shown.",
            show_default=False,
        ),
    ] = None,
    reader_backend: ReaderBackend = "transformers",
    reader_option: Annotated[
        list[str] | None,
        typer.Option(
            help="An argument of the reader's backend as key=value, for example "
            "base_url=http://localhost:8000/v1 or device=cuda; repeat for more.",
            show_default=False,
        ),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            help="Budget of the answer, reasoning before it included; default 1,024.", show_default=False
        ),
    ] = None,
    rewrite: Rewrite = None,
    recipe: reranking.Recipe = None,
    model: reranking.Model = None,
    backend: reranking.Backend = None,
    reasoning: reranking.Reasoning = None,
    budget: reranking.Budget = None,
    samples: reranking.Samples = 1,
    seed: reranking.Seed = 0,
    max_reasoning_tokens: reranking.MaxReasoningTokens = None,
    instruction: common.Instruction = None,
    device: common.Device = None,
    dtype: common.Dtype = None,
    option: reranking.Options = None,
    template: reranking.Template = None,
    chunks: reranking.Chunks = None,
    field: common.Field = None,
    title_field: common.TitleField = None,
    passages: common.Passages = None,
    retriever: Annotated[
        str,
        typer.Option(
            help="First stage: bm25s, rank_bm25, lucene, dense; or several joined by +, as in bm25s+dense, "
            "fused by reciprocal ranks.",
            callback=common.kept_as_given,
        ),
    ] = "bm25s",
    language: common.Language = "english",
    k: common.Depth = 100,
    top_n: Annotated[int, typer.Option(help="How many passages are read.")] = 5,
    store: common.StorePath = None,
    fresh: common.AskAnew = False,
    as_json: common.AsJson = False,
) -> None:
    """Answer a question from a corpus, with the passages the answer rests on."""
    reranker_options = RerankerOptions(
        recipe, model, backend, reasoning, budget, samples, seed, max_reasoning_tokens, instruction, device,
        dtype, option, template, chunks=chunks,
    )  # fmt: skip
    reranker_options.check_recipe(top_n)
    whole_number("--k", k, least=1)
    query = Query(question)
    of_reader = [
        ("--rewrite", rewrite),
        ("--reader-option", reader_option),
        ("--max-tokens", max_tokens),
    ]
    for name, value in of_reader:
        if reader is None and value is not None:
            raise InputError(f"{name} needs a model that writes: name one with --reader")
    if reader is not None:
        _check_reader(reader, reader_backend)
    index = first_stage(Corpus(corpus, field, title_field, passages), retriever, language)
    with common.open_store(store, fresh=fresh) as replies:
        reranker = reranker_options.reranker(replies)
        answering: Reader | None = None
        if reader is not None:
            options = common.parse_options(reader_option, "--reader-option")
            options |= {"max_tokens": max_tokens, "seed": seed}
            answering = Reader(reader, reader_backend, store=replies, **options)
        pipeline = RagPipeline(
            index,
            rewriter=_rewriter(rewrite, answering, replies, seed),
            reranker=reranker,
            reader=answering,
            k=k,
            top_n=top_n,
        )
        loaded = loading_seconds()
        answer = pipeline.ask(query)
        loading = loading_seconds() - loaded
        pipeline.close()
    if as_json:
        common.emit(answer_record(answer))
    else:
        _show(answer, loading)
    failed = _failed(answer)
    if failed:
        stages = ", ".join(dict.fromkeys(failure.stage for failure in failed))
        common.end_with_failures(
            f"failed to {stages}: {failed[0].reason}. The same command asks again for what failed"
        )


def _check_reader(reader: str, backend: str) -> None:
    """Refuse the name of a served model where it can only be looked for on the hub, which takes a while.

    Raises:
        InputError: a model in this process, whose name is neither a path nor one of the hub's.
    """
    is_local = backend in ("transformers", "vllm") and reader != SMOLLM2
    if is_local and "/" not in reader and not Path(reader).exists():
        raise InputError(
            f"there is no folder {reader!r} here, and models of the hub are called ORG/NAME: for one that a "
            f"server has, OpenAI's as well, give --reader-backend openai"
        )


def first_stage(corpus: Corpus, named: str, language: str = DEFAULT) -> Searches:
    """The index of a corpus by name: loaded if it is there, else built and saved; `a+b` fuses two.

    Args:
        corpus: its name.
        named: the first stages.
        language: of those that find words; of several, one must.

    Raises:
        InputError: no such corpus, first stage or language.
    """
    names = named.split("+")
    if len(names) == 1:
        return common.open_index(corpus, named, language=language)
    if is_index(corpus.name):
        raise InputError(
            f"{corpus.name!r} is an index of one first stage, but --retriever {named} fuses "
            f"{len(names)}: leave it out, or name the texts"
        )
    if is_pipe(corpus.name):
        regular_file(corpus.name, "corpus")
    of_words = [name for name in names if takes_language(name)]
    return HybridRetriever(
        [
            common.open_index(
                corpus, name, language=language if name in of_words or not of_words else DEFAULT
            )
            for name in names
        ]
    )


def answer_record(answer: Answer) -> dict[str, Any]:
    """An answer as JSON: everything but the candidates that were not read."""
    hits = {hit.id: hit for hit in answer.ranking or ()}

    def passage(number: int, document: Document) -> dict[str, Any]:
        record: dict[str, Any] = {"number": number, "id": document.id}
        hit = hits.get(document.id or "")
        if hit is not None:
            record |= {"score": hit.score, "first_stage_rank": hit.index + 1, "failure": hit.failure}
            record |= {"cut_tokens": hit.cut_tokens}
        return record | {"title": document.title, "text": document.text} | source_record(document)

    cited = [citation.number for citation in answer.citations]
    return {
        "query": answer.query.text,
        "searched": answer.query.text if answer.rewritten is None else answer.rewritten.query.text,
        "answer": answer.text,
        "abstained": answer.abstained,
        "citations": [{"number": citation.number, "id": citation.id} for citation in answer.citations],
        "passages": [
            passage(number, document) | {"cited": number in cited}
            for number, document in enumerate(answer.passages, start=1)
        ],
        "candidates": len(answer.candidates),
        "recipe": None if answer.ranking is None else answer.ranking.recipe,
        "failures": [{"stage": failure.stage, "reason": failure.reason} for failure in answer.failures],
        "repairs": answer.repairs,
        "query_cut_tokens": 0 if answer.ranking is None else answer.ranking.query_cut_tokens,
        **(Unread() if answer.ranking is None else Unread.in_ranking(answer.ranking)).as_json(),
        "reader_cut_tokens": answer.cut_tokens,
        "timings": dict(answer.timings),
        "usage": asdict(answer.usage) | {"cost": exact_dollars(answer.usage.cost)},
    }


def _rewriter(method: str | None, reader: Reader | None, store: Store, seed: int) -> Rewriter | None:
    if method is None or reader is None:
        return None
    return Rewriter(method, backend=reader.backend, store=store, seed=seed)


def _show(answer: Answer, loading: float) -> None:
    """The answer with its passages; `loading`: how long models were loaded meanwhile."""
    if answer.text is None:
        _show_passages(answer)
    if "read" not in answer.timings and answer.candidates:
        common.say("no reader is named: these are the passages; --reader MODEL writes an answer from them")
    elif answer.text is not None:
        common.tell(answer.text)
        for citation in answer.citations:
            document = citation.document
            common.tell(f"\n[{citation.number}] {shortened(titled(document))}: {_short(document)}")
        if not answer.citations:
            common.tell("\nIt names none of the passages that were read:")
            _list_passages(answer)
    last = _failed(answer)[:1]  # the command ends with it
    for failure in answer.failures:
        if failure not in last:
            common.say(f"{failure.stage}: {failure.reason}")
    if answer.ranking is not None:
        common.say(summary(answer.ranking, len(answer.candidates), answer.timings["retrieve"]))
    if answer.cut_tokens:
        common.say(
            f"read: {number_of(answer.cut_tokens, 'token')} of the passages did not fit the reader's model"
        )
    times = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in answer.timings.items())
    with_loading = f", of which {loading:.2f} s went into loading" if loading >= NOTED_LOADING else ""
    common.say(times + with_loading)


def _failed(answer: Answer) -> list[StageFailure]:
    """What a model failed to do: not a search without hits, nor an answer without citations."""
    read = answer.text is None and answer.passages
    return [f for f in answer.failures if f.stage in ("rewrite", "rerank") or (f.stage == "read" and read)]


def _show_passages(answer: Answer) -> None:
    if answer.ranking is not None:
        show_ranking(answer.ranking)
    else:
        _list_passages(answer)


def _list_passages(answer: Answer) -> None:
    for number, document in enumerate(answer.passages, start=1):
        common.tell(f"[{number}] {shortened(titled(document))}: {_short(document)}")


def _short(document: Document) -> str:
    return shortened(document.text, 161)
