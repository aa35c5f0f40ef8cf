"""One seed's way through all stages, as one program: what it asks, and the rows it ends in."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from limrank_plugins.readouts.lockstep import together
from limrank_plugins.seeding import seeded
from limrank_synth.guidelines import Guidelines
from limrank_synth.records import (
    Kind,
    LabelledPassage,
    Persona,
    Rejection,
    Seed,
    Source,
    WrittenPassage,
    WrittenQuery,
)
from limrank_synth.role_requests import RoleProgram, StageError
from limrank_synth.settings import SynthSettings
from limrank_synth.stages.judge_votes import judge
from limrank_synth.stages.passage_writing import describe, intents_for, write
from limrank_synth.stages.personas import sample
from limrank_synth.stages.query_rewriting import rewrite
from limrank_synth.stages.reasoning import reason


@dataclass
class SeedResult:
    """What became of one seed.

    Attributes:
        rows: judged passages, before any filter.
        rejections: what was given up on the way.
        counts: by stage, how many items went in and came out.
        unusable: by stage, the answers that could not be read, counted by what was wrong with them.
    """

    rows: list[LabelledPassage] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    unusable: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def count(self, stage: str, entered: int, left: int) -> None:
        """Add to a stage's statistics."""
        before = self.counts.get(stage, (0, 0))
        self.counts[stage] = before[0] + entered, before[1] + left


def synthesise(
    seed: Seed, personas: Sequence[Persona], settings: SynthSettings, guidelines: Guidelines
) -> RoleProgram[SeedResult]:
    """All stages for one seed. Everything drawn depends on the run's seed and this seed's id alone."""
    result = SeedResult()
    yield from together(
        [_query(seed, kind, personas, settings, guidelines, result) for kind in settings.kinds]
    )
    # In a fixed order, whichever query was ready first.
    result.rows.sort(key=lambda row: row.id)
    result.rejections.sort(key=lambda rejection: (rejection.item, rejection.stage))
    return result


def _query(
    seed: Seed,
    kind: Kind,
    personas: Sequence[Persona],
    settings: SynthSettings,
    guidelines: Guidelines,
    result: SeedResult,
) -> RoleProgram[None]:
    rng = seeded(json.dumps([settings.seed, seed.id, kind], ensure_ascii=True))
    persona = sample(personas, rng)
    target = guidelines.draw(kind, rng)
    intents = intents_for(rng, settings.direct, settings.indirect, settings.negative)
    stage, attempts = "rewriting", settings.attempts
    try:
        result.count(stage, 1, 0)
        query = yield from rewrite(seed, persona, target, guidelines, attempts, result.unusable[stage])
        result.count(stage, 0, 1)
        stage = "reasoning"
        result.count(stage, 1, 0)
        query = yield from reason(query, guidelines, attempts, result.unusable[stage])
        result.count(stage, 0, 1)
        stage = "descriptions"
        result.count(stage, len(intents), 0)
        descriptions = yield from describe(query, intents, guidelines, attempts, result.unusable[stage])
        result.count(stage, 0, len(descriptions))
    except StageError as rejected:
        result.rejections.append(
            Rejection(stage, f"{seed.id}/{kind}", str(rejected), seed.text, is_failure=rejected.is_failure)
        )
        return
    passages, lost = yield from write(
        query, intents, descriptions, guidelines, attempts, result.unusable["passages"]
    )
    result.rejections += lost
    result.count("passages", len(intents), len(passages))
    yield from together([_judged(query, passage, settings, result) for passage in passages])


def _judged(
    query: WrittenQuery, passage: WrittenPassage, settings: SynthSettings, result: SeedResult
) -> RoleProgram[None]:
    votes = yield from together(
        [
            judge(query, passage, role, settings.votes, settings.attempts, result.unusable["judging"])
            for role in settings.judges
        ]
    )
    result.count("judging", 1, 0)
    lost = [outcome for outcome in votes if isinstance(outcome, Rejection)]
    if lost:
        # One passage is one rejection, however many judges failed.
        why = "; ".join(rejection.reason for rejection in lost)
        is_failure = any(rejection.is_failure for rejection in lost)
        result.rejections.append(Rejection("judging", passage.id, why, passage.text, is_failure=is_failure))
        return
    by_judge = [outcome for outcome in votes if not isinstance(outcome, Rejection)]
    first = by_judge[0]
    result.count("judging", 0, 1)
    relevant = sum(vote.relevant for vote in first) * 2 > len(first)
    # The trace must argue for the label it stands before.
    trace = next(vote.trace for vote in first if vote.relevant == relevant)
    result.rows.append(
        LabelledPassage(
            id=passage.id,
            query_id=query.id,
            query=query.text,
            passage=passage.text,
            trace=trace,
            relevant=relevant,
            intent=passage.intent.name,
            false_claim=passage.intent.false_claim,
            kind=query.target.kind,
            domain=query.target.domain,
            difficulty=query.target.difficulty,
            votes=tuple(vote.relevant for vote in first),
            second=tuple(vote.relevant for vote in by_judge[1]) if len(by_judge) > 1 else (),
            sources=_sources(query, settings),
            meta={
                "seed": query.seed.text,
                "persona": query.persona.text,
                "thought": query.reasoning,
                "description": passage.description,
                "judge": settings.role("judge").model,
            },
        )
    )


def _sources(query: WrittenQuery, settings: SynthSettings) -> tuple[Source, ...]:
    """Every text and every model that went in; a model's terms bind what it wrote."""
    models = {settings.role(name).model for name in ("writer", "reasoner", *settings.judges)}
    written = [Source(f"model {model}", "terms of the model's provider") for model in sorted(models)]
    return (query.seed.source, query.persona.source, *written)
