"""A synthesis from seeds to filtered rows: as often as it is started, it goes on where it was."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limrank_plugins.data import check_unique
from limrank_plugins.files import alone_in, write_json
from limrank_plugins.store import Store
from limrank_synth.asking import Question
from limrank_synth.budget import most_it_can_cost
from limrank_synth.engine import Driven, Engine, Progress, Sends
from limrank_synth.filters import Filter, apply_filters, reasons
from limrank_synth.filters.agreement import judges_report
from limrank_synth.filters.coverage import coverage_report
from limrank_synth.guidelines import Guidelines, load_guidelines
from limrank_synth.ledger import Ledger
from limrank_synth.records import LabelledPassage, Persona, Rejection, Seed
from limrank_synth.run_files import LEDGER, REJECTED, REPORT, ROWS, write_rejections, write_rows
from limrank_synth.settings import SynthSettings
from limrank_synth.synthesis import SeedResult, synthesise


@dataclass(frozen=True)
class Synthesis:
    """What a run came to.

    Attributes:
        rows: what passed every filter.
        rejections: what did not, and what was given up before, with reasons.
        report: numbers for people and programs; see `report.json` in `docs/synthesis.md`.
        wanted: questions without an answer, by key, where nothing was sent.
        unfinished: seeds that lack an answer, by id, with the reason.
        stopped: why the run ended early, or None.
    """

    rows: list[LabelledPassage]
    rejections: list[Rejection]
    report: dict[str, Any]
    wanted: dict[str, Question]
    unfinished: dict[str, str]
    stopped: str | None


def synthesise_all(
    seeds: Sequence[Seed],
    personas: Sequence[Persona],
    settings: SynthSettings,
    folder: Path,
    *,
    sender: Sends | None,
    filters: Sequence[Filter] = (),
    guidelines: Guidelines | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Synthesis:
    """Run it, and write `rows.jsonl`, `rejected.jsonl` and `report.json` into the folder.

    The set depends on seeds, personas, settings and the committed answers, not on when or how often it
    was started. Unfinished seeds are not in it; the report names them, and another run goes on with them.

    Args:
        seeds: each with an id of its own.
        personas: who may ask.
        settings: see there.
        folder: holds the ledger and the results; made if it is not there.
        sender: who answers; None: nobody is asked, and `wanted` holds what would have been.
        filters: applied to all rows in this order.
        guidelines: default: the shipped ones, or those the settings name.
        on_progress: told about every change.

    Raises:
        InputError: seeds with one id, a file that cannot be read, or another process in the folder.
        LimRankError: the ledger cannot be written.
    """
    check_unique([seed.id for seed in seeds], "seed id")
    known = guidelines if guidelines is not None else load_guidelines(settings.guidelines)
    folder.mkdir(parents=True, exist_ok=True)
    with alone_in(folder), Store(folder / LEDGER) as store:
        for part in (part for name in (ROWS, REJECTED, REPORT) for part in folder.glob(f".{name}.*")):
            part.unlink()  # half a file of a process that was killed
        ledger = Ledger(store)
        wanted = (settings.direct + settings.indirect + settings.negative) * len(settings.kinds)
        engine: Engine[SeedResult] = Engine(
            settings, ledger, sender, on_progress, lambda made: (len(made.rows), wanted)
        )
        programs = [synthesise(seed, personas, settings, known) for seed in seeds]
        driven = asyncio.run(_driven(engine, programs, sender))
        made = [driven.results[i] for i in sorted(driven.results)]
        judged = [row for one in made for row in one.rows]
        result, counts = apply_filters(judged, filters)
        rejections = [rejection for one in made for rejection in one.rejections] + result.rejected
        unfinished = {
            seeds[i].id: driven.missing.get(i, driven.stopped or "not begun")
            for i in range(len(seeds))
            if i not in driven.results
        }
        report = {
            "seeds": len(seeds),
            "finished": len(made),
            "unfinished": unfinished,
            "stopped": driven.stopped,
            "rows": len(result.kept),
            "relevant": sum(row.relevant for row in result.kept),
            "rejected": len(rejections),
            "stages": _stages(made) | {name: _in_out(*pair) for name, pair in counts.items()},
            "reasons": reasons(rejections),
            "judges": judges_report(judged),
            "coverage": coverage_report(result.kept, known),
            "unusable": _unusable(made),
            "faults": ledger.faults(),
            "calls": ledger.by_role(),
            "cost": ledger.cost,
            "cost_uncertain": ledger.uncertain,
            "settings": settings.as_json(),
        }
        write_rows(folder / ROWS, result.kept)
        write_rejections(folder / REJECTED, rejections)
        write_json(folder / REPORT, report)
    return Synthesis(result.kept, rejections, report, driven.wanted, unfinished, driven.stopped)


def dry_run(
    seeds: Sequence[Seed], personas: Sequence[Persona], settings: SynthSettings, shown: int = 3
) -> dict[str, Any]:
    """The first prompts, and what the whole run will cost at most if no answer has to be asked for twice.

    Later prompts hold earlier answers, which are taken to be as long as the guidelines allow.
    """
    known = load_guidelines(settings.guidelines)
    first: list[Question] = []
    for seed in seeds:
        first += next(synthesise(seed, personas, settings, known))
    passages = settings.direct + settings.indirect + settings.negative
    queries = len(seeds) * len(settings.kinds)
    calls = {"writer": queries * (2 + passages), "reasoner": queries}
    for judge in settings.judges:
        calls[judge] = queries * passages * settings.votes
    # A word is at most two tokens in the languages the templates are written for.
    thought, passage = 2 * known.words["thought"][1], 2 * known.words["passage"][1]
    cost = sum(most_it_can_cost(question, settings.role("writer")) for question in first)
    prompt = {"writer": 600 + thought, "reasoner": 400, "judge": 200 + passage, "second": 200 + passage}
    for name, number in calls.items():
        role = settings.role(name)
        counted = number - (len(first) if name == "writer" else 0)
        cost += counted * role.cost(prompt[name], role.max_tokens)
    return {
        "seeds": len(seeds),
        "calls": calls,
        "cost_at_most": cost,
        "prompts": [
            {"role": question.role, "messages": [message._asdict() for message in question.messages]}
            for question in first[:shown]
        ],
    }


async def _driven(
    engine: Engine[SeedResult], programs: Sequence[Any], sender: Sends | None
) -> Driven[SeedResult]:
    try:
        return await engine.run(programs)
    except ExceptionGroup as several:
        # Any of them ends the run: a ledger that cannot be written, or a defect.
        raise several.exceptions[0] from several
    finally:
        close = getattr(sender, "aclose", None)
        if close is not None:
            await close()


def _stages(made: Sequence[SeedResult]) -> dict[str, dict[str, float]]:
    totals: dict[str, tuple[int, int]] = {}
    for one in made:
        for stage, (given, out) in one.counts.items():
            before = totals.get(stage, (0, 0))
            totals[stage] = before[0] + given, before[1] + out
    return {stage: _in_out(*pair) for stage, pair in totals.items()}


def _unusable(made: Sequence[SeedResult]) -> dict[str, dict[str, int]]:
    totals: dict[str, Counter[str]] = {}
    for one in made:
        for stage, kinds in one.unusable.items():
            totals.setdefault(stage, Counter()).update(kinds)
    return {stage: dict(sorted(kinds.items())) for stage, kinds in totals.items() if kinds}


def _in_out(given: int, out: int) -> dict[str, float]:
    return {"in": given, "out": out, "accepted": out / given if given else 1.0}
