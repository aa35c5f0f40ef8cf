"""`limrank bench gpu`: reading and writing on one GPU with random weights, as a table and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from limrank_evals.cli.bench_tables import Quick, emit, show
from limrank_plugins.cli import common, reports_errors
from limrank_plugins.wording import number_of

if TYPE_CHECKING:
    from limrank_evals.bench.gpu import Speed

_HEADS = ("way", "ms each", "each/s", "tokens/s", "of peak", "GB", "time ÷ ours", "spread", "as ours")
_ROUNDS, _QUICK_ROUNDS = 3, 1


@reports_errors
def gpu(
    shape: Annotated[
        str, typer.Option(help="qwen2.5-7b, qwen2.5-0.5b or tiny: the model's, with random weights.")
    ] = "qwen2.5-7b",
    device: Annotated[str, typer.Option(help="A device of torch; cpu for a look.")] = "cuda",
    dtype: Annotated[str, typer.Option(help="bfloat16, float16 or float32.")] = "bfloat16",
    quick: Quick = False,
    as_json: common.AsJson = False,
) -> None:
    """Scoring and reasoning on one GPU beside transformers' own and the GPU's peak; it needs no model file.

    The weights are random and made on the device. Whatever a peer stumbles over, the rest is measured.
    """
    from limrank_evals.bench.gpu import GpuWork, measure
    from limrank_evals.bench.interleaved import machine
    from limrank_evals.bench.random_weights import random_model

    common.say(f"{shape} in {dtype} with random weights on {device}")
    plain = random_model(shape, device, dtype)
    size = GpuWork(pairs=4, passage_tokens=48, texts=2, text_tokens=8) if quick else GpuWork()
    rounds = _QUICK_ROUNDS if quick else _ROUNDS
    found = measure(plain, dtype, size, rounds, common.say)
    about = machine("transformers") | {"device": _device_name(plain.model.device)}
    if as_json:
        made_of = {"shape": shape, "precision": dtype, "rounds": rounds}
        emit("gpu", about | made_of, work=size, floor=found.floor, speeds=found.speeds,
             not_measured=found.not_measured)  # fmt: skip
        return
    peak = found.floor.peak_gflop_per_second / 1000
    note = (
        f"{size.pairs} pairs with passages of {size.passage_tokens} tokens; {size.texts} texts of "
        f"{size.text_tokens} tokens; medians of {number_of(rounds, 'round')}; peak measured: {peak:.3g} "
        f"TFLOP/s on {about['device']}"
    )
    show(_HEADS, map(_cells, found.speeds), about, note)
    for name, reason in found.not_measured.items():
        common.say(f"{name}: not measured: {reason}")


def _cells(speed: Speed) -> list[str]:
    same = "–"
    if speed.equal is not None:
        same = "same tokens" if speed.equal else "other tokens"
    elif speed.max_score_difference is not None:
        same = f"± {speed.max_score_difference:.1e}"
    return [
        speed.name,
        f"{speed.milliseconds:.2f}",
        f"{speed.items_per_second:,.1f}",
        f"{speed.tokens_per_second:,.0f}",
        "–" if speed.share_of_peak is None else f"{speed.share_of_peak:.0%}",
        "–" if speed.gigabytes is None else f"{speed.gigabytes:.1f}",
        "–" if speed.ratio is None else f"{speed.ratio:.2f}",
        "–" if speed.spread is None else f"{speed.spread:.2f}",
        same,
    ]


def _device_name(device: Any) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
