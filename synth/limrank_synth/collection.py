"""A collection of synthetic documents as files, and the run that makes it: see `synthetic_documents`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from limrank_plugins.backends.protocols import Backend
from limrank_plugins.errors import InputError
from limrank_plugins.io import check_trec_ids
from limrank_plugins.outputs import write_json, write_json_lines, write_whole
from limrank_plugins.segments import clean_text
from limrank_synth.records import Seed
from limrank_synth.run_files import REJECTED, REPORT, rejection_report, write_rejections
from limrank_synth.run_identity import RunIdentity
from limrank_synth.settings import SynthSettings
from limrank_synth.synth_job import JobProgress, JobResult, run_job
from limrank_synth.synthetic_documents import (
    SPLITS,
    Negatives,
    QueryAnswers,
    SyntheticCollection,
    collect,
    negatives,
    split,
    synthesise_documents,
)

FILES = (
    "corpus.jsonl", "queries.jsonl", *(f"{name}.jsonl" for name in SPLITS),
    *(f"qrels/{name}.tsv" for name in SPLITS), REJECTED, REPORT,
)  # fmt: skip


def make_documents(
    queries: Sequence[Seed],
    settings: SynthSettings,
    folder: Path,
    *,
    samples: int = 1,
    per_positive: int = 4,
    how: Negatives = "random",
    fresh: bool = False,
    backends: Mapping[str, Backend] | None = None,
    on_progress: Callable[[JobProgress], None] = lambda progress: None,
    say: Callable[[str], object] = lambda sentence: None,
) -> JobResult[QueryAnswers]:
    """Have every query answered, and write the collection; started again, it goes on where it was.

    Args:
        queries: what is answered; each with an id of its own.
        settings: who writes.
        folder: of the ledger, the collection (see `write_collection`), `rejected.jsonl` and `report.json`.
        samples: answers to each query.
        per_positive: negatives for each positive.
        how: see `synthetic_documents.negatives`.
        fresh: begin anew; see `run_job`.
        backends: by role, backends that are already made; see `Roles`.
        on_progress: told about every change.
        say: gets a sentence about what was begun anew.

    Raises:
        InputError: an id twice or one that no TREC file can hold, a senseless number, or what `run_job`
            raises.
    """
    if samples < 1 or per_positive < 0:
        raise InputError(f"samples must be > 0 and negatives >= 0, but got {samples} and {per_positive}")
    ids = [query.id for query in queries]
    check_trec_ids(ids, "query id")
    programs = [synthesise_documents(query, settings, samples) for query in queries]
    # Negatives are drawn anew from the same answers: their number and kind are a choice.
    texts = tuple(query.text for query in queries)
    identity = RunIdentity("documents", "queries", texts, {"seed": settings.seed}, {"samples": samples})
    with run_job(
        programs,
        ids,
        settings,
        folder,
        identity=identity,
        files=FILES,
        fresh=fresh,
        backends=backends,
        on_progress=on_progress,
        say=say,
        rejections=lambda result: result.rejections,
    ) as job:
        collection = collect(job.results)
        report = {
            "queries": len(queries),
            "answered": len(collection.queries),
            "documents": len(collection.documents),
            "duplicates": collection.duplicates,
            **rejection_report(collection.rejections),
            "splits": write_collection(collection, job.work.place, per_positive, how, settings.seed),
            **job.report,
        }
        write_rejections(job.work.place / REJECTED, collection.rejections)
        write_json(job.work.place / REPORT, report)
    return replace(job, report=report)


def write_collection(
    collection: SyntheticCollection,
    folder: Path,
    per_positive: int,
    how: Negatives = "random",
    seed: int = 0,
) -> dict[str, dict[str, int]]:
    """Write `corpus.jsonl`, `queries.jsonl` and, of each split, `qrels/NAME.tsv` and `NAME.jsonl`.

    The latter holds pairs of query and passage with a label, for a cross-encoder. Splits share no query;
    a split's negatives answer queries of that split, so that no text of a test is seen in training, but
    for one that answers queries of both.

    Args:
        collection: what is written.
        folder: made if it is not there.
        per_positive: negatives for each positive.
        how: see `synthetic_documents.negatives`.
        seed: of splits and negatives.

    Returns:
        By split: queries, positive and negative pairs.
    """
    write_json_lines(
        folder / "corpus.jsonl",
        (
            {"_id": identifier, "title": "", "text": text, "answers": collection.provenance[identifier]}
            for identifier, text in collection.documents.items()
        ),
    )
    write_json_lines(
        folder / "queries.jsonl",
        (
            {
                "_id": query.id,
                "text": query.text,
                "source": query.source.name,
                "licence": query.source.licence,
            }
            for query in collection.queries
        ),
    )
    place = split(collection.queries, SPLITS, seed)
    counts: dict[str, dict[str, int]] = {}
    for name in SPLITS:
        part = _part(collection, [query for query in collection.queries if place[query.id] == name])
        most = max((len(own) for own in part.relevant.values()), default=0)
        against = negatives(part, per_positive * most, how, seed)
        totals = {"queries": len(part.queries), "positives": 0, "negatives": 0}
        qrels, pairs = ["query-id\tcorpus-id\tscore\n"], []
        for query in part.queries:
            own = part.relevant[query.id]
            others = against[query.id][: per_positive * len(own)]
            totals["positives"] += len(own)
            totals["negatives"] += len(others)
            qrels += [f"{query.id}\t{identifier}\t1\n" for identifier in own]
            labels = [*((i, 1.0) for i in own), *((i, 0.0) for i in others)]
            pairs += [
                {"query": query.text, "passage": part.documents[identifier], "label": label}
                for identifier, label in labels
            ]
        write_whole(folder / "qrels" / f"{name}.tsv", clean_text("".join(qrels)).encode("utf-8"))
        write_json_lines(folder / f"{name}.jsonl", pairs)
        counts[name] = totals
    return counts


def _part(collection: SyntheticCollection, queries: list[Seed]) -> SyntheticCollection:
    """The collection of these queries alone."""
    relevant = {query.id: collection.relevant[query.id] for query in queries}
    held = dict.fromkeys(identifier for own in relevant.values() for identifier in own)
    documents = {identifier: collection.documents[identifier] for identifier in held}
    return SyntheticCollection(queries=queries, documents=documents, relevant=relevant)
