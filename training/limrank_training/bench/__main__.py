"""See the package: both ways in turn, told as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from typing import Any

from limrank_plugins.errors import require
from limrank_training.bench import __doc__ as about
from limrank_training.bench.shapes import PEAKS, SHAPES, rows
from limrank_training.bench.trainers import WAYS, compared, measured
from limrank_training.plans import load_plan


def main() -> int:
    """Measure both ways in turn."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="0.5b")
    parser.add_argument("--steps", type=int, default=20, help="of each run; the first two are not timed")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each way")
    parser.add_argument("--batch", type=int, help="examples of a step; default: the plan's 128")
    parser.add_argument("--part", type=int, help="examples computed at a time; default: the plan's 4")
    parser.add_argument("--precision", choices=["bfloat16", "float32"], default="bfloat16")
    parser.add_argument("--no-recompute", action="store_true", help="keep activations")
    parser.add_argument("--peak", type=float, help="TFLOP/s of the GPU; default: by its name")
    options = parser.parse_args()
    torch = require("torch", "training", "a benchmark")
    plan = load_plan("limrank-7b-paper")
    o = replace(
        plan.optimiser,
        steps=options.steps,
        batch=options.batch or plan.optimiser.batch,
        part=options.part or plan.optimiser.part,
    )
    plan = replace(
        plan, optimiser=o, precision=options.precision, recompute=not options.no_recompute, dev=0.0
    )
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    known = next((peak for part, peak in PEAKS.items() if part in name), None)
    peak = options.peak * 1e12 if options.peak else known
    examples = rows(options.steps * o.batch, plan.cutoff, SHAPES[options.shape]["vocab_size"])
    runs: list[dict[str, Any]] = []
    for number in range(options.rounds):
        for way in list(WAYS) if number % 2 == 0 else list(reversed(WAYS)):
            runs.append({"round": number} | measured(way, options.shape, plan, examples, peak))
            sys.stderr.write(f"{json.dumps(runs[-1])}\n")
    result = {
        "shape": options.shape,
        "device": name,
        "peak_teraflops": None if peak is None else peak / 1e12,
        "torch": torch.__version__,
        "plan": plan.as_json(),
        "rows": len(examples),
        "tokens": sum(len(e.ids) for e in examples),
    }
    sys.stdout.write(json.dumps(result | {"compared": compared(runs), "runs": runs}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
