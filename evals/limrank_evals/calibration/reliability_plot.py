"""The reliability plot: how often documents with a probability are relevant, before and after."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from limrank_evals.calibration.reliability import Reliability
from limrank_evals.reporting.svg import Plot, linear, standalone
from limrank_plugins.wording import number_of

TITLE = "Reliability on held-out queries"


def draw_reliability(parts: Mapping[str, Reliability]) -> str:
    """The SVG file, a plot for each part; on the diagonal, a probability is as often right as it says."""
    return standalone(TITLE, [_plot(number, name, part) for number, (name, part) in enumerate(parts.items())])


def is_reliability_plot(path: Path) -> bool:
    """Whether a file is such a plot."""
    with path.open("rb") as stream:
        beginning = stream.read(1000)
    return beginning.startswith(b"<svg") and f"<title>{TITLE}</title>".encode() in beginning


def _plot(number: int, name: str, part: Reliability) -> Plot:
    plot = Plot(
        f"reliability-{number}",
        f"Reliability {name}",
        f"ECE {part.ece:.3f}, Brier {part.brier:.3f}; "
        + "; ".join(f"{b.probability:.2f}: {b.relevant:.2f} of {b.documents:,}" for b in part.bins),
        linear(f"probability {name}: ECE {part.ece:.3f}, Brier {part.brier:.3f}", 0.0, 1.0),
        linear("share of relevant documents", 0.0, 1.0),
    )
    plot.line(0, 0, 1, 1, "zero")
    for first, second in pairwise(part.bins):
        plot.line(first.probability, first.relevant, second.probability, second.relevant, "curve")
    most = max(b.documents for b in part.bins)
    for b in part.bins:
        text = f"{b.relevant:.1%} of {number_of(b.documents, 'document')} at probability {b.probability:.3f}"
        plot.dot(b.probability, b.relevant, 3 + 7 * (b.documents / most) ** 0.5, "up", text)
    return plot
