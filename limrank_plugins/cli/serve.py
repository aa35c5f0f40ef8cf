"""`limrank serve`: rerankers behind an address, in the shape of Cohere's and Jina's `/rerank`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from limrank_plugins.cli import common, reports_errors, reranking, serve_mcp, serving
from limrank_plugins.cli.corpora import Corpora, named_corpora, open_corpora
from limrank_plugins.cli.reranking import RerankerOptions
from limrank_plugins.cli.serving import DEFAULTS, loaded_rerankers, named_recipes
from limrank_plugins.corpus import is_samples
from limrank_plugins.errors import InputError
from limrank_plugins.files import read_lines
from limrank_plugins.server import Hosts, Limits, ServedCorpus, build_app, require_extra
from limrank_plugins.server.hosts import is_loopback
from limrank_plugins.server.served_corpus import sample_queries
from limrank_plugins.wording import verb_for

serve_app = typer.Typer(rich_markup_mode=None)


@serve_app.callback(invoke_without_command=True)
@reports_errors
def serve(
    context: typer.Context,
    recipe: reranking.Recipe = None,
    model: reranking.Model = None,
    named: serving.Named = None,
    corpus: Corpora = None,
    retriever: common.FirstStage = "bm25s",
    language: common.Language = "english",
    page: Annotated[bool, typer.Option(help="A page at / to look at what reranking does.")] = True,
    host: Annotated[
        str, typer.Option(help="Where to listen; 0.0.0.0 for all addresses of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 for any that is free.", min=0, max=65535)] = 8080,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="Tokens, one on a line: one of them must be sent as Authorization: Bearer.",
            show_default=False,
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A name that this server is asked by; repeat for more.", show_default=False),
    ] = None,
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
    """Serve rerankers to clients of Cohere, Jina, LlamaIndex, Haystack and whatever asks a /rerank.

    Options of models are those of the unnamed reranker, which clients ask by its recipe's name; --device and
    --dtype are those of all. Ctrl-C or SIGTERM ends the server when it has answered what it accepted.
    """
    if context.invoked_subcommand is not None:
        common.refuse_options_before(context)
        return
    require_extra()
    limits = Limits(
        body=max_body,
        documents=max_documents,
        document_characters=max_document_characters,
        query_characters=max_query_characters,
        characters=max_characters,
        queue=queue,
        seconds=seconds,
    )
    tokens = [] if token_file is None else read_tokens(token_file)
    others = named_recipes(named or [])
    corpora = named_corpora(corpus or [])
    options = RerankerOptions(
        recipe, model, backend, reasoning, budget, samples, seed, max_reasoning_tokens, instruction, device,
        dtype, option, template, calibration, chunks=chunks,
    )  # fmt: skip
    from limrank_plugins.server import running

    with running.listen(host, port) as listener, loaded_rerankers(options, others) as rerankers:
        app = build_app(
            rerankers,
            corpora={
                name: ServedCorpus(index, sample_queries() if is_samples(corpora[name]) else ())
                for name, index in open_corpora(corpora, retriever, language).items()
            },
            limits=limits,
            tokens=tokens,
            hosts=Hosts.of(host, allow_host or ()),
            page=page,
        )
        if not is_loopback(host) and not tokens:
            common.say(
                f"note: whoever reaches {host} can use these models, as no token is asked for: "
                f"give --token-file, or listen on 127.0.0.1"
            )
        if unscaled := [name for name, reranker in rerankers.items() if not reranker.recipe.comparable]:
            common.say(
                f"note: what {' and '.join(unscaled)} {verb_for(len(unscaled), 'give')} as relevance_score "
                f"is the place in one list (score_kind rank): a threshold on it means nothing"
            )
        url = running.url_of(listener)
        is_finished = running.serve(app, listener, lambda: _tell(url, list(rerankers), token_file, page=page))
    if not is_finished:
        common.end_with_failures("ended by a second signal; requests that were accepted are not answered")


serve_app.command("mcp")(serve_mcp.mcp)


def read_tokens(path: Path) -> list[str]:
    """The tokens in a file, one on a line; empty lines and those that begin with # are none.

    Raises:
        InputError: there is none, or one that no header can hold.
    """
    lines = [line.strip() for _, line in read_lines(path)]
    tokens = [line for line in lines if line and not line.startswith("#")]
    if not tokens:
        raise InputError(f"{path} holds no token: write one on a line")
    for number, token in enumerate(tokens, start=1):
        if not token.isascii() or not token.isprintable() or " " in token:
            raise InputError(
                f"token {number} of {path} holds a space or a character that no header can hold: "
                f"use ASCII letters, digits and signs"
            )
    return tokens


def _prints_token(path: Path) -> str:
    """A command of the shell that prints the first token, as `read_tokens` reads it."""
    return f"grep -m 1 '^[[:space:]]*[^#[:space:]]' {shlex.quote(str(path))} | tr -d '[:space:]'"


def _tell(url: str, names: list[str], token_file: Path | None, *, page: bool) -> None:
    common.tell(f"serving {', '.join(names)} at {url}/rerank; Ctrl-C ends it when all is answered")
    token = "" if token_file is None else f' -H "Authorization: Bearer $({_prints_token(token_file)})"'
    common.tell(
        f"curl {url}/rerank -H 'Content-Type: application/json'{token} "
        f'-d \'{{"query": "why does milk go lumpy in tea", '
        f'"documents": ["Bread rises.", "Acid curdles milk."]}}\''
    )
    if page:
        common.tell(f"{url}/ is a page that shows what reranking does")
