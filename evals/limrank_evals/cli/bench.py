"""`limrank bench …`: speed beside other libraries on the same weights; one subcommand a subject."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limrank_evals.cli.bench_gpu import gpu
from limrank_evals.cli.bench_retrieval import retrieval
from limrank_evals.cli.bench_served import served
from limrank_evals.cli.bench_store import store
from limrank_evals.cli.bench_tables import Quick, Rounds, emit, rounds_of, show
from limrank_plugins.checks import whole_number
from limrank_plugins.cli import common, reports_errors
from limrank_plugins.errors import InputError
from limrank_plugins.wording import number_of

if TYPE_CHECKING:
    from limrank_evals.bench.floor import Floor
    from limrank_evals.bench.interleaved import Contest, Outcome

Model = Annotated[
    str, typer.Option(help="Folder, hub name or GGUF file of a causal language model, or smollm2.")
]
Corpus = Annotated[
    Path | None,
    typer.Option(help="Passages to read. Default: the sample collection.", show_default=False),
]
Query = Annotated[
    str | None, typer.Option(help="What they are read for. Default: one of the samples.", show_default=False)
]
_PAIRS, _QUICK_PAIRS = 100, 12
_TEXTS, _QUICK_TEXTS = 32, 8
_TOKENS, _QUICK_TOKENS = 128, 96


bench = typer.Typer(help="Measure speed beside other libraries.", no_args_is_help=True)


bench.command("retrieval")(retrieval)
bench.command("store")(store)
bench.command("served")(served)
bench.command("gpu")(gpu)


@bench.callback()
def subjects() -> None:
    """Measure speed beside other libraries, on the same weights in one process."""


@bench.command("encoders")
@reports_errors
def encoders(
    cross_encoder: Annotated[
        str | None,
        typer.Option(
            help="Folder or hub name of a cross-encoder. Default: one of MiniLM's size with random weights.",
            show_default=False,
        ),
    ] = None,
    quick: Quick = False,
    as_json: common.AsJson = False,
) -> None:
    """Encoders and cross-encoders on a CPU, beside sentence-transformers' default calls."""
    from limrank_evals.bench import encoders as subject
    from limrank_evals.bench.interleaved import machine

    with subject.contests(cross_encoder, quick=quick) as contests:
        about = machine(subject.PEER, "transformers")
        report("encoders", contests, about, rounds=rounds_of(quick), as_json=as_json)


@bench.command("scoring")
@reports_errors
def scoring(
    model: Model = "smollm2",
    corpus: Corpus = None,
    query: Query = None,
    gguf: Annotated[
        Path | None,
        typer.Option(help="The same weights as GGUF file, to measure llama.cpp.", show_default=False),
    ] = None,
    passages: Annotated[
        int | None,
        typer.Option(
            help=f"How many passages. Default: {_PAIRS}, with --quick {_QUICK_PAIRS}.", show_default=False
        ),
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            help="float32, bfloat16; repeat for both. Default: both where the processor has bfloat16.",
            show_default=False,
        ),
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(help="A word of a library's name; repeat for more. Default: all.", show_default=False),
    ] = None,
    rounds: Rounds = None,
    quick: Quick = False,
    as_json: common.AsJson = False,
) -> None:
    """Yes or no from a language model's next token on a CPU, beside other libraries' default calls."""
    from limrank_evals.bench import scoring as subject
    from limrank_evals.bench.causal import work
    from limrank_evals.bench.interleaved import machine

    texts = work(_number_of(passages, _QUICK_PAIRS if quick else _PAIRS), corpus, query)
    timed = rounds_of(quick, rounds)
    bench = subject.Scoring(
        model, texts, gguf, subject.checked_precisions(precision), subject.checked_peers(peer)
    )
    about = machine(*subject.PACKAGES)

    def behind(outcomes: Sequence[Outcome]) -> dict[str, Any]:
        floors = [_reached(floor, outcomes, subject.ONE_BY_ONE) for floor in bench.floors]
        return {"floor": floors, "not_measured": bench.not_measured}

    report("scoring", bench.contests(), about, rounds=timed, as_json=as_json, behind=behind)


