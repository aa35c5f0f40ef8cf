"""`python -m limrank_training.world.reasoner`: a tiny model that judges with reasoning and without.

The held-out side of its world is written beside it as a collection, so that what reasoning is worth there
is measured by the same commands as for any other model and collection.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from limrank_plugins.backends.local.loading import no_progress_bar, pretrained
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.card import CARD
from limrank_plugins.cli import common
from limrank_plugins.outputs import write_json, write_whole
from limrank_plugins.prompts import load_template
from limrank_training.data.passage_layout import Example, PassageLayout
from limrank_training.data.passage_rows import PassageRow
from limrank_training.plans import Plan
from limrank_training.plans.shared_settings import OptimiserSettings
from limrank_training.sft import fine_tune
from limrank_training.world.base_model import DecoderShape, make_base
from limrank_training.world.language import ATTRIBUTES, World, make_world, stated
from limrank_training.world.proof_arms import RECIPES, SIZE
from limrank_training.world.queries import HARD
from limrank_training.world.topics import make_topics, rows_of

RECIPE = "limrank"
_CUTOFF = 512


@dataclass(frozen=True, slots=True)
class ReasonerScale:
    """How much of everything.

    Attributes:
        shape: of the base.
        topics: training queries, of four passages each.
        verdicts: how often each passage is read with its verdict alone; once it is read with its trace.
        batch: rows of a step.
        rate: of the fine-tuning, of all weights.
        asked: held-out queries of the collection.
    """

    shape: DecoderShape = field(default_factory=DecoderShape)
    topics: int = 2400
    verdicts: int = 3
    batch: int = 32
    rate: float = 2e-3
    asked: int = 60


def make_reasoner(world: World, folder: Path, scale: ReasonerScale, seed: int) -> Path:
    """Train a base to judge passages, with the steps that lead there and without, and write it into a folder.

    Args:
        world: its training side is shown.
        folder: where to.
        scale: see there.
        seed: of weights, texts, rows and their order.
    """
    with tempfile.TemporaryDirectory() as spare:
        base = make_base(world, Path(spare) / "base", RECIPES, scale.shape, seed)
        tokenizer = pretrained("AutoTokenizer", base, extra="training")
        model = pretrained("AutoModelForCausalLM", base, extra="training")
        examples = _examples(world, tokenizer, scale, seed)
        result = fine_tune(model, tokenizer.pad_token_id, examples, _plan(scale, seed), Path(spare) / "run")
    with no_progress_bar():
        result.model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_json(
        folder / CARD, {"recipe": RECIPE}
    )  # else it would be asked in a chat, as it has a chat template
    return folder


def write_collection(world: World, folder: Path, count: int, seed: int) -> None:
    """Every attribute of the held-out entities as a corpus, and queries that one of them answers."""
    side = world.side(held_out=True)
    ids = {(name, attribute): f"{name}-{attribute}" for name in side for attribute in ATTRIBUTES}
    corpus = (
        {"_id": doc, "text": stated(attribute, name, world.values[name, attribute])}
        for (name, attribute), doc in ids.items()
    )
    queries = [
        topic.query for topic in make_topics(world, random.Random(f"asked {seed}"), count, held_out=True)
    ]
    _write(folder / "corpus.jsonl", corpus)
    _write(
        folder / "queries.jsonl", ({"_id": f"q{i}", "text": query.text} for i, query in enumerate(queries))
    )
    lines = [f"q{i} 0 {ids[query.target, query.attribute]} 1\n" for i, query in enumerate(queries)]
    write_whole(folder / "qrels.trec", "".join(lines).encode("ascii"))


def _examples(world: World, tokenizer: Any, scale: ReasonerScale, seed: int) -> list[Example]:
    """Every row once with its trace, and some times with the verdict alone."""
    draw = random.Random(f"taught {seed}")
    topics = make_topics(world, draw, scale.topics, kinds=(*HARD, "random"), size=SIZE)
    rows = [
        PassageRow(row.topic.query.text, row.passage.text, row.trace, row.relevant, f"row {number}")
        for number, row in enumerate(rows_of(topics, draw))
    ]
    template, encoder = load_template(RECIPE), PromptEncoder(tokenizer)
    traced, bare = (PassageLayout(template, encoder, _CUTOFF, reasoning=how) for how in (True, False))
    laid = chain(map(traced.example, rows), *(map(bare.example, rows) for _ in range(scale.verdicts)))
    return [example for example in laid if example is not None]


def _plan(scale: ReasonerScale, seed: int) -> Plan:
    optimiser = OptimiserSettings(
        rate=scale.rate, schedule="cosine", warmup=0.05, epochs=1, batch=scale.batch, part=scale.batch
    )
    return Plan("reasoner", lora=None, optimiser=optimiser, precision="float32", seed=seed)


def _write(file: Path, records: Iterable[Mapping[str, str]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, "".join(json.dumps(record) + "\n" for record in records).encode("ascii"))


def main(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the model and the collection.")],
    seed: Annotated[int, typer.Option(help="Of the world, the model and the queries.")] = 0,
) -> None:
    """Train the small world's model for reasoning and verdicts, and write its collection beside it."""
    scale, world = ReasonerScale(), make_world(seed)
    write_collection(world, output / "world", scale.asked, seed)
    make_reasoner(world, output / "model", scale, seed)
    common.say(f"model: {output / 'model'}; collection: {output / 'world'}")


if __name__ == "__main__":
    typer.run(main)
