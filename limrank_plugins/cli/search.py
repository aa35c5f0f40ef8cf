"""`limrank search` and `limrank index`: from a corpus and a query to reranked passages."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from limrank_plugins.backends.loading_time import loading_seconds
from limrank_plugins.checks import whole_number
from limrank_plugins.cli import common, reports_errors, reranking
from limrank_plugins.cli.reranking import RerankerOptions
from limrank_plugins.corpus import Corpus
from limrank_plugins.corpus_files import source_record, titled
from limrank_plugins.corpus_index import index_folder
from limrank_plugins.data import Hit, Query, Ranking
from limrank_plugins.errors import InputError
from limrank_plugins.failure_log import remarks
from limrank_plugins.folder_reading import Reading
from limrank_plugins.index_folders import is_index
from limrank_plugins.io import ranking_record
from limrank_plugins.retrievers.dense import DenseRetriever
from limrank_plugins.retrievers.feedback import search_again
from limrank_plugins.retrievers.languages import AUTO, DEFAULT
from limrank_plugins.unread import Unread
from limrank_plugins.wording import number_of, shortened, verb_for

_SHOWN = 240
"""Characters of a reasoning."""
NOTED_LOADING = 0.05
"""Seconds of loading below which nothing is said of it: no model was loaded, or a server is asked."""


@reports_errors
def search(
    corpus: common.CorpusName,
    query: Annotated[str, typer.Argument(help="What to look for.")],
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
    calibration: reranking.Calibration = None,
    field: common.Field = None,
    title_field: common.TitleField = None,
    passages: common.Passages = None,
    retriever: common.FirstStage = "bm25s",
    language: common.Language = "english",
    k: common.Depth = 100,
    top_n: common.TopN = 10,
    threshold: reranking.Threshold = None,
    feedback: Annotated[
        bool,
        typer.Option(
            "--feedback",
            help="With --retriever dense: move the query's vector towards the ranking, search again, rerank.",
        ),
    ] = False,
    store: common.StorePath = None,
    fresh: common.AskAnew = False,
    as_json: common.AsJson = False,
) -> None:
    """Search a corpus and rerank what is found. The index is built once and kept.

    The folder of an index that `limrank index -o` wrote is searched as it is, without the texts.
    """
    options = RerankerOptions(
        recipe, model, backend, reasoning, budget, samples, seed, max_reasoning_tokens, instruction, device,
        dtype, option, template, calibration, chunks=chunks,
    )  # fmt: skip
    options.check_recipe(top_n, threshold)
    whole_number("--k", k, least=1)
    searched, loaded = Query(query), loading_seconds()
    source = Corpus(corpus, field, title_field, passages)
    unread: list[Reading] = []
    index = common.open_index(source, retriever, language=language, noted=unread.append)
    if feedback and not isinstance(index, DenseRetriever):
        raise InputError(f"--feedback moves a query's vector: name --retriever dense, not {index.name}")
    started = time.perf_counter()
    candidates = index.search(searched, k)
    seconds = time.perf_counter() - started
    if not candidates:
        common.say(
            f"no passage of the {len(index):,} shares a word with the query: ask in other words, or by "
            f"meaning (--retriever dense)"
            + (", or name the language of the texts (--language)" if language in (DEFAULT, AUTO) else "")
        )
        if names := "".join(reading.unread_names() for reading in unread):
            common.say(f"what was not read may hold it: {names}")
    matching = len(candidates)
    with common.open_store(store, fresh=fresh) as opened:
        # What is wrong with the options is said even where nothing was found.
        reranker = options.reranker(opened)
        if not candidates and not as_json:
            return
        if isinstance(index, DenseRetriever) and feedback:
            candidates = search_again(index, searched, reranker.rank(searched, candidates), k)
        with reranking.reasoning_shown(reranker, len(candidates)):
            ranking = reranker.rank(searched, candidates, top_n=top_n, threshold=threshold)
    if as_json:
        _emit(ranking, len(candidates), loading_seconds() - loaded)
    else:
        show_ranking(ranking)
        if 0 < matching < min(k if top_n is None else min(k, top_n), len(index)):
            shares = f"{matching:,} of {number_of(len(index), 'passage')} {verb_for(matching, 'share')}"
            common.say(f"{shares} a word with the query", style="dim")
        priced = reranking.has_price(reranker)
        hinted = reranking.could_chunk(reranker)
        loading = loading_seconds() - loaded
        common.say(summary(ranking, len(candidates), seconds, loading=loading, priced=priced, chunks=hinted))
    if ranking.failures:
        common.end_with_failures(
            f"{len(ranking.failures):,} of {number_of(len(candidates), 'passage')} could not be judged "
            f"and keep their first-stage places: {ranking.failures[0].reason}. The same command asks again "
            f"for them"
        )


def _emit(ranking: Ranking, candidates: int, loading: float) -> None:
    """The ranking as JSON, with how many candidates there were and how long models were loaded."""
    record = ranking_record(ranking)
    for hit, entry in zip(ranking, record["hits"], strict=True):
        entry |= {"first_stage_rank": hit.index + 1, "first_stage_score": hit.document.prior}
        entry |= {"title": hit.document.title, "text": hit.document.text}
        entry |= source_record(hit.document)
    counts = {"candidates": candidates, **Unread.in_ranking(ranking).as_json()}
    times = {"loading_seconds": loading}
    query = {"query": ranking.query.text}
    common.emit(record | query | counts | reranking.usage_report(ranking.usage) | times)


def show_ranking(ranking: Ranking, marks: dict[str, str] | None = None) -> None:
    """A table of hits with the rank each one had before; `marks` adds a column by document id."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("rank", justify="right")
    table.add_column("was", justify="right")
    table.add_column("score", justify="right")
    if marks is not None:
        table.add_column("judged")
    table.add_column("passage", overflow="fold")
    for hit in ranking:
        moved = hit.index + 1 - hit.rank
        style = "green" if moved > 0 else "red" if moved < 0 else None
        score = "failed" if hit.failure else "" if hit.score is None else f"{hit.score:.3f}"
        title = shortened(titled(hit.document))
        cells = [str(hit.rank), str(hit.index + 1), score]
        if marks is not None:
            cells.append(marks.get(hit.id, ""))
        table.add_row(*cells, f"{title} · {preview(hit)}", style=style)
        if hit.piece is not None:
            decided = f"the one that decided, of {number_of(hit.piece.of, 'piece')}"
            table.add_row(*[""] * len(cells), f"  {decided}", style="dim")
        if hit.explanation:
            table.add_row(*[""] * len(cells), f"  reasoning: {_end_of(hit.explanation)}", style="dim")
    common.Terminal().print(table)


