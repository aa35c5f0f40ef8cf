"""`limrank train`: look at a plan and its data, or train."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from limrank_plugins.backends.smollm_weights import SMOLLM2, find_smollm2
from limrank_plugins.cli import common, reports_errors
from limrank_plugins.cli.terminal import tell_exactly
from limrank_plugins.errors import InputError
from limrank_plugins.files import read_json_object
from limrank_plugins.outputs import check_output
from limrank_plugins.wording import number_of, verb_for
from limrank_training.objectives import OBJECTIVES
from limrank_training.plans import Plan, load_plan, plan_names


@reports_errors
def train(
    plan: Annotated[str, typer.Argument(help="A shipped plan or a .yaml file; `list` lists them.")],
    rows: Annotated[
        str | None,
        typer.Option(help="Rows to learn: .jsonl (query, passage, trace, relevant; or query, passages, …)."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The run's folder; started again, it goes on.")
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting as name=value, e.g. optimiser.rate=1e-4; repeat for more."),
    ] = None,
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Check plan, data and prompt; load no weights.")
    ] = False,
    show_example: Annotated[
        bool, typer.Option("--show-example", help="Print the first example as it will be learned.")
    ] = False,
    fresh: common.Fresh = False,
    adapter_only: Annotated[
        bool, typer.Option("--adapter-only", help="Write the adapter, no merged weights.")
    ] = False,
    as_json: common.AsJson = False,
) -> None:
    """Fine-tune a model for reranking."""
    if plan == "list":
        _list(as_json)
        return
    if output is not None:
        check_output(output, folder=True)
    chosen = load_plan(plan, common.parse_options(change, "--set"))
    if rows is None:
        if not dry:
            raise InputError("what is to be learned? give --rows file.jsonl, or --dry-run to see the plan")
        _print({"plan": chosen.as_json()}, as_json)
        common.say("what it needs depends on the data: give --rows file.jsonl, too")
        return
    from limrank_training.training_data import prepare

    data = prepare(chosen, rows, _tokenizer(chosen) if dry or show_example else None)
    if show_example:
        _say_repaired(data)
        _show(chosen, data)
        return
    from limrank_training.estimate import estimate

    if dry:
        summary: dict[str, Any] = {
            "plan": chosen.as_json(),
            "data": data.report,
            "new_tokens": data.new_tokens,
        }
        summary["needs"] = estimate(chosen, data.report["train"])
        _print(summary, as_json)
        if not as_json:
            _before(chosen, data, summary["needs"])
        return
    if output is None:
        raise InputError("where to? give --output folder")
    from limrank_training.checkpoints import is_main
    from limrank_training.dev_ranking import dev_queries
    from limrank_training.training_run import ADAPTER, FINAL
    from limrank_training.training_run import train as run

    if is_main():
        _before(chosen, data, estimate(chosen, data.report["train"]))
    watched = dev_queries(chosen, rows) if chosen.watch is not None else []
    trained = run(chosen, data, output, fresh=fresh, merge=not adapter_only, watched=watched, say=common.say)
    if not is_main():
        return
    report = read_json_object(output / "report.json")
    if as_json:
        common.emit(report)
        return
    folders = [name for name in (ADAPTER, FINAL) if (output / name).is_dir()]
    common.say(
        f"{number_of(trained.steps, 'step')}; {output} holds the trained model in {' and '.join(folders)}"
    )


def _before(plan: Plan, data: Any, needs: dict[str, Any] | None) -> None:
    """What was found before any weights are loaded, in a few lines."""
    size = data.report["train"]
    longest = f"; the longest has {number_of(size['longest'], 'token')}" if size["longest"] else ""
    longest += f" of {size['cutoff']}" if "cutoff" in size else ""
    left = f", {size['dropped']} dropped" if size.get("dropped") else ""
    common.say(f"{number_of(size['rows'], 'row')}, {number_of(size['examples'], 'example')}{left}{longest}")
    _say_repaired(data)
    if data.new_tokens and plan.lora is not None:
        trained = "are trained" if plan.lora.embeddings else "are not trained: lora.embeddings=true would"
        common.say(f"new tokens {', '.join(data.new_tokens)}; embeddings {trained}")
    if needs is not None:
        common.say(
            f"needs about {needs['gigabytes']} GB and {needs['gpu_hours']} hours on one GPU at "
            f"{needs['assumed']['teraflops']:.0f} TFLOP/s"
        )


def _say_repaired(data: Any) -> None:
    repaired = sum(part.get("traces_repaired", 0) for part in data.report.values() if isinstance(part, dict))
    if repaired:
        common.say(
            f"{repaired} traces were raw output: <think>, </think> and the verdict behind it were taken off"
        )


def _list(as_json: bool) -> None:
    plans = [load_plan(name) for name in plan_names()]
    if as_json:
        common.emit([plan.as_json() for plan in plans])
        return
    for plan in plans:
        common.tell(f"{plan.name:<22} {plan.objective:<14} {plan.about}")


def _tokenizer(plan: Plan) -> Any:
    """The base's own where it is on this machine, else a stand-in: looking must not need a download."""
    if Path(plan.base).exists() or (plan.base == SMOLLM2 and find_smollm2() is not None):
        return None
    tokenizer = OBJECTIVES[plan.objective].function("standin")(plan)
    common.say(f"{plan.base} is no folder here: lengths are those of a stand-in tokenizer, which are longer")
    return tokenizer


def _show(plan: Plan, data: Any) -> None:
    """The example's own bytes on stdout: the prompt of inference, then what is learned."""
    if OBJECTIVES[plan.objective].is_encoder:  # they learn no text
        read, remark = data.layout.shown(data.first)
        common.tell(read)
        sys.stdout.flush()
        common.say(f"--- {remark}")
        return
    example = data.layout.example(data.first)
    if example is None:
        raise InputError(f"{data.first.where}: it does not fit the cutoff")
    encoder = data.layout.encoder
    prompt, learned = example.ids[: example.learned], example.ids[example.learned :]
    tell_exactly(encoder.decode(prompt))
    sys.stdout.flush()
    if OBJECTIVES[plan.objective].reads_labels:
        wanted, other = (label.strip() for label in data.layout.template.labels)
        remark = f"behind them log P({wanted}) - log P({other}) is to be {example.target:.4g}"
    elif learned:
        remark = f"{len(learned)} {'is' if len(learned) == 1 else 'are'} learned:"
    else:
        remark = "and the model answers them itself"
    common.say(f"\n--- {number_of(len(prompt), 'token')} {verb_for(len(prompt), 'are')} given, {remark}")
    tell_exactly(encoder.decode(learned))
    sys.stdout.flush()


def _print(summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        common.emit(summary)
        return
    for name, part in summary.items():
        for line in _lines(name, part):
            common.tell(line)


def _lines(name: str, value: Any) -> Iterator[str]:
    """A setting or a count as a line, a table as one for each of its own."""
    if isinstance(value, Mapping) and value:
        for key, one in value.items():
            yield from _lines(f"{name}.{key}", one)
    else:
        yield f"{name}: {_in_words(value)}"


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()  # as --set takes it
    if isinstance(value, list | tuple):
        words = list(map(_in_words, value))
        return ("; " if any(" " in word for word in words) else ", ").join(words) or "none"
    return "none" if value is None or value == "" or value == {} else str(value)
