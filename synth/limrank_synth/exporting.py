"""An export: rows in a layout, with the card that goes with every one. Whole or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from limrank_plugins.errors import InputError
from limrank_plugins.folders import whole_folder
from limrank_plugins.outputs import check_output, write_json
from limrank_synth.dataset_card import CARD, PLOTS, CardContents, write_card
from limrank_synth.exports import ExportCounts, ExportOptions, layout_names, load_layout
from limrank_synth.exports.image_chats import IMAGE_LAYOUTS, IMAGES, ImageQuery, write_image_chats
from limrank_synth.pointwise_layout import blank, problem
from limrank_synth.records import LabelledPassage
from limrank_synth.row_statistics import Statistics
from limrank_synth.source_licences import table

EXPORT = "export.json"
"""What is in an export, for programs: examples by file, what was left out, licences."""


def export(
    rows: Iterable[LabelledPassage],
    layout: str,
    folder: Path,
    options: ExportOptions | None = None,
    *,
    title: str = "LIMRANK training data",
    runs: Sequence[Mapping[str, Any]] = (),
    mix: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write rows in a layout, a card with plots and `export.json` into a folder.

    The rows are gone through once and never held; groups wait on disk. A row that cannot be used is left
    out and counted by its reason.

    Args:
        rows: what is exported.
        layout: one of `exports.layout_names()`.
        folder: made; an earlier export there is replaced.
        options: see there.
        title: of the card.
        runs: reports of the runs that made the rows.
        mix: what `mix.json` says of them.

    Returns:
        What `export.json` holds.

    Raises:
        InputError: there is no such layout, something else is in the folder, or no example came of it.
        MissingExtra: matplotlib is not installed.
    """
    chosen = load_layout(layout)
    settings = options if options is not None else ExportOptions()
    statistics, left_out = Statistics(), Counter[str]()

    def write(part: Path) -> ExportCounts:
        return chosen.write(_usable(rows, chosen.generates, statistics, left_out), part, settings)

    return _export(
        folder, (chosen.name, chosen.summary), write, statistics, left_out, settings, title, runs, mix
    )


def export_images(
    queries: Iterable[ImageQuery],
    layout: str,
    folder: Path,
    options: ExportOptions | None = None,
    *,
    title: str,
) -> dict[str, Any]:
    """The same for images; see `exports.image_chats`.

    Args:
        queries: with their candidates.
        layout: `"mm-r5"` or `"ragvl"`.
        folder: as for `export`.
        options: see there.
        title: of the card.

    Raises:
        InputError: as for `export`.
        MissingExtra: matplotlib is not installed.
    """
    if layout not in IMAGE_LAYOUTS:
        raise InputError(f"there is no format {layout!r} for images; there are: {', '.join(IMAGE_LAYOUTS)}")
    summary, examples = IMAGE_LAYOUTS[layout]
    settings = options if options is not None else ExportOptions()
    statistics = Statistics()

    def counted() -> Iterator[ImageQuery]:
        for query in queries:
            for row in query.rows():
                statistics.add(row, "images")
            yield query

    def write(part: Path) -> ExportCounts:
        return write_image_chats(counted(), examples, part, settings)

    return _export(folder, (layout, summary), write, statistics, Counter(), settings, title, (), None)


def _export(
    folder: Path,
    layout: tuple[str, str],
    write: Callable[[Path], ExportCounts],
    statistics: Statistics,
    left_out: Counter[str],
    settings: ExportOptions,
    title: str,
    runs: Sequence[Mapping[str, Any]],
    mix: Mapping[str, Any] | None,
) -> dict[str, Any]:
    check_folder(folder)
    with whole_folder(folder, our_files()) as part:
        written = write(part)
        left_out += written.left_out
        if not any(written.records.values()):
            why = "; ".join(f"{number} times: {reason}" for reason, number in left_out.most_common(3))
            raise InputError(f"no example came of the rows{f' ({why})' if why else ': there are none'}")
        shown = {f.name: getattr(settings, f.name) for f in fields(settings)}
        shown |= {"lists": len(settings.lists), "corpus": len(settings.corpus)}
        priced = layout[0] not in IMAGE_LAYOUTS
        write_card(
            part, CardContents(title, layout, written.records, left_out, statistics, runs, mix, shown, priced)
        )
        summary = {
            "format": layout[0],
            "rows": statistics.rows,
            "relevant": statistics.relevant,
            "records": written.records,
            "left_out": dict(left_out.most_common()),
            "licences": table(statistics.sources),
            "options": shown,
        }
        write_json(part / EXPORT, summary)
    return summary


def our_files() -> set[str]:
    """Every name that an export may put into its folder."""
    return {
        CARD,
        PLOTS,
        EXPORT,
        IMAGES,
        *(name for layout in layout_names() for name in load_layout(layout).files),
    }


def check_folder(folder: Path) -> None:
    """Raise an `InputError` for a folder that holds anything but an export: hours of work may be in it."""
    check_output(folder, folder=True)
    if not folder.exists():
        return
    held = {file.name for file in folder.iterdir()}
    if held and (EXPORT not in held or not held <= our_files()):
        raise InputError(f"{folder} holds something that is no export: choose another folder")


def _usable(
    rows: Iterable[LabelledPassage], generates: bool, statistics: Statistics, left_out: Counter[str]
) -> Iterator[LabelledPassage]:
    for row in rows:
        reason = problem(row) if generates else blank(row)
        if reason is not None:
            left_out[f"row: {reason}"] += 1
            continue
        statistics.add(row)
        yield row
