"""`limrank synth export`: rows in the layout that a trainer or an evaluation reads, with a card."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from limrank_plugins.cli import common, reports_errors
from limrank_plugins.errors import InputError
from limrank_plugins.files import read_json_object
from limrank_plugins.wording import number_of
from limrank_synth.exporting import export as write_export
from limrank_synth.exporting import export_images
from limrank_synth.exports import ExportOptions, layout_names
from limrank_synth.exports.image_chats import IMAGE_LAYOUTS, read_image_queries
from limrank_synth.foreign_negatives import NEAREST, foreign_negatives, swapped_negatives
from limrank_synth.gold_lists import read_lists
from limrank_synth.limrank_open import read_sources, row_files
from limrank_synth.mix import MIX
from limrank_synth.records import LabelledPassage
from limrank_synth.run_files import REPORT


@reports_errors
def export(
    rows: Annotated[
        Path,
        typer.Argument(
            help="A run's or a mix's folder, its rows.jsonl, limrank-open:train (or dev, test), or for mm-r5 "
            "and ragvl, queries with images."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The export's folder.")],
    layout: Annotated[
        str, typer.Option("--format", help=f"One of: {', '.join([*layout_names(), *IMAGE_LAYOUTS])}.")
    ],
    report: Annotated[
        list[Path] | None,
        typer.Option(
            help="A run's report.json, if not beside the rows; repeat for more.", show_default=False
        ),
    ] = None,
    lists: Annotated[
        Path | None,
        typer.Option(help="For listwise: orders by a model, from `limrank synth lists`.", show_default=False),
    ] = None,
    title: Annotated[str, typer.Option(help="Of the card.")] = "LIMRANK training data",
    seed: Annotated[int, typer.Option(help="Of the order in which groups are shown.")] = 0,
    size: Annotated[int, typer.Option(help="Most passages in a group.")] = 20,
    reason_words: Annotated[int, typer.Option(help="For listwise: most words of a reason.")] = 60,
    consistency: Annotated[
        float, typer.Option(help="For listwise: least nDCG@10 of a gold order against the labels.")
    ] = 0.4,
    split: Annotated[
        str, typer.Option(help="For trec: what the judgements in qrels/ are named after.")
    ] = "train",
    corpus: Annotated[
        list[Path] | None,
        typer.Option(
            help="For trec: rows whose passages are to be searched, too, as limrank-open; repeat for more.",
            show_default=False,
        ),
    ] = None,
    foreign: Annotated[
        int,
        typer.Option(
            help="For rows, pairs and triples: so many passages of other queries for each query as further "
            f"negatives, without traces, drawn by --seed from the {NEAREST} that BM25 ranks best."
        ),
    ] = 0,
    swapped: Annotated[
        int,
        typer.Option(
            help="For rows, pairs and triples: instead of the negatives, each passage that helps again with "
            f"so many other queries, as not relevant, drawn by --seed from the {NEAREST} BM25 ranks "
            "best for it: what a passage looks like then says nothing."
        ),
    ] = 0,
    as_json: common.AsJson = False,
) -> None:
    """Write rows in a trainer's layout, with a dataset card and plots."""
    orders = read_lists(lists) if lists else {}
    further = list(read_sources(*(corpus or [])))
    options = ExportOptions(seed, size, reason_words, consistency, orders, split, further)
    if layout in IMAGE_LAYOUTS:
        _tell(export_images(read_image_queries(rows), layout, output, options, title=title), output, as_json)
        return
    file = row_files(rows)[0]
    mix = _json(file.with_name(MIX))
    runs = [known for path in report or [] if (known := _json(path, must=True)) is not None]
    if not runs:
        beside = _json(file.with_name(REPORT))
        runs = [beside] if beside is not None else list((mix or {}).get("runs", []))
    chosen: Iterable[LabelledPassage] = read_sources(rows)
    if foreign and swapped:
        raise InputError("--foreign adds negatives and --swapped replaces them: leave one out")
    for option, count, draw in (
        ("--foreign", foreign, _with_foreign),
        ("--swapped", swapped, swapped_negatives),
    ):
        if count and layout not in (taking := ("rows", "pairs", "triples")):
            raise InputError(
                f"{option} adds rows without traces: use --format {', '.join(taking)}, not {layout}"
            )
        if count:
            chosen = draw(list(chosen), count, seed=seed)
    summary = write_export(chosen, layout, output, options, title=title, runs=runs, mix=mix)
    _tell(summary, output, as_json)


def _with_foreign(rows: Sequence[LabelledPassage], count: int, *, seed: int) -> Iterator[LabelledPassage]:
    yield from rows
    yield from foreign_negatives(rows, count, seed=seed)


def _tell(summary: dict[str, Any], output: Path, as_json: bool) -> None:
    if as_json:
        common.emit(summary)
        return
    files = ", ".join(f"{number:,} in {name}" for name, number in summary["records"].items())
    common.say(f"{number_of(summary['rows'], 'row')} in {output}: {files}")
    for reason, number in summary["left_out"].items():
        common.say(f"left out, {number:,}: {reason}")


def _json(path: Path, must: bool = False) -> dict[str, Any] | None:
    if not path.is_file() and not must:
        return None
    return read_json_object(path)
