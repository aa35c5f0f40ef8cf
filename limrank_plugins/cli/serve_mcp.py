"""`limrank serve mcp`: the tools `search` and `rerank` for agents."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Annotated

import typer

from limrank_plugins.cli import common, reports_errors, reranking, serving
from limrank_plugins.cli.corpora import Corpora, named_corpora, open_corpora
from limrank_plugins.cli.reranking import RerankerOptions
from limrank_plugins.cli.serving import DEFAULTS, loaded_rerankers, named_recipes
from limrank_plugins.errors import InputError, require
from limrank_plugins.server import Limits


@reports_errors
def mcp(
    corpus: Corpora = None,
    recipe: reranking.Recipe = None,
    model: reranking.Model = None,
    named: serving.Named = None,
    retriever: common.FirstStage = "bm25s",
    language: common.Language = "english",
    k: common.Depth = 100,
    http: Annotated[
        bool, typer.Option("--http", help="Streamable HTTP on this machine instead of stdin and stdout.")
    ] = False,
    port: Annotated[int, typer.Option(help="With --http; 0 for any that is free.", min=0, max=65535)] = 8081,
    max_documents: serving.MaxDocuments = DEFAULTS.documents,
    max_document_characters: serving.MaxDocumentCharacters = DEFAULTS.document_characters,
    max_query_characters: serving.MaxQueryCharacters = DEFAULTS.query_characters,
    max_characters: serving.MaxCharacters = DEFAULTS.characters,
    max_body: serving.MaxBody = DEFAULTS.body,
    queue: serving.Queue = DEFAULTS.queue,
    seconds: serving.Seconds = DEFAULTS.seconds,
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
) -> None:
    """Serve the tools search and rerank to agents, over the Model Context Protocol (MCP).

    An agent starts this command itself and speaks with it over stdin and stdout; it ends when stdin is
    closed. What is to be read by a person goes to stderr.
    """
    require("mcp", "mcp", "limrank serve mcp")
    limits = Limits(
        body=max_body,
        documents=max_documents,
        document_characters=max_document_characters,
        query_characters=max_query_characters,
        characters=max_characters,
        queue=queue,
        seconds=seconds,
    )
    if k < 1 or k > limits.documents:
        raise InputError(f"--k must be from 1 to --max-documents={limits.documents}, but got {k}")
    others = named_recipes(named or [])
    corpora = named_corpora(corpus or [])
    options = RerankerOptions(
        recipe, model, backend, reasoning, budget, samples, seed, max_reasoning_tokens, instruction, device,
        dtype, option, template, calibration, chunks=chunks,
    )  # fmt: skip
    from limrank_plugins.server import running, tool_transports
    from limrank_plugins.server.tools import ToolServer

    with ExitStack() as held:
        with _stdout_as_stderr():
            rerankers = held.enter_context(loaded_rerankers(options, others))
            indexes = open_corpora(corpora, retriever, language)
        tools = ToolServer(rerankers, indexes, limits=limits, depth=k)
        served = f"rerankers: {', '.join(rerankers)}; corpora: {', '.join(indexes)}"
        if http:
            listener = running.listen("127.0.0.1", port)
            address = f"MCP at {running.url_of(listener)}{tool_transports.PATH}"
            started = partial(common.say, f"{address}; {served}")
            if not tool_transports.serve_http(tools, listener, limits, started):
                common.end_with_failures("ended by a second signal; accepted calls are not answered")
        else:
            common.say(f"MCP over stdin and stdout; {served}")
            tool_transports.serve_stdio(tools)


@contextmanager
def _stdout_as_stderr() -> Iterator[None]:
    """What libraries print inside, in whatever language, is no message of the protocol: it goes to stderr."""
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
