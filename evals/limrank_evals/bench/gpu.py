"""Reading and writing on one GPU, with random weights: ours beside `transformers` and the GPU's own peak."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from limrank_evals.bench.causal import PlainModel, Work
from limrank_evals.bench.floor import Floor, floor
from limrank_evals.bench.generation import Generation
from limrank_evals.bench.interleaved import Contest, Outcome, Way, clock_of, run
from limrank_evals.bench.random_weights import sample_work
from limrank_evals.bench.scoring import ONE_BY_ONE, reading_ways, rows_and_labels
from limrank_plugins.errors import one_sentence
from limrank_plugins.wording import number_of

OURS = "limrank"
_OTHERS = {"vLLM": "vllm", "SGLang": "sglang", "FlashAttention": "flash_attn"}
"""What would be compared, or used by `transformers`, where it is installed."""


@dataclass(frozen=True, slots=True)
class GpuWork:
    """How much is read and written.

    Attributes:
        pairs: of a query and a passage that are scored.
        passage_tokens: of each passage, about.
        texts: that are written at a time.
        text_tokens: of each.
    """

    pairs: int = 100
    passage_tokens: int = 300
    texts: int = 64
    text_tokens: int = 128


@dataclass(frozen=True, slots=True)
class Speed:
    """One way to do the work.

    Attributes:
        name: `limrank`, or the peer, with what is done.
        milliseconds: for one pair or text; the median of the rounds.
        items_per_second: pairs or texts.
        tokens_per_second: of all prompts as they are, when scoring; that may be written, when writing.
        share_of_peak: how much of what the device multiplies at best; None when writing.
        gigabytes: the most memory of the device that was in use, weights included; None on a CPU.
        ratio: its time divided by ours, the median; None for ours.
        spread: the highest ratio of a round less the lowest.
        equal: when writing, whether all tokens were those of ours.
        max_score_difference: when scoring, to ours.
    """

    name: str
    milliseconds: float
    items_per_second: float
    tokens_per_second: float
    share_of_peak: float | None
    gigabytes: float | None
    ratio: float | None = None
    spread: float | None = None
    equal: bool | None = None
    max_score_difference: float | None = None


@dataclass(frozen=True, slots=True)
class GpuReport:
    """What was measured.

    Attributes:
        floor: what scoring must compute, and the device's peak.
        speeds: a row for each way.
        not_measured: why, by name.
    """

    floor: Floor
    speeds: list[Speed]
    not_measured: dict[str, str]


def measure(
    plain: PlainModel, precision: str, size: GpuWork, rounds: int, say: Callable[[str], object]
) -> GpuReport:
    """Measure everything; a peer that fails is not measured, and the reason is kept.

    Args:
        plain: the model, on its device.
        precision: of its weights.
        size: how much work.
        rounds: that are timed.
        say: gets a sentence before each contest.
    """
    missing = {name: "not installed" for name, module in _OTHERS.items() if find_spec(module) is None}
    work = sample_work(plain.tokenizer, size.pairs, size.passage_tokens)
    rows, labels = rows_and_labels(plain, work)
    ours, peers = reading_ways(plain, work, rows, labels)
    say("peak and operations")
    bound = floor(plain.model, rows, precision, peers[ONE_BY_ONE])
    reading = _Subject("scoring", plain.model.device, len(rows), sum(map(len, rows)), rounds, say, missing)
    speeds = reading.speeds(ours, peers, bound)
    texts = Work(work.query, work.passages[: size.texts])
    ours, peers, count = Generation("", texts, size.text_tokens).gpu_ways(plain)
    tokens = count * size.text_tokens
    writing = _Subject("generation", plain.model.device, count, tokens, rounds, say, missing)
    return GpuReport(bound, speeds + writing.speeds(ours, peers, None), missing)


@dataclass(frozen=True, slots=True)
class _Subject:
    name: str
    device: Any
    count: int
    tokens: int
    rounds: int
    say: Callable[[str], object]
    missing: dict[str, str]

    def speeds(self, ours: Way, peers: Mapping[str, Way], bound: Floor | None) -> list[Speed]:
        """Ours and the peers', each beside ours in turn."""
        own_memory = self._gigabytes(ours)
        found: list[tuple[Outcome, float | None]] = []
        for peer, theirs in peers.items():
            name = f"{self.name}, {peer}"
            self.say(f"{name}: {number_of(self.rounds, 'round')}")
            try:
                memory = self._gigabytes(theirs)
                contest = Contest(name, self.count, ours, theirs)
                found.append((run(contest, self.rounds, clock_of(self.device)), memory))
            except Exception as error:  # noqa: BLE001 – whatever another library stumbles over, the rest is measured
                self.missing[name] = f"failed: {one_sentence(error)}"
        if not found:
            return []
        own = statistics.median(outcome.milliseconds for outcome, _ in found)
        rows = [self._speed(f"{self.name}, {OURS}", own, own_memory, bound)]
        for outcome, memory in found:
            difference = outcome.max_score_difference
            judged: dict[str, Any] = (
                {"equal": difference == 0} if bound is None else {"max_score_difference": difference}
            )
            judged |= {"ratio": outcome.ratio, "spread": outcome.spread}
            rows.append(self._speed(outcome.name, outcome.their_milliseconds, memory, bound, **judged))
        return rows

    def _speed(
        self, name: str, milliseconds: float, memory: float | None, bound: Floor | None, **beside: Any
    ) -> Speed:
        items = 1000 / max(milliseconds, 1e-9)
        share = None if bound is None else bound.share_of_peak(milliseconds)
        return Speed(name, milliseconds, items, items * self.tokens / self.count, share, memory, **beside)

    def _gigabytes(self, way: Way) -> float | None:
        """The most that was in use while the work was done once."""
        if self.device.type != "cuda":
            return None
        import torch

        torch.cuda.reset_peak_memory_stats(self.device)
        way()
        return float(torch.cuda.max_memory_allocated(self.device)) / 1e9
