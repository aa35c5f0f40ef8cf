"""A synthesis from seeds to filtered rows: as often as it is started, it goes on where it was."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limrank_plugins.backends.metered import most_tokens
from limrank_plugins.backends.protocols import Backend
from limrank_plugins.begun_anew import place_of
from limrank_plugins.data import check_unique
from limrank_plugins.errors import InputError
from limrank_plugins.files import json_rows, read_json
from limrank_plugins.outputs import write_json
from limrank_plugins.reply_store import To
from limrank_plugins.wording import exact_dollars, number_of, verb_for
from limrank_synth.filters import Filter, apply_filters
from limrank_synth.filters.agreement import judges_report
from limrank_synth.filters.coverage import coverage_report
from limrank_synth.guidelines import load_guidelines
from limrank_synth.records import LabelledPassage, Persona, Rejection, Seed
from limrank_synth.role_requests import RoleRequest
from limrank_synth.roles import draw, most_cost
from limrank_synth.run_files import (
    REJECTED,
    REPORT,
    ROWS,
    RUN_FILES,
    rejection_report,
    write_rejections,
    write_rows,
)
from limrank_synth.run_identity import RUN, RunIdentity, digest_of
from limrank_synth.settings import SynthSettings
from limrank_synth.stages.personas import check_personas
from limrank_synth.synth_job import JobProgress, run_job
from limrank_synth.synthesis import SeedResult, synthesise

_SHAPES = ("seed", "kinds", "direct", "indirect", "negative", "votes")
"""The settings that say which rows are made of a seed."""
_SHOWN = 3
"""Prompts that a dry run shows."""


@dataclass(frozen=True)
class Synthesis:
    """What a run came to.

    Attributes:
        rows: what passed every filter.
        rejections: what did not, and what was given up before, with reasons.
        report: numbers for people and programs; see `report.json` in `docs/synthesis.md`.
        unasked: requests without a reply, by key, where nobody was asked.
        unfinished: seeds that lack a reply, by id, with the reason.
        place: where the files are: the folder, unless something that was begun anew is unfinished.
        stopped: why the run ended early, or None.
    """

    rows: list[LabelledPassage]
    rejections: list[Rejection]
    report: dict[str, Any]
    unasked: dict[str, To]
    unfinished: dict[str, str]
    stopped: str | None
    place: Path


def synthesise_all(
    seeds: Sequence[Seed],
    personas: Sequence[Persona],
    settings: SynthSettings,
    folder: Path,
    *,
    offline: bool = False,
    fresh: bool = False,
    filters: Sequence[Filter] = (),
    backends: Mapping[str, Backend] | None = None,
    on_progress: Callable[[JobProgress], None] = lambda progress: None,
    say: Callable[[str], object] = lambda sentence: None,
) -> Synthesis:
    """Run it, and write `rows.jsonl`, `rejected.jsonl` and `report.json` into the folder.

    The set depends on seeds, personas, settings and the stored replies, not on when or how often it
    was started. Unfinished seeds are not in it; the report names them, and another run goes on with them.

    Args:
        seeds: each with an id of its own.
        personas: who may ask; at least one.
        settings: see there.
        folder: holds the ledger and the results; made if it is not there.
        offline: ask nobody; `unasked` holds what would have been asked.
        fresh: begin anew; see `run_job`.
        filters: applied to all rows in this order.
        backends: by role, backends that are already made; see `Roles`.
        on_progress: told about every change.
        say: gets a sentence about what was begun anew.

    Raises:
        InputError: no personas, seeds with one id, a file that cannot be read, another process in the
            folder, a ledger of an earlier version, or (unless `fresh`) a run of other seeds, personas or
            shapes in the folder.
        LimRankError: the ledger cannot be written.
    """
    ids = [seed.id for seed in seeds]
    check_unique(ids, "seed id")
    check_personas(personas)
    known = load_guidelines(settings.guidelines)
    wanted = settings.passages * len(settings.kinds)
    shapes = settings.as_json()
    identity = RunIdentity(
        "run",
        "seeds",
        tuple(seed.text for seed in seeds),
        {name: shapes[name] for name in _SHAPES} | {"personas": digest_of(p.text for p in personas)},
    )
    place = place_of(folder, identity.as_json(), fresh=fresh)
    if not fresh and not (place / RUN).is_file():
        _refuse_another_run(place, seeds, settings)
    with run_job(
        [synthesise(seed, personas, settings, known) for seed in seeds],
        ids,
        settings,
        folder,
        identity=identity,
        files=RUN_FILES,
        offline=offline,
        fresh=fresh,
        backends=backends,
        on_progress=on_progress,
        say=say,
        passages=lambda result: (len(result.rows), wanted),
        rejections=lambda result: result.rejections,
    ) as job:
        place = job.work.place
        for part in (part for name in RUN_FILES for part in place.glob(f".{name}.*")):
            part.unlink()  # half a file of a process that was killed
        judged = [row for result in job.results for row in result.rows]
        kept, counts = apply_filters(judged, filters)
        rejections = [rejection for result in job.results for rejection in result.rejections] + kept.rejected
        report = {
            "seeds": len(seeds),
            "finished": len(job.results),
            "rows": len(kept.kept),
            "relevant": sum(row.relevant for row in kept.kept),
            "stages": _stages(job.results) | {name: _in_out(*pair) for name, pair in counts.items()},
            **rejection_report(rejections),
            "judges": judges_report(judged),
            "coverage": coverage_report(kept.kept, known),
            "unusable": _unusable(job.results),
            **job.report,
        }
        write_rows(place / ROWS, kept.kept)
        write_rejections(place / REJECTED, rejections)
        write_json(place / REPORT, report)
    stopped = job.report["stopped"]
    return Synthesis(kept.kept, rejections, report, job.unasked, job.unfinished, stopped, job.work.place)


def dry_run(seeds: Sequence[Seed], personas: Sequence[Persona], settings: SynthSettings) -> dict[str, Any]:
    """The first prompts, and what the whole run takes at most, tokens and dollars, if nothing is asked twice.

    Later prompts hold earlier completions, which are taken to be as long as the guidelines allow. Where the
    price of a role is not known, `cost_at_most` is None, `unpriced` names it, and `known_cost_at_most` is
    that of the others.
    """
    check_personas(personas)
    known = load_guidelines(settings.guidelines)
    first: list[RoleRequest] = []
    for seed in seeds:
        first += next(synthesise(seed, personas, settings, known))
    queries = len(seeds) * len(settings.kinds)
    calls = {"writer": queries * (2 + settings.passages), "reasoner": queries}
    for judge in settings.judges:
        calls[judge] = queries * settings.passages * settings.votes
    # A word is at most two tokens in the languages the templates are written for.
    reasoning, passage = 2 * known.words["thought"][1], 2 * known.words["passage"][1]
    prompt = {"writer": 600 + reasoning, "reasoner": 400, "judge": 200 + passage, "second": 200 + passage}
    cost = sum(most_cost(request, settings) for request in first)
    tokens = [most_tokens(draw(request, settings)) for request in first]
    for name, number in calls.items():
        role = settings.role(name)
        counted = number - (len(first) if name == "writer" else 0)
        cost += counted * role.price.cost(prompt[name], role.max_tokens)
        tokens.append((counted * prompt[name], counted * role.max_tokens))
    read, written = (sum(column) for column in zip(*tokens, strict=True))
    unpriced = [name for name in calls if not settings.role(name).is_priced]
    return {
        "seeds": len(seeds),
        "calls": calls,
        "tokens_at_most": {"read": read, "written": written},
        "cost_at_most": None if unpriced else exact_dollars(cost),
        "known_cost_at_most": exact_dollars(cost),
        "unpriced": unpriced,
        "models": {name: settings.role(name).model for name in calls},
        "played_by_writer": [name for name in calls if name not in settings.roles],
        "prompts": [
            {
                "role": request.role,
                "messages": [
                    {"role": role, "text": "".join(segment.text for segment in segments)}
                    for role, segments in request.prompt.messages()
                ],
            }
            for request in first[:_SHOWN]
        ],
    }


def _refuse_another_run(folder: Path, seeds: Sequence[Seed], settings: SynthSettings) -> None:
    """Refuse a folder of an earlier version whose rows this run would replace; see `RunIdentity`.

    More seeds than before lose nothing, and another model or other filters are a choice.

    Raises:
        InputError: the folder holds rows of such a run; what differs is named.
    """
    if not (folder / ROWS).is_file():
        return
    try:
        there = {str(row["meta"]["seed"]) for _, row in json_rows(folder / ROWS)}
        report = read_json(folder / REPORT) if (folder / REPORT).is_file() else {}
        before = dict(report.get("settings", {}))
    except (InputError, LookupError, TypeError, ValueError, AttributeError):
        return  # not a run's rows, or damaged ones: there is nothing to compare with
    here = json.loads(json.dumps(settings.as_json()))
    differing = [
        f"{name} is {before[name]!r} there, {here[name]!r} here"
        for name in _SHAPES
        if name in before and before[name] != here[name]
    ]
    if missing := sorted(there - {seed.text for seed in seeds}):
        differing.append(
            f"{len(missing)} of its {number_of(len(there), 'seed')} {verb_for(len(missing), 'are')} not "
            f"among these {len(seeds)}, "
            f"e.g. {missing[0][:80]!r}"
        )
    if differing:
        raise InputError(
            f"{folder} holds the rows of another run: {'; '.join(differing)}. Name another --output, or "
            f"start it over with --fresh"
        )


def _stages(results: Sequence[SeedResult]) -> dict[str, dict[str, float]]:
    totals: dict[str, tuple[int, int]] = {}
    for result in results:
        for stage, (entered, left) in result.counts.items():
            before = totals.get(stage, (0, 0))
            totals[stage] = before[0] + entered, before[1] + left
    return {stage: _in_out(*pair) for stage, pair in totals.items()}


def _unusable(results: Sequence[SeedResult]) -> dict[str, dict[str, int]]:
    totals: dict[str, Counter[str]] = {}
    for result in results:
        for stage, kinds in result.unusable.items():
            totals.setdefault(stage, Counter()).update(kinds)
    return {stage: dict(sorted(kinds.items())) for stage, kinds in totals.items() if kinds}


def _in_out(entered: int, left: int) -> dict[str, float]:
    return {"in": entered, "out": left, "accepted": left / entered if entered else 1.0}
