"""`limrank eval ablate`: arms of training rows, each trained, evaluated and compared with a reference arm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limrank_evals.cli.printing import show_grid
from limrank_evals.tables import Grid
from limrank_plugins.cli import common, reports_errors
from limrank_plugins.errors import InputError
from limrank_plugins.wording import number_of

if TYPE_CHECKING:
    from limrank_evals.ablations.arm_setup import ArmSetup


@reports_errors
def ablate(
    ablation: Annotated[
        str, typer.Argument(help="A shipped ablation, or a .yaml or .toml file; `list` lists the shipped.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The ablation's folder; started again, it goes on."),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(help="A pool of training rows as name=file (or the folder of a synthesis); repeat."),
    ] = None,
    plan: Annotated[
        str | None, typer.Option(help="The training plan, instead of the ablation's.", show_default=False)
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the plan as name=value, for every arm; repeat for more."),
    ] = None,
    steps: Annotated[
        str | None,
        typer.Option(
            help="epochs (the plan's, so fewer rows are fewer steps), equal (to the reference arm's) or a "
            "number of steps.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of the draw of rows; default: the ablation's.", show_default=False)
    ] = None,
    benchmark: Annotated[
        str | None,
        typer.Option(help="What is evaluated on: a name as in `limrank eval NAME`.", show_default=False),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="The benchmark's folder or hub repository.", show_default=False)
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option("--split", "-t", help="Repeat for more; default: all.")
    ] = None,
    benchmark_option: Annotated[
        list[str] | None, typer.Option("--benchmark-option", help="An option of the benchmark as name=value.")
    ] = None,
    first_stage: Annotated[
        str | None, typer.Option(help="As in `limrank eval NAME`.", show_default=False)
    ] = None,
    k: Annotated[
        int | None, typer.Option("--k", help="How many candidates are reranked.", show_default=False)
    ] = None,
    measure: Annotated[
        list[str] | None,
        typer.Option("--measure", "-m", help="Instead of the benchmark's own; repeat for more."),
    ] = None,
    reranker: Annotated[
        list[str] | None,
        typer.Option(
            "--reranker", help="An argument of Reranker as name=value, e.g. max_reasoning_tokens=1024."
        ),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Train and evaluate this arm alone; repeat for more.")
    ] = None,
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Show arms, counts and steps; write and train nothing.")
    ] = False,
    fresh: common.Fresh = False,
    device: common.Device = None,
    batch: Annotated[int, typer.Option(help="Queries ranked in lockstep.")] = 1,
    as_json: common.AsJson = False,
) -> None:
    """Train and evaluate the arms of an ablation, and compare them with its reference arm."""
    if batch < 1:
        raise InputError(f"--batch must be > 0, but is {batch}")
    from limrank_evals.ablations import ablation_names, load_ablation

    if ablation == "list":
        for name in ablation_names():
            common.tell(name)
        return
    evaluating = {
        "benchmark": benchmark,
        "source": source,
        "splits": split,
        "options": common.parse_options(benchmark_option, "--benchmark-option"),
        "first_stage": first_stage,
        "depth": k,
        "measures": measure,
        "reranker": common.parse_options(reranker, "--reranker"),
    }
    given = {
        "plan": plan,
        "steps": steps if steps is None or not steps.isdecimal() else int(steps),
        "seed": seed,
        "data": dict(common.key_values(data, "--data")),
        "set": common.parse_options(change, "--set"),
        "evaluate": {name: value for name, value in evaluating.items() if value not in (None, {}, [])},
    }
    chosen = load_ablation(ablation, {name: value for name, value in given.items() if value is not None})
    if dry:
        from limrank_evals.ablations.arm_setup import set_up_arms

        arms, _ = set_up_arms(chosen)
        _show_arms(arms, as_json)
        return
    if output is None:
        raise InputError("where to? give --output folder, or --dry-run to see the arms")
    from limrank_evals.ablations.ablation_run import ablate as run

    report = run(chosen, output, only=only or (), fresh=fresh, device=device, batch=batch, say=common.say)
    if as_json:
        common.emit(report.as_json())
    else:
        common.tell(report.table.markdown(), end="")
        finished = f"{len(report.arms)} of {number_of(len(chosen.arms), 'arm')} finished"
        common.say(f"{finished}; {output} holds table and report")
    failures = {name: arm.scores["failures"] for name, arm in report.arms.items() if arm.scores["failures"]}
    if failures:
        common.end_with_failures(
            f"{number_of(sum(failures.values()), 'document')} could not be judged in the arms "
            f"{', '.join(failures)}; the same command asks again for them"
        )


def _show_arms(arms: dict[str, ArmSetup], as_json: bool) -> None:
    if as_json:
        common.emit({"arms": [arm.as_json() for arm in arms.values()]})
        return
    rows = []
    for facts in (arm.as_json() for arm in arms.values()):
        rows.append(
            [
                facts["arm"],
                f"{facts['rows']:,}",
                _counted(facts["counts"]["pool"]),
                _counted(facts["counts"]["label"]),
                f"{facts['epochs']:g} {'epoch' if facts['epochs'] == 1 else 'epochs'}"
                if facts["steps"] is None
                else f"{facts['steps']:,}",
                ", ".join(facts["without"]),
                ", ".join(facts["contains"]),
            ]
        )
    show_grid(Grid(("arm", "rows", "from", "labels", "steps", "without", "contains"), rows))


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name or '?'} {number:,}" for name, number in counts.items())
