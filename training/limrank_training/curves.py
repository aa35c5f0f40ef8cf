"""The run as pictures: loss, nDCG@10 and learning rate over steps, as PNG and as one page of HTML."""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limrank_plugins.errors import require
from limrank_plugins.outputs import write_whole
from limrank_training.history import HISTORY, read_history

PNG, PAGE = "curves.png", "curves.html"
_PANELS = (
    ("loss", (("loss", "training"), ("eval_loss", "dev"))),
    ("nDCG@10 on dev queries", (("dev_ndcg", "dev"),)),
    ("learning rate", (("learning_rate", ""),)),
)


def draw_curves(folder: Path, title: str) -> list[Path]:
    """Draw what the folder's history holds; nothing is drawn of an empty one.

    Args:
        folder: holds `history.jsonl`; gets `curves.png` and `curves.html`.
        title: above the pictures.

    Returns:
        The files that were written.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    entries = read_history(folder / HISTORY)
    panels = [(name, lines_of_panel) for name, lines in _PANELS if (lines_of_panel := _lines(entries, lines))]
    if not panels:
        return []
    require("matplotlib", "training", "curves")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.6 * len(panels)), layout="constrained")
    axes: Any = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (name, lines) in zip(axes, panels, strict=True):
        for label, points in lines:
            steps, values = zip(*points, strict=True)
            axis.plot(steps, values, marker="o", markersize=3, linewidth=1.4, label=label)
        axis.set_ylabel(name)
        axis.grid(alpha=0.3)
        if name.startswith("nDCG"):
            axis.set_ylim(0, 1.02)
        if any(label for label, _ in lines):
            axis.legend(frameon=False)
    axes[-1].set_xlabel("step")
    axes[0].set_title(title)
    png, svg = io.BytesIO(), io.StringIO()
    figure.savefig(png, format="png", dpi=130)
    figure.savefig(svg, format="svg")
    write_whole(folder / PNG, png.getvalue())
    write_whole(folder / PAGE, _page(title, svg.getvalue(), entries).encode("utf-8"))
    return [folder / PNG, folder / PAGE]


def _lines(
    entries: Sequence[dict[str, float]], lines: Sequence[tuple[str, str]]
) -> list[tuple[str, list[tuple[float, float]]]]:
    points_by_label = []
    for key, label in lines:
        points = [(entry["step"], entry[key]) for entry in entries if key in entry]
        if points:
            points_by_label.append((label, points))
    return points_by_label


def _page(title: str, picture: str, entries: Sequence[dict[str, float]]) -> str:
    keys = list(dict.fromkeys(key for entry in entries for key in entry))
    head = "".join(f"<th>{html.escape(key)}</th>" for key in keys)
    body = "".join(
        "<tr>"
        + "".join(f"<td>{entry[key]:.6g}</td>" if key in entry else "<td></td>" for key in keys)
        + "</tr>\n"
        for entry in entries
    )
    named = html.escape(title)
    # The picture's own XML head has no place in the middle of a page.
    drawing = picture[picture.index("<svg") :]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{named}</title>\n'
        "<style>body{font:15px system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "svg{max-width:100%;height:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
        "td,th{padding:.15rem .6rem;text-align:right;border-bottom:1px solid #ddd}</style></head>\n"
        f"<body><h1>{named}</h1>\n{drawing}\n<details><summary>All entries</summary>\n"
        f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></details></body></html>\n"
    )