def _reached(floor: Floor, outcomes: Sequence[Outcome], loop: str) -> dict[str, Any]:
    """The floor and the shares of it that were reached."""
    own = [outcome for outcome in outcomes if outcome.name.endswith(f", {floor.precision}")]
    ratio = next(outcome.ratio for outcome in own if outcome.name.startswith(loop))
    milliseconds = sorted(outcome.milliseconds for outcome in own)[len(own) // 2]
    return asdict(floor) | {
        "share_of_peak": floor.share_of_peak(milliseconds),
        "share_of_loop_ratio": floor.share_of_loop_ratio(ratio),
    }


@bench.command("generation")
@reports_errors
def generation(
    model: Model = "smollm2",
    corpus: Corpus = None,
    query: Query = None,
    passages: Annotated[
        int | None,
        typer.Option(
            help=f"How many passages. Default: {_TEXTS}, with --quick {_QUICK_TEXTS}.", show_default=False
        ),
    ] = None,
    gguf: Annotated[
        Path | None,
        typer.Option(
            help="The same weights as GGUF file: measure llama.cpp's server instead.", show_default=False
        ),
    ] = None,
    llama_server: Annotated[
        Path | None, typer.Option(help="The program llama-server, for --gguf.", show_default=False)
    ] = None,
    rounds: Rounds = None,
    quick: Quick = False,
    as_json: common.AsJson = False,
) -> None:
    """Greedy reasoning of a language model on a CPU in float32, beside `generate` of transformers."""
    from limrank_evals.bench import generation as subject
    from limrank_evals.bench.causal import work
    from limrank_evals.bench.interleaved import machine

    texts = work(_number_of(passages, _QUICK_TEXTS if quick else _TEXTS), corpus, query)
    timed = rounds_of(quick, rounds)
    if (gguf is None) != (llama_server is None):
        raise InputError("--gguf and --llama-server go together: a file, and the program that serves it")
    bench = subject.Generation(model, texts, _QUICK_TOKENS if quick else _TOKENS, gguf, llama_server)

    def behind(_outcomes: Sequence[Outcome]) -> dict[str, Any]:
        return {"tokens": bench.tokens, "ended": bench.ended}

    about = machine("transformers")
    report("generation", bench.contests(), about, rounds=timed, as_json=as_json, texts=True, behind=behind)


def _number_of(passages: int | None, usual: int) -> int:
    if passages is None:
        return usual
    whole_number("--passages", passages, least=1)
    return passages


def report(
    subject: str,
    contests: Iterable[Contest],
    about: dict[str, Any],
    *,
    rounds: int,
    as_json: bool,
    texts: bool = False,
    behind: Callable[[Sequence[Outcome]], dict[str, Any]] | None = None,
) -> None:
    """Run the contests and print what came of them.

    Args:
        subject: the subcommand.
        contests: in the order of the table.
        about: the machine, as `interleaved.machine` says it.
        rounds: that are timed.
        as_json: print JSON.
        texts: what comes of a contest are texts: equal or not.
        behind: what else there is to say of the outcomes.
    """
    from limrank_evals.bench.interleaved import run

    heads = ["peer and work", "ours, ms", "theirs, ms", "ratio", "spread"]
    heads.append("same tokens" if texts else "scores differ by")
    outcomes = []
    for contest in contests:
        common.say(f"{contest.name}: {rounds} rounds")
        outcomes.append(made := run(contest, rounds))
        # Some take an hour: what is known stays known when the rest is given up.
        common.say(
            f"  {made.ratio:.2f} (spread {made.spread:.2f}): ours {made.milliseconds:.0f} ms, theirs "
            f"{made.their_milliseconds:.0f} ms; {heads[-1]}: {_difference(made, texts)}"
        )
    rest = {} if behind is None else behind(outcomes)
    if as_json:
        peers = [_peer(outcome, texts) for outcome in outcomes]
        emit(subject, {"rounds": rounds, **about}, peers=peers, **rest)
        return
    rows = []
    for o in outcomes:
        numbers = (o.milliseconds, o.their_milliseconds, o.ratio, o.spread)
        rows.append([o.name, *(f"{number:.2f}" for number in numbers), _difference(o, texts)])
    note = f"CPU milliseconds a text, medians of {rounds} rounds on {number_of(about['threads'], 'thread')}"
    installed = {name: number for name, number in about["versions"].items() if number}
    show(heads, rows, about | {"versions": installed}, note)
    for floor in rest.get("floor", []):
        speed = f"{floor['share_of_peak']:.0%} of the measured {floor['peak_gflop_per_second']:.0f} GFLOP/s"
        loop = f"{floor['share_of_loop_ratio']:.0%} of the ratio to a loop's {floor['loop_gflop']:.3g}"
        common.say(f"{floor['precision']}: {floor['needed_gflop']:.3g} GFLOP needed, at {speed}, {loop}")
    if tokens := rest.get("tokens"):
        ended = f"the model ended {rest['ended']} of {len(tokens)} itself"
        common.say(f"texts of {min(tokens)} to {max(tokens)} tokens, {sum(tokens):,} in all; {ended}")
    for name, reason in rest.get("not_measured", {}).items():
        common.say(f"{name}: not measured: {reason}")


def _difference(outcome: Outcome, texts: bool) -> str:
    if texts:
        return "yes" if outcome.max_score_difference == 0 else "no"
    return f"{outcome.max_score_difference:.1e}"


def _peer(outcome: Outcome, texts: bool) -> dict[str, Any]:
    fields = asdict(outcome)
    if texts:
        fields["equal_tokens"] = fields.pop("max_score_difference") == 0
    return fields
