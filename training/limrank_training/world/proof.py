"""`python -m limrank_training.world.proof`: every arm of the proof, as a table and as JSON.

Per seed a world is made and a base learns to read it; every arm fine-tunes that base by
`training_run.train`, and the exported folder is loaded and ranked with like any other checkpoint.
"""

from __future__ import annotations

import io
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import typer

from limrank_plugins.cli import common
from limrank_plugins.errors import InputError, require
from limrank_plugins.files import read_json_object
from limrank_plugins.outputs import check_apart, check_output, write_whole
from limrank_training.world.base_model import make_base
from limrank_training.world.language import make_world
from limrank_training.world.proof_arms import ARMS, RECIPES, ProofScale, named, run_arm

# Two-sided 95 % of Student's t for 1 to 9 degrees of freedom; more seeds than ten are not run.
_T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


def prove(
    seeds: Sequence[int],
    names: Sequence[str],
    scale: ProofScale,
    folder: Path,
    processes: int = 1,
) -> dict[str, Any]:
    """Run arms for every seed.

    Args:
        seeds: each with a world, a base and data of its own.
        names: of arms; empty for all.
        scale: see there.
        folder: for bases, data and runs. What is finished there at the same scale is not run again, so a
            run that was stopped goes on; the folder belongs to one version of this code.
        processes: arms trained at a time, each on one thread.

    Returns:
        `scale`, `runs` as `run_arm` returns them, and `arms` as `summary` does.

    Raises:
        InputError: there is no such arm.
    """
    unknown = sorted(set(names) - {arm.name for arm in ARMS})
    if unknown:
        raise InputError(f"there is no arm {unknown[0]!r}; there are: {', '.join(arm.name for arm in ARMS)}")
    runs: list[dict[str, Any]] = []
    # Processes of their own also where there is one: threads and seeds are set per process.
    with ProcessPoolExecutor(processes, get_context("spawn"), _alone) as pool:
        bases = list(pool.map(_base, [(seed, scale, folder) for seed in seeds]))
        jobs = [
            (seed, arm.name, scale, base, folder)
            for seed, base in zip(seeds, bases, strict=True)
            for arm in named(names)
        ]
        for result in pool.map(_arm, jobs):
            common.say(f"{result['arm']}, seed {result['seed']}: {result['after']['ndcg']:.3f}")
            runs.append(result)
    return {"scale": asdict(scale), "runs": runs, "arms": summary(runs)}


def summary(runs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over the seeds of each arm; from two on with half the width of the 95 % interval."""
    by_arm: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        by_arm.setdefault(run["arm"], []).append(run)
    rows = []
    for arm, of_arm in by_arm.items():
        values = [run["after"]["ndcg"] for run in of_arm]
        steps = of_arm[0]["after"]["by_steps"]
        rows.append(
            {
                "arm": arm,
                "seeds": len(values),
                "chance": _mean([run["chance"] for run in of_arm]),
                "before": _mean([run["before"]["ndcg"] for run in of_arm]),
                "after": _mean(values),
                "interval": _half(values),
                "by_steps": {s: _mean([run["after"]["by_steps"][s] for run in of_arm]) for s in steps},
                "failed": sum(run["after"]["failed"] for run in of_arm),
                "rows": of_arm[0]["rows"],
            }
        )
    return rows


def table(rows: Iterable[dict[str, Any]]) -> str:
    """The summary as a Markdown table."""
    about = {arm.name: arm.about for arm in ARMS}
    names = ("Arm", "Rows", "Chance", "Before", "After", "0 steps", "1 step", "2 steps")
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for row in rows:
        after = f"{row['after']:.3f}"
        if row["interval"] is not None:
            after += f" ± {row['interval']:.3f}"
        steps = [f"{value:.3f}" for value in row["by_steps"].values()]
        cells = [
            about[row["arm"]],
            str(row["rows"]),
            f"{row['chance']:.3f}",
            f"{row['before']:.3f}",
            after,
            *steps,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(rows: Sequence[dict[str, Any]], file: Path) -> None:
    """The summary as bars with their intervals, chance as a line, as PNG.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    require("matplotlib", "training", "the proof's plot")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.5 * len(rows) + 1.4), layout="constrained")
    axis: Any = figure.subplots()
    names = [row["arm"] for row in rows]
    axis.barh(names, [row["after"] for row in rows], xerr=[row["interval"] or 0.0 for row in rows], capsize=3)
    axis.axvline(_mean([row["chance"] for row in rows]), color="black", linestyle=":", label="chance")
    axis.set_xlim(0, 1)
    axis.invert_yaxis()
    axis.set_xlabel("nDCG@10 on held-out entities")
    axis.legend(frameon=False, loc="lower right")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=130)
    write_whole(file, picture.getvalue())


def main(
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the result goes, as JSON.")],
    seeds: Annotated[int, typer.Option(help="How many seeds.")] = 1,
    arms: Annotated[
        list[str] | None, typer.Option("--arm", help="Of this name only; repeat for more.")
    ] = None,
    processes: Annotated[int, typer.Option(help="Arms trained at a time.")] = 2,
    folder: Annotated[
        Path | None,
        typer.Option(help="Keep bases, data and runs here; what is finished there is not run again."),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the arms into this PNG.")] = None,
) -> None:
    """Train every arm of the small world and say what it learned."""
    check_apart(output=output, plot=plot)
    for file in (output, plot):
        if file is not None:
            check_output(file)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as spare:
        result = prove(range(seeds), arms or (), ProofScale(), folder or Path(spare), processes)
    result["seconds"] = round(time.perf_counter() - began)
    write_whole(output, (json.dumps(result, indent=2) + "\n").encode("ascii"))
    if plot is not None:
        draw(result["arms"], plot)
    common.tell(table(result["arms"]))
    common.say(f"nDCG@10 on held-out entities; {result['seconds']} s; {output}")


def _alone() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    require("torch", "training", "the proof").set_num_threads(1)
    require("transformers", "training", "the proof").utils.logging.disable_progress_bar()


def _base(job: tuple[int, ProofScale, Path]) -> Path:
    seed, scale, folder = job
    base = folder / f"base-{seed}"

    def make() -> dict[str, Any]:
        make_base(make_world(seed), base, RECIPES, scale.shape, seed)
        return {}

    _once(folder / f"base-{seed}.json", asdict(scale.shape), make)
    return base


def _arm(job: tuple[int, str, ProofScale, Path, Path]) -> dict[str, Any]:
    seed, name, scale, base, folder = job
    arm, where = named([name])[0], folder / f"{name}-{seed}"
    return _once(
        folder / f"{name}-{seed}.json",
        asdict(scale),
        lambda: run_arm(make_world(seed), arm, scale, seed, base, where),
    )


def _once(file: Path, scale: dict[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What is kept of an earlier run at the same scale, or else is made and kept now."""
    if file.is_file():
        kept = read_json_object(file)
        if kept.get("scale") == scale:
            return dict(kept["made"])
    text = json.dumps({"scale": scale, "made": make()}, indent=2)
    write_whole(file, (text + "\n").encode("ascii"))
    return dict(json.loads(text)["made"])


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _half(values: Sequence[float]) -> float | None:
    if not 2 <= len(values) <= len(_T95) + 1:
        return None
    mean = _mean(values)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return _T95[len(values) - 2] * spread / math.sqrt(len(values))


if __name__ == "__main__":
    typer.run(main)
