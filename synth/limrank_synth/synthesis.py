"""One seed's way through all stages, as one program: what it asks, and the rows it ends in."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from limrank_plugins.readouts.lockstep import together
from limrank_synth.asking import Asking, Rejected
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
from limrank_synth.settings import SynthSettings
from limrank_synth.stages.judge_votes import judge
from limrank_synth.stages.passages import describe, intents_for, write
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

    def count(self, stage: str, given: int, made: int) -> None:
        """Add to a stage's statistics."""
        before = self.counts.get(stage, (0, 0))
        self.counts[stage] = before[0] + given, before[1] + made


def synthesise(
    seed: Seed, personas: Sequence[Persona], settings: SynthSettings, guidelines: Guidelines
) -> Asking[SeedResult]:
    """All stages for one seed. Everything drawn depends on the run's seed and this seed's id alone."""
    made = SeedResult()
    kinds = [cast(Kind, kind) for kind in settings.kinds]
    yield from together([_query(seed, kind, personas, settings, guidelines, made) for kind in kinds])
    # In a fixed order, whichever query was ready first.
    made.rows.sort(key=lambda row: row.id)
    made.rejections.sort(key=lambda rejection: (rejection.item, rejection.stage))
    return made


def _query(
    seed: Seed,
    kind: Kind,
    personas: Sequence[Persona],
    settings: SynthSettings,
    guidelines: Guidelines,
    made: SeedResult,
) -> Asking[None]:
    rng = _generator(settings.seed, seed.id, kind)
    persona = sample(personas, rng)
    target = guidelines.draw(kind, rng)
    intents = intents_for(rng, settings.direct, settings.indirect, settings.negative)
    stage, attempts = "rewriting", settings.attempts
    try:
        made.count(stage, 1, 0)
        query = yield from rewrite(seed, persona, target, guidelines, attempts, made.unusable[stage])
        made.count(stage, 0, 1)
        stage = "reasoning"
        made.count(stage, 1, 0)
        query = yield from reason(query, guidelines, attempts, made.unusable[stage])
        made.count(stage, 0, 1)
        stage = "descriptions"
        made.count(stage, len(intents), 0)
        descriptions = yield from describe(query, intents, guidelines, attempts, made.unusable[stage])
        made.count(stage, 0, len(descriptions))
    except Rejected as rejected:
        made.rejections.append(Rejection(stage, f"{seed.id}/{kind}", str(rejected), seed.text))
        return
    passages, lost = yield from write(
        query, intents, descriptions, guidelines, attempts, made.unusable["passages"]
    )
    made.rejections += lost
    made.count("passages", len(intents), len(passages))
    yield from together([_judged(query, passage, settings, made) for passage in passages])


def _judged(
    query: WrittenQuery, passage: WrittenPassage, settings: SynthSettings, made: SeedResult
) -> Asking[None]:
    said = yield from together(
        [
            judge(query, passage, role, settings.votes, settings.attempts, made.unusable["judging"])
            for role in settings.judges
        ]
    )
    made.count("judging", 1, 0)
    lost = [one for one in said if isinstance(one, Rejection)]
    if lost:
        # One passage is one rejection, however many judges failed.
        why = "; ".join(one.reason for one in lost)
        made.rejections.append(Rejection("judging", passage.id, why, passage.text))
        return
    verdicts = [one for one in said if not isinstance(one, Rejection)]
    first = verdicts[0]
    made.count("judging", 0, 1)
    relevant = sum(verdict.relevant for verdict in first) * 2 > len(first)
    # The trace must argue for the label it stands before.
    trace = next(verdict.trace for verdict in first if verdict.relevant == relevant)
    made.rows.append(
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
            votes=tuple(verdict.relevant for verdict in first),
            second=tuple(verdict.relevant for verdict in verdicts[1]) if len(verdicts) > 1 else (),
            sources=_sources(query, settings),
            meta={
                "seed": query.seed.text,
                "persona": query.persona.text,
                "thought": query.thought,
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


def _generator(run: int, seed: str, kind: str) -> random.Random:
    name = json.dumps([run, seed, kind], ensure_ascii=True)
    return random.Random(hashlib.sha256(name.encode("ascii")).digest())
