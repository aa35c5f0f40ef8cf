"""A collection of synthetic documents as files, and the run that makes it: see `documents`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from limrank_plugins.errors import InputError
from limrank_plugins.io import check_trec_ids
from limrank_synth.documents import (
    SPLITS,
    Negatives,
    QueryAnswers,
    SyntheticCollection,
    collect,
    negatives,
    split,
    synthesise_documents,
)
from limrank_synth.driving import Outcome, driven
from limrank_synth.engine import Progress, Sends
from limrank_synth.lines import whole_lines
from limrank_synth.records import Seed
from limrank_synth.run_files import REJECTED, REPORT, write_rejections, write_report
from limrank_synth.settings import SynthSettings


def make_documents(
    queries: Sequence[Seed],
    settings: SynthSettings,
    folder: Path,
    *,
    sender: Sends | None,
    samples: int = 1,
    per_positive: int = 4,
    how: Negatives = "random",
    on_progress: Callable[[Progress], None] | None = None,
) -> Outcome[QueryAnswers]:
    """Have every query answered, and write the collection; started again, it goes on where it was.

    Args:
        queries: what is answered; each with an id of its own.
        settings: who writes.
        folder: of the ledger, the collection (see `write_collection`), `rejected.jsonl` and `report.json`.
        sender: who answers; None: nobody is asked.
        samples: answers to each query.
        per_positive: negatives for each positive.
        how: see `documents.negatives`.
        on_progress: told about every change.

    Raises:
        InputError: an id twice or one that no TREC file can hold, or a senseless number.
    """
    if samples < 1 or per_positive < 0:
        raise InputError(f"samples must be > 0 and negatives >= 0, but got {samples} and {per_positive}")
    ids = [query.id for query in queries]
    check_trec_ids(ids, "query id")
    programs = [synthesise_documents(query, settings, samples) for query in queries]
    with driven(programs, ids, settings, folder, sender, on_progress) as outcome:
        made = collect(outcome.results)
        report = {
            "queries": len(queries),
            "answered": len(made.queries),
            "documents": len(made.documents),
            "duplicates": made.duplicates,
            "rejected": len(made.rejections),
            "splits": write_collection(made, folder, per_positive, how, settings.seed),
            **outcome.report,
        }
        write_rejections(folder / REJECTED, made.rejections)
        write_report(folder / REPORT, report)
    return replace(outcome, report=report)


def write_collection(
    made: SyntheticCollection,
    folder: Path,
    per_positive: int,
    how: Negatives = "random",
    seed: int = 0,
    shares: Mapping[str, float] = SPLITS,
) -> dict[str, dict[str, int]]:
    """Write `corpus.jsonl`, `queries.jsonl` and, of each split, `qrels/NAME.tsv` and `NAME.jsonl`.

    The latter holds pairs of query and passage with a label, for a cross-encoder. Splits share no query;
    a split's negatives answer queries of that split, so that no text of a test is seen in training, but
    for one that answers queries of both.

    Args:
        made: the collection.
        folder: made if it is not there.
        per_positive: negatives for each positive.
        how: see `documents.negatives`.
        seed: of splits and negatives.
        shares: of the splits, by name.

    Returns:
        By split: queries, positive and negative pairs.
    """
    with whole_lines(folder / "corpus.jsonl") as line:
        for identifier, text in made.documents.items():
            origin = made.provenance[identifier]
            line(_json({"_id": identifier, "title": "", "text": text, "answers": origin}))
    with whole_lines(folder / "queries.jsonl") as line:
        for query in made.queries:
            source = {"source": query.source.name, "licence": query.source.licence}
            line(_json({"_id": query.id, "text": query.text, **source}))
    place = split(made.queries, shares, seed)
    counts: dict[str, dict[str, int]] = {}
    for name in shares:
        part = _part(made, [query for query in made.queries if place[query.id] == name])
        most = max((len(own) for own in part.relevant.values()), default=0)
        against = negatives(part, per_positive * most, how, seed)
        totals = {"queries": len(part.queries), "positives": 0, "negatives": 0}
        with (
            whole_lines(folder / "qrels" / f"{name}.tsv") as qrels,
            whole_lines(folder / f"{name}.jsonl") as line,
        ):
            qrels("query-id\tcorpus-id\tscore\n")
            for query in part.queries:
                own = part.relevant[query.id]
                others = against[query.id][: per_positive * len(own)]
                totals["positives"] += len(own)
                totals["negatives"] += len(others)
                for identifier in own:
                    qrels(f"{query.id}\t{identifier}\t1\n")
                for identifier, label in [*((i, 1.0) for i in own), *((i, 0.0) for i in others)]:
                    pair = {"query": query.text, "passage": part.documents[identifier], "label": label}
                    line(_json(pair))
        counts[name] = totals
    return counts


def _part(made: SyntheticCollection, queries: list[Seed]) -> SyntheticCollection:
    """The collection of these queries alone."""
    relevant = {query.id: made.relevant[query.id] for query in queries}
    held = dict.fromkeys(identifier for own in relevant.values() for identifier in own)
    documents = {identifier: made.documents[identifier] for identifier in held}
    return SyntheticCollection(queries=queries, documents=documents, relevant=relevant)


def _json(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"
