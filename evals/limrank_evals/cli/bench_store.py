"""`limrank bench store`: what a query costs that was asked before, and memory while pairs stream."""

from __future__ import annotations

from limrank_evals.cli import bench_tables
from limrank_plugins.cli import common, reports_errors


@reports_errors
def store(quick: bench_tables.Quick = False, as_json: common.AsJson = False) -> None:
    """A repeated query of 100 documents, and the memory that streaming pairs takes."""
    from limrank_evals.bench import store as subject
    from limrank_evals.bench.interleaved import machine_without_torch

    rounds = bench_tables.rounds_of(quick)
    repeated = bench_tables.measured(subject.repeated(rounds))
    most = subject.QUICK_PAIRS if quick else subject.PAIRS
    common.say(f"{most:,} pairs are streamed")
    streamed = [subject.streamed(pairs) for pairs in (most // 10, most)]
    about = machine_without_torch("limrank")
    if as_json:
        parts = {"rounds": rounds, "aim": subject.AIM}
        bench_tables.emit("store", about, **parts, repeated=repeated, streamed=streamed)
        return
    heads = ["a repeated query of 100 documents", "ms", "of which the store, ms", "share", "spread"]
    rows = [
        [
            row.name,
            f"{row.milliseconds:.2f}",
            f"{row.store_milliseconds:.2f}",
            f"{row.ratio:.2f}",
            f"{row.spread:.2f}",
        ]
        for row in repeated
    ]
    bench_tables.show(heads, rows, about, f"CPU time, medians of {rounds} rounds; aim {subject.AIM} ms")
    sizes = [[f"{row.pairs:,}", f"{row.peak_bytes / 1e6:.1f}", f"{row.pairs_at_once}"] for row in streamed]
    heads = ["pairs streamed through bulk", "peak of Python objects, MB", "pairs at once"]
    bench_tables.show(heads, sizes, about, "memory above what there was before")