def preview(hit: Hit) -> str:
    """How what decided a hit's score begins: a part of its passage, or all of it."""
    if hit.piece is None:
        return shortened(hit.document.text, 121)
    return f"{'… ' if hit.piece.start else ''}{shortened(hit.piece.text, 121)}"


def _end_of(reasoning: str) -> str:
    """The last words of a reasoning, which lead to the verdict; "…" stands for what is not there."""
    text = " ".join(reasoning.split())
    begun = text if len(text) <= _SHOWN else f"… {text[-_SHOWN:].partition(' ')[2]}"
    return begun if begun.endswith((".", "!", "?", '"', ")")) else f"{begun} …"


def summary(
    ranking: Ranking,
    candidates: int,
    seconds: float,
    *,
    loading: float = 0.0,
    priced: bool = False,
    chunks: bool = False,
) -> str:
    """One line about what it took.

    Args:
        ranking: what came of it.
        candidates: how many the first stage found.
        seconds: how long it searched.
        loading: how long models were loaded.
        priced: what was asked may have a price: say what it cost.
        chunks: name the option that reads long passages, where some were cut.
    """
    usage = ranking.usage
    parts = [
        f"{number_of(candidates, 'candidate')} in {seconds * 1000:.0f} ms",
        *([f"model loaded in {loading:.1f} s"] if loading >= NOTED_LOADING else []),
        f"reranked in {usage.seconds:.2f} s",
        f"{number_of(usage.calls, 'model call')}, {number_of(usage.cached, 'reply')} from the store",
    ]
    if usage.generated_tokens:
        parts.append(f"{number_of(usage.generated_tokens, 'token')} written")
    units = [f"{usage.searches:g} search unit{'s' * (usage.searches != 1)}"] if usage.searches else []
    if units and usage.known_cost is None:
        parts.append(f"{units[0]} of unknown price")
    else:
        parts += units
        parts += reranking.cost_words(usage, priced=priced or usage.priced > 0)
    if not ranking.comparable and any(hit.score is not None for hit in ranking):
        parts.append(f"scores ({ranking.score_kind}) are for the order of this list alone")
    # What `remarks` says of the query says more.
    parts += replace(Unread.in_ranking(ranking), queries=0).sentences(chunks=chunks) + remarks([ranking])
    if usage.uncertain:
        parts.append(f"{number_of(usage.uncertain, 'try')} brought no reply, but may be charged for")
    if ranking.failures:
        parts.append(f"{len(ranking.failures)} could not be judged")
    return "; ".join(parts)


@reports_errors
def index(
    corpus: Annotated[str, typer.Argument(help="As for `limrank search`.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the index.", show_default="the cache")
    ] = None,
    field: common.Field = None,
    title_field: common.TitleField = None,
    passages: common.Passages = None,
    retriever: common.FirstStage = "bm25s",
    language: common.Language = "english",
    as_json: common.AsJson = False,
) -> None:
    """Build the index of a corpus; `limrank search` then finds it in the cache.

    With -o it goes into a folder of its own, to be copied or served without the texts: that folder is then
    the CORPUS of search, ask, rerank, serve and the others. What was not read of the corpus is said in full,
    also where the index is there already.
    """
    if is_index(corpus):
        raise InputError(f"{corpus!r} is an index already: `limrank search` searches it")
    source = Corpus(corpus, field, title_field, passages)
    where = output or index_folder(source, retriever, language)
    with nullcontext() if output is None else common.new_folder(output):
        built = common.open_index(source, retriever, language=language, folder=output, whole_notes=True)
    documents, cut = len(built), getattr(built, "cut_documents", 0)
    if as_json:
        report = {"retriever": retriever, "documents": documents, "folder": str(where)}
        if hasattr(built, "language"):
            report["language"] = built.language
        common.emit(report | ({"cut_documents": cut} if cut else {}))
    else:
        cut_short = (
            f", of which {cut:,} {'is' if cut == 1 else 'are'} longer than the encoder reads" if cut else ""
        )
        common.tell(f"{number_of(documents, 'document')} in {where}{cut_short}")
