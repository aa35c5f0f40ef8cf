"""`limrank bench retrieval`: first stages, their time, memory and disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from limrank_evals.cli import bench_tables
from limrank_plugins.checks import whole_number
from limrank_plugins.cli import common, reports_errors

if TYPE_CHECKING:
    from limrank_evals.bench.retrieval import Measured

_PACKAGES = ("bm25s", "rank-bm25", "haystack-ai", "pyserini")
_QUERIES = 100


@reports_errors
def retrieval(
    corpus: Annotated[
        str | None,
        typer.Option(
            "--corpus",
            "-c",
            help="Whose sentences the passages are made of (see `limrank search`). Default: the samples.",
            show_default=False,
        ),
    ] = None,
    passages: Annotated[
        int | None,
        typer.Option(
            "--passages",
            help="How many. Default: 20,000, which every library takes; with --quick: 2,000. Of 1,000,000 "
            "only Lucene is measured beside ours.",
            show_default=False,
        ),
    ] = None,
    quick: bench_tables.Quick = False,
    as_json: common.AsJson = False,
) -> None:
    """Index and search passages, beside the first stages that others use."""
    from limrank_evals.bench import retrieval as subject
    from limrank_evals.bench.interleaved import machine_without_torch

    count = passages if passages is not None else subject.QUICK if quick else subject.FULL
    whole_number("passages", count, least=1)
    rounds = bench_tables.rounds_of(quick)
    common.say(f"{count:,} passages")
    queries = _QUERIES // 5 if quick else _QUERIES
    ours, *peers = bench_tables.measured(subject.measured(count, corpus, queries=queries, rounds=rounds))
    about = machine_without_torch(*_PACKAGES)
    if as_json:
        parts = {"rounds": rounds, "passages": count, "queries": queries}
        bench_tables.emit("retrieval", about, **parts, ours=ours, peers=peers)
        return
    heads = [
        "first stage",
        "index, s",
        "peak, MB",
        "disk, MB",
        "queries/s",
        "ours is",
        "spread",
        "same top 10",
    ]
    note = f"CPU time, medians of {rounds} rounds of {queries} queries; memory with Python and imports"
    bench_tables.show(heads, [_cells(row) for row in [ours, *peers] if not row.not_measured], about, note)
    if all(row.not_measured for row in peers):
        common.say("ours is compared with nothing: no other first stage could be measured")


def _cells(row: Measured) -> list[str]:
    return [
        row.name,
        f"{row.index_seconds:.2f}",
        f"{row.peak_bytes / 1e6:.0f}",
        f"{row.disk_bytes / 1e6:.1f}",
        f"{row.queries_per_second:.1f}",
        "" if row.ratio is None else f"{row.ratio:.2f}×",
        "" if row.spread is None else f"{row.spread:.2f}",
        "" if row.same_best is None else f"{row.same_best:.3f}",
    ]
