"""The reranker that a command's options ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from limrank_plugins.cli import common
from limrank_plugins.reranker import Reranker
from limrank_plugins.store import Store

DEFAULT_RECIPE = "mini"

Recipe = Annotated[
    str | None, typer.Option(help="How to rerank; see `limrank recipes`. Default: mini.", show_default=False)
]
Model = Annotated[str | None, typer.Option(help="Folder or hub name of the model.", show_default=False)]


@dataclass(frozen=True)
class RerankerOptions:
    """How to rerank, as every command that does so takes it; see `grouped`."""

    recipe: Recipe = None
    model: Model = None
    backend: Annotated[str | None, typer.Option(help="How to run the model.", show_default=False)] = None
    reasoning: Annotated[
        str | None,
        typer.Option(
            help="full (think first), none (one forward pass) or auto (where it can change the top).",
            show_default=False,
        ),
    ] = None
    budget: Annotated[
        str | None,
        typer.Option(
            help="Most spent on a query with --reasoning auto or --recipe cascade: '20 documents', "
            "'50000 tokens', '5 seconds'.",
            show_default=False,
        ),
    ] = None
    samples: Annotated[int, typer.Option(help="Thoughts per passage, averaged.")] = 1
    seed: Annotated[int, typer.Option(help="Of the sampling.")] = 0
    max_reasoning_tokens: Annotated[
        int | None, typer.Option(help="Budget of a thought; default: the recipe's.", show_default=False)
    ] = None
    instruction: common.Instruction = None
    device: common.Device = None
    dtype: common.Dtype = None
    option: Annotated[
        list[str] | None,
        typer.Option(
            help="An argument of the backend as key=value, for example base_url=http://localhost:8000/v1 "
            "or adapter=folder; repeat for more.",
            show_default=False,
        ),
    ] = None

    def arguments(self) -> dict[str, Any]:
        """The arguments of `Reranker`; says on stderr which recipe is used where none is named.

        Raises:
            InputError: an `--option` without a key or a value.
        """
        if self.recipe is None:
            common.say(
                "recipe: mini, the embedded default "
                "(for LIMRANK-7B: --recipe limrank --model songtingyu/limrank)"
            )
        given = {"device": self.device, "dtype": self.dtype}
        return {
            "recipe": DEFAULT_RECIPE if self.recipe is None else self.recipe,
            "model": self.model,
            "backend": self.backend,
            "reasoning": self.reasoning,
            "budget": self.budget,
            "samples": self.samples,
            "seed": self.seed,
            "max_reasoning_tokens": self.max_reasoning_tokens,
            "instruction": self.instruction,
            **common.parse_options(self.option or []),
            **{name: value for name, value in given.items() if value is not None},
        }

    def reranker(self, store: Store | None) -> Reranker:
        """The reranker; errors as for `Reranker` and `arguments`."""
        return Reranker(store=store, **self.arguments())


USUAL = RerankerOptions()
"""What stands as the default of a command's parameter."""
