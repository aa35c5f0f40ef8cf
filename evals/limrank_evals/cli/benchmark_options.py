"""The options that only one benchmark has, as `limrank eval NAME` takes them; `load` in its task reads them.

A function stands for a benchmark: its parameters are the options, with the defaults of `load`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from limrank_evals.loaders.bright import SHORT_ONLY

Images = Annotated[
    bool, typer.Option("--images/--no-images", help="Show the images, too; all are in memory at once.")
]


def bright(
    long: Annotated[
        bool,
        typer.Option(
            "--long", help=f"Whole pages, judged as such; not for {', '.join(SHORT_ONLY)}, which have none."
        ),
    ] = False,
    queries: Annotated[
        str,
        typer.Option(
            help="What the first stage searches with: original, or a configuration of reasoning queries, "
            "such as gpt4_reason. The reranker is shown the original query in any case."
        ),
    ] = "original",
    qrels: Annotated[
        str | None,
        typer.Option(
            help="Other judgements than the published ones: a file, a path with {split} in it, or a folder.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """BRIGHT's."""


def litsearch(
    averaging: Annotated[
        str,
        typer.Option(
            help="published (specific questions R@5, broad ones R@20), mteb (all together) or both."
        ),
    ] = "both",
) -> None:
    """LitSearch's."""


def rankify(
    retriever: Annotated[str, typer.Option(help="Whose lists: a folder of the source.")] = "bm25",
    passages: Annotated[
        Path | None,
        typer.Option(help="DPR's psgs_w100.tsv, for files without texts.", show_default=False),
    ] = None,
) -> None:
    """Rankify's."""


def mmdocir(
    text: Annotated[str, typer.Option(help="Beside an image, or for it: ocr_text or vlm_text.")] = "ocr_text",
    images: Images = True,
    domain: Annotated[
        str,
        typer.Option(help="Only documents of this domain, for example 'Academic paper'.", show_default=False),
    ] = "",
) -> None:
    """MMDocIR's."""


def mbeir(
    pool: Annotated[
        str, typer.Option(help="local (the task's own candidates) or union (all tasks').")
    ] = "local",
    told: Annotated[
        int, typer.Option(help="Which of M-BEIR's instructions every query carries, from 0; -1 for none.")
    ] = 0,
    images: Images = True,
) -> None:
    """M-BEIR's."""


def webqa(
    modality: Annotated[
        str,
        typer.Option(
            help="all; or image or text: questions answered by such, among facts of that kind only."
        ),
    ] = "all",
    images: Images = True,
) -> None:
    """WebQA's."""


def folder(
    name: Annotated[
        str, typer.Option(help="What results call it; default: the folder's name.", show_default=False)
    ] = "",
) -> None:
    """Those of a folder."""


OWN_OPTIONS: dict[str, Callable[..., None]] = {
    "bright": bright,
    "litsearch": litsearch,
    "rankify": rankify,
    "mmdocir": mmdocir,
    "mbeir": mbeir,
    "webqa": webqa,
    "folder": folder,
}
"""By benchmark; one that is not here has no options of its own."""
