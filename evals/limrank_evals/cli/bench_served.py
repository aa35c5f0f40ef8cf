"""`limrank bench served`: served models on loopback, beside the ideal time."""

from __future__ import annotations

from limrank_evals.cli import bench_tables
from limrank_plugins.cli import common, reports_errors


@reports_errors
def served(quick: bench_tables.Quick = False, as_json: common.AsJson = False) -> None:
    """100 documents at 32 calls a time from a server that answers each after 50 ms."""
    from limrank_evals.bench import served as subject
    from limrank_evals.bench.interleaved import machine_without_torch

    rounds = bench_tables.rounds_of(quick)
    done = bench_tables.measured(subject.measured(rounds))
    about = machine_without_torch("openai")
    if as_json:
        bench_tables.emit("served", about, rounds=rounds, aim=subject.AIM, backends=done)
        return
    heads = ["backend", "ms", "× ideal", "spread", "bare, × ideal", "CPU ms a call", "connections", "calls"]
    rows = [
        [
            row.name,
            f"{row.milliseconds:.0f}",
            f"{row.ratio:.3f}",
            f"{row.spread:.3f}",
            f"{row.bare_ratio:.3f}",
            f"{row.cpu_milliseconds_per_call:.2f}",
            f"{row.connections}",
            f"{row.calls}",
        ]
        for row in done
    ]
    note = (
        f"by the clock, medians of {rounds} rounds; ideal: {done[0].ideal_milliseconds:.0f} ms; aim: "
        f"{subject.AIM} times that"
    )
    bench_tables.show(heads, rows, about, note)
