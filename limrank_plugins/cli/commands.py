"""The ground floor's own subcommands."""

from __future__ import annotations

import typer

from limrank_plugins.cli.later import add_later

_COMMANDS = {
    "search": "Search a corpus and rerank what is found.",
    "index": "Build the index of a corpus; `limrank search` then finds it in the cache.",
    "rerank": "Rerank the candidates of every query.",
    "serve": "Serve rerankers to clients of Cohere, Jina, LlamaIndex, Haystack and whatever asks a /rerank.",
    "expand": "Weigh the tokens of every passage of a corpus, so that `--recipe tildev2` asks no model.",
    "recipes": "List the ranking methods, or describe some of them.",
    "doctor": "Look at the installation.",
    "demo": "Search the sample collection with BM25, rerank, and show what moved; or a model's reasoning.",
}
# The others are functions of their own name, in a module of that name.
_ELSEWHERE = {"index": "search:index", "recipes": "show:recipes", "serve": "serve:serve_app"}


def register(app: typer.Typer) -> None:
    """Add them to the console script."""
    for name, summary in _COMMANDS.items():
        add_later(app, name, f"limrank_plugins.cli.{_ELSEWHERE.get(name, f'{name}:{name}')}", summary)
    add_later(app, "prompt", "limrank_plugins.cli.show:prompt_app", "Show prompts.")
