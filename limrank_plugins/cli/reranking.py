"""The options of every command that reranks, and the reranker that they ask for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from limrank_plugins.arguments import takes_chunks
from limrank_plugins.backends import backend_class
from limrank_plugins.backends.protocols import Generate
from limrank_plugins.backends.streaming import listening
from limrank_plugins.cli import common
from limrank_plugins.cli.flags import in_flags, said_in_flags
from limrank_plugins.data import Usage
from limrank_plugins.errors import InputError
from limrank_plugins.model_kinds import check_model_kind
from limrank_plugins.prices import VARIABLE
from limrank_plugins.prompts import template_names
from limrank_plugins.rankings import CutNames, check_cut, check_threshold
from limrank_plugins.recipes import last_part, load_recipe, recipe_names
from limrank_plugins.reranker import Reranker
from limrank_plugins.store import Store
from limrank_plugins.wording import exact_dollars, in_dollars

DEFAULT_RECIPE = "mini"

Recipe = Annotated[
    str | None,
    typer.Option(
        help="How to rerank; see `limrank recipes`. Default: mini.",
        show_default=False,
        autocompletion=common.complete(recipe_names),
    ),
]
Model = Annotated[
    str | None,
    typer.Option(help="Folder, hub name or GGUF file of the model, or smollm2.", show_default=False),
]
Backend = Annotated[str | None, typer.Option(help="How to run the model.", show_default=False)]
Reasoning = Annotated[
    str | None,
    typer.Option(
        help="full (think first), none (one forward pass) or auto (where it can change the top).",
        show_default=False,
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        help="Most spent on a query with --reasoning auto or --recipe cascade: '20 documents', "
        "'50000 tokens', '5 seconds'.",
        show_default=False,
    ),
]
Samples = Annotated[int, typer.Option(help="Reasonings per passage, averaged.")]
Seed = Annotated[int, typer.Option(help="Of the sampling.")]
MaxReasoningTokens = Annotated[
    int | None,
    typer.Option(
        help="Budget of the reasoning; default: the template's or the recipe's.", show_default=False
    ),
]
Template = Annotated[
    str | None,
    typer.Option(
        help="Another prompt template: a name of `limrank prompt list`, or a .toml file. Default: the "
        "recipe's; what the model was not trained with is asked in a chat.",
        show_default=False,
        autocompletion=common.complete(template_names),
    ),
]
Calibration = Annotated[
    Path | None,
    typer.Option(help="What `limrank calibrate` wrote: scores become probabilities.", show_default=False),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        help="Keep documents with at least this score (before --top-n), for scores that are comparable "
        "between queries; with --calibration, a probability.",
        show_default=False,
    ),
]
Chunks = Annotated[
    str | None,
    typer.Option(
        help="Judge a passage that is too long by its pieces: max (the best one's score), first, mean-top-2; "
        "'max:300 words' says how long a piece is. For recipes that score each passage alone.",
        show_default=False,
    ),
]
Batch = Annotated[int, typer.Option(help="Queries ranked in lockstep and committed together.")]
Options = Annotated[
    list[str] | None,
    typer.Option(
        help="An argument of the backend as key=value, for example base_url=http://localhost:8000/v1 "
        "or adapter=folder; repeat for more.",
        show_default=False,
    ),
]


def recipe_and_model(spec: str, flag: str, *, name: str = "") -> tuple[str, str | None]:
    """Recipe and model of a reranker that is written RECIPE or RECIPE@MODEL.

    Args:
        spec: as it was written.
        flag: that it was given with, for messages.
        name: that was written before it, where the flag wants NAME=RECIPE.

    Raises:
        InputError: it is not written so.
    """
    recipe, at, model = spec.partition("@")
    if not recipe or (at and not model):
        before = "NAME=" if name else ""
        spelled = f"{name}={spec}" if name else repr(spec)
        raise InputError(f"{flag} must be written {before}RECIPE or {before}RECIPE@MODEL, but got {spelled}")
    return recipe, model or None


def recipe_or_default(recipe: str | None) -> str:
    """The recipe named, or mini, which is said on stderr."""
    if recipe is not None:
        return recipe
    common.say(
        "recipe: mini, the embedded default (for LIMRANK-7B: --recipe limrank --model songtingyu/limrank)"
    )
    return DEFAULT_RECIPE


@dataclass(frozen=True)
class RerankerOptions:
    """What those options were set to, in the order in which commands take them."""

    recipe: str | None
    model: str | None
    backend: str | None
    reasoning: str | None
    budget: str | None
    samples: int
    seed: int
    max_reasoning_tokens: int | None
    instruction: str | None
    device: str | None
    dtype: str | None
    option: list[str] | None
    template: str | None
    calibration: Path | None = None
    chunks: str | None = None

    def check_recipe(self, top_n: int | None, threshold: float | None = None) -> None:
        """Refuse before a corpus is indexed what there is not, or cannot be meant: recipe, model and cut.

        Raises:
            InputError: as for `load_recipe`, `check_model_kind`, `check_cut` and `check_threshold`.
        """
        with said_in_flags():
            recipe = load_recipe(DEFAULT_RECIPE if self.recipe is None else self.recipe)
            check_model_kind(last_part(recipe), self.backend, self.model)
        names = CutNames("--top-n", "--threshold")
        check_cut(top_n, threshold, names)
        check_threshold(recipe, threshold, names)

    def arguments(self) -> dict[str, Any]:
        """The arguments of `Reranker`; says on stderr which recipe is used where none is named.

        Raises:
            InputError: an `--option` without a key or a value, or a backend that needs a recipe to be named.
        """
        backend = None if self.recipe is not None else self.backend
        if backend is not None and not hasattr(backend_class(backend), "encode"):
            raise InputError(
                f"--backend {backend} cannot run the default recipe, mini: name one that it can, such as "
                f"--recipe limrank"
            )
        named = {
            "device": self.device,
            "dtype": self.dtype,
            "template": self.template,
            "calibration": None if self.calibration is None else str(self.calibration),
            "chunks": self.chunks,
        }
        return {
            "recipe": recipe_or_default(self.recipe),
            "model": self.model,
            "backend": self.backend,
            "reasoning": self.reasoning,
            "budget": self.budget,
            "samples": self.samples,
            "seed": self.seed,
            "max_reasoning_tokens": self.max_reasoning_tokens,
            "instruction": self.instruction,
            **common.parse_options(self.option, "--option"),
            **{name: value for name, value in named.items() if value is not None},
        }

    def reranker(self, store: Store | None) -> Reranker:
        """The reranker; errors as for `Reranker` and `arguments`."""
        return told_reranker(store=store, **self.arguments())


def could_chunk(reranker: Reranker) -> bool:
    """Whether long passages could be judged by their pieces, and are not."""
    return reranker.settings.chunks is None and takes_chunks(reranker.recipe)


def told_reranker(**arguments: Any) -> Reranker:
    """The reranker; says on stderr which template it asks with where it chose, and what to doubt."""
    with said_in_flags():
        reranker = Reranker(**arguments)
    if reranker.template_reason:
        common.say(f"prompt: {in_flags(reranker.template_reason)}")
    if doubt := reranker.calibration_doubt:
        common.say(f"note: {in_flags(doubt)}")
    return reranker


def has_price(reranker: Reranker) -> bool:
    """Whether what it asks could have a price: a model on this machine has none."""
    return hasattr(reranker.backend, "price") or any(map(has_price, reranker.parts))


def cost_words(usage: Usage, *, priced: bool) -> list[str]:
    """What it cost, in a sentence; none where nothing has a price (`has_price`)."""
    if not priced:
        return []
    if usage.known_cost is None:
        known = f"{in_dollars(usage.cost)} and calls" if usage.cost else "calls"
        return [
            f"cost not known: {known} of a model without a known price (give token_price and the like as "
            f"--option, or a table in {VARIABLE})"
        ]
    if not usage.calls:
        return [
            f"{in_dollars(0)}: {'all replies were in the store' if usage.cached else 'nothing was asked'}"
        ]
    return [in_dollars(usage.cost)]


def usage_report(usage: Usage) -> dict[str, Any]:
    """What was asked and what it cost, as JSON; the cost is null where it is not known."""
    known = None if usage.known_cost is None else exact_dollars(usage.known_cost)
    return {"cost": known, "usage": asdict(usage) | {"cost": exact_dollars(usage.cost)}}


@contextmanager
def reasoning_shown(reranker: Reranker, documents: int) -> Iterator[None]:
    """While each document is reasoned about on this machine, a bar on stderr grows with the tokens written.

    Args:
        reranker: asked within the block; where it does not reason about each document, nothing is shown.
        documents: how many it will be given.
    """
    settings = reranker.settings
    if settings.reasoning != "full" or reranker.recipe.wrapper is not None or reranker.recipe.permutes:
        yield
        return
    most = documents * settings.samples * settings.max_reasoning_tokens
    with common.progress_bars() as show:
        written = 0

        def heard(_request: Generate, _piece: str) -> None:
            nonlocal written
            written += 1
            show("reasoning, tokens of at most", written, most)

        with listening(heard):
            yield
