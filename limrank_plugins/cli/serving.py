"""What the commands that serve rerankers share: their options, and the rerankers that they name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated

import typer

from limrank_plugins.cli import common
from limrank_plugins.cli.reranking import RerankerOptions, recipe_and_model, told_reranker
from limrank_plugins.errors import InputError
from limrank_plugins.reranker import Reranker
from limrank_plugins.server import Limits

DEFAULTS = Limits()

Named = Annotated[
    list[str] | None,
    typer.Option(
        help="Another reranker, which clients ask by this name: NAME=RECIPE or NAME=RECIPE@MODEL; repeat "
        "for more. Without --recipe and --model these are all.",
        show_default=False,
    ),
]
MaxDocuments = Annotated[int, typer.Option(help="Documents of a request at most.")]
MaxDocumentCharacters = Annotated[int, typer.Option(help="Characters of a document at most.")]
MaxQueryCharacters = Annotated[int, typer.Option(help="Characters of a query at most.")]
MaxCharacters = Annotated[int, typer.Option(help="Characters of all documents of a request at most.")]
MaxBody = Annotated[int, typer.Option(help="Bytes of a request at most.")]
Queue = Annotated[int, typer.Option(help="Requests accepted at a time.")]
Seconds = Annotated[float, typer.Option(help="How long a request may take.")]


def named_recipes(named: list[str]) -> dict[str, tuple[str, str | None]]:
    """Recipe and model of each name.

    Raises:
        InputError: one that is not written NAME=RECIPE or NAME=RECIPE@MODEL, or a name that comes twice.
    """
    recipes: dict[str, tuple[str, str | None]] = {}
    for name, value in common.key_values(named, "--named"):
        recipe, model = recipe_and_model(value, "--named", name=name)
        if name in recipes:
            raise InputError(f"two rerankers are called {name!r}: give --named another name")
        recipes[name] = recipe, model
    return recipes


@contextmanager
def loaded_rerankers(
    options: RerankerOptions, others: dict[str, tuple[str, str | None]]
) -> Iterator[dict[str, Reranker]]:
    """The rerankers by name, loaded, until the block ends: the one of the options, then the others.

    Where there are others, the one of the options is among them only if its recipe or model is given.

    Raises:
        InputError: two have the same name; else as for `Reranker`.
    """
    from limrank_plugins.server.named_reranker import warm_up

    with ExitStack() as held:
        rerankers: dict[str, Reranker] = {}
        if not others or options.recipe is not None or options.model is not None:
            reranker = options.reranker(None)
            held.callback(reranker.close)
            rerankers[reranker.recipe.name] = reranker
            warm_up(reranker)
        places = {"device": options.device, "dtype": options.dtype}
        chosen = {name: value for name, value in places.items() if value is not None}
        for name, (recipe, model) in others.items():
            if name in rerankers:
                raise InputError(f"two rerankers are called {name!r}: give --named another name")
            rerankers[name] = told_reranker(recipe=recipe, model=model, **chosen)
            held.callback(rerankers[name].close)
            warm_up(rerankers[name])
        yield rerankers
