"""A test collection: corpus and queries in BEIR's layout, judgements in BEIR's and in TREC's.

Grades: 2 answers directly, 1 helps, 0 does not; see `gold_groups.grade`. Passages with equal texts are one
document. One that states something untrue on purpose has `false_claim` in its fields.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from limrank_plugins.errors import InputError
from limrank_plugins.files import json_line
from limrank_plugins.io import check_trec_ids
from limrank_plugins.outputs import writing_whole
from limrank_plugins.segments import clean_text
from limrank_synth.exports import ExportCounts, ExportLayout, ExportOptions
from limrank_synth.gold_groups import grade
from limrank_synth.records import LabelledPassage


def write(rows: Iterable[LabelledPassage], folder: Path, options: ExportOptions) -> ExportCounts:
    """Every row is a judgement; its passage and query are written once, and those of `options.corpus`.

    Raises:
        InputError: an id that a TREC file cannot hold, or one query id with two texts.
    """
    documents: dict[bytes, str] = {}
    queries: dict[str, bytes] = {}
    judged: set[tuple[str, str]] = set()
    left_out = Counter[str]()
    beir_name = f"qrels/{options.split}.tsv"

    def document_of(row: LabelledPassage) -> str:
        """The id of the row's passage, which is written where its text is new."""
        text = _digest(row.passage)
        if text not in documents:
            check_trec_ids([row.id], "row id")
            documents[text] = row.id
            flag: dict[str, object] = {"false_claim": True} if row.false_claim else {}
            record = {"_id": row.id, "title": "", "text": row.passage, **flag}
            corpus_file(json_line(record).encode())
        return documents[text]

    with (
        writing_whole(folder / "corpus.jsonl") as corpus_file,
        writing_whole(folder / "queries.jsonl") as queries_file,
        writing_whole(folder / beir_name) as beir_qrels,
        writing_whole(folder / "qrels.txt") as trec_qrels,
    ):
        beir_qrels(b"query-id\tcorpus-id\tscore\n")
        for row in rows:
            digest = _digest(row.query)
            if row.query_id not in queries:
                check_trec_ids([row.query_id], "query id")
                queries[row.query_id] = digest
                queries_file(json_line({"_id": row.query_id, "text": row.query}).encode())
            elif queries[row.query_id] != digest:
                raise InputError(f"query id {row.query_id!r} stands for two different texts")
            document = document_of(row)
            if (row.query_id, document) in judged:
                left_out["row: its passage is judged for its query already"] += 1
                continue
            judged.add((row.query_id, document))
            beir_qrels(clean_text(f"{row.query_id}\t{document}\t{grade(row)}\n").encode())
            trec_qrels(clean_text(f"{row.query_id} 0 {document} {grade(row)}\n").encode())
        for row in options.corpus:
            document_of(row)
    files = {"corpus.jsonl": len(documents), "queries.jsonl": len(queries), "qrels.txt": len(judged)}
    return ExportCounts(files | {beir_name: len(judged)}, left_out)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]


LAYOUT = ExportLayout(
    "trec",
    "a collection with graded judgements, in BEIR's and TREC's layouts",
    write,
    ("corpus.jsonl", "queries.jsonl", "qrels", "qrels.txt"),
    generates=False,
)
