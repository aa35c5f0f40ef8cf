"""`limrank expand`: weigh a corpus's tokens once, for `--recipe tildev2`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from limrank_plugins.backends.tildev2.quantise import check_bits
from limrank_plugins.checks import whole_number
from limrank_plugins.cli import common, reports_errors
from limrank_plugins.corpus import Corpus, all_documents
from limrank_plugins.wording import number_of, verb_for


@reports_errors
def expand(
    corpus: Annotated[str, typer.Argument(help="As for `limrank search`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the index.")],
    model: Annotated[
        str, typer.Option(help="Folder or hub name of a TILDEv2.")
    ] = "ielab/TILDEv2-TILDE200-exp",
    expansion: Annotated[
        str | None,
        typer.Option(
            help="Folder or hub name of a TILDE that adds tokens to passages, such as ielab/TILDE.",
            show_default="none",
        ),
    ] = None,
    top: Annotated[int, typer.Option(help="How many tokens the expansion looks at.")] = 200,
    bits: Annotated[
        int | None,
        typer.Option(help="8 or 16 for a smaller index; default: float32.", show_default=False),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Most passages in one forward pass on a GPU.")] = 32,
    field: common.Field = None,
    title_field: common.TitleField = None,
    passages: common.Passages = None,
    device: common.Device = None,
    dtype: common.Dtype = None,
    as_json: common.AsJson = False,
) -> None:
    """Weigh the tokens of every passage of a corpus, so that `--recipe tildev2` asks no model."""
    from limrank_plugins.backends.tildev2 import Expansion, TILDEv2, TILDEv2Index

    # Before hours of work, not after.
    check_bits(bits)
    whole_number("--batch-size", batch_size, least=1)
    with common.new_folder(output):
        documents = all_documents(Corpus(corpus, field, title_field, passages))
        weighing = TILDEv2.load(model, device=device, dtype=dtype)
        adding = None if expansion is None else Expansion.load(expansion, top=top, device=device, dtype=dtype)
        with common.progress_bars() as show:
            index = TILDEv2Index.build(
                documents,
                weighing,
                expansion=adding,
                bits=bits,
                batch_size=batch_size,
                on_progress=lambda finished: show("weighing", finished, len(documents)),
            )
        index.save(output)
    cut = int((index.cut > 0).sum())
    report = {
        "folder": str(output),
        "documents": len(documents),
        "passages": len(index),
        "weights": len(index.rows.indices),
        "cut": cut,
    }
    if as_json:
        common.emit(report)
        return
    common.tell(
        f"{number_of(len(index), 'passage')} with {number_of(len(index.rows.indices), 'weight')} in {output}"
    )
    if cut:
        common.say(
            f"{number_of(cut, 'passage')} {verb_for(cut, 'are')} longer than the "
            f"{number_of(weighing.limit, 'token')} the model reads"
        )
    common.say(f"use it with: limrank rerank --recipe tildev2 --option index={output} …")
