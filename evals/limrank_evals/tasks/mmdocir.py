"""MMDocIR (arXiv 2501.08828): which pages, and which layouts on them, answer a question about a document.

`MMDocIR/MMDocIR_Evaluation_Dataset` on the hub has `MMDocIR_annotations.jsonl` (one line a document:
`doc_name`, `domain`, `page_indices` and `layout_indices`, first and last row in the tables, and `questions`
with `Q`, `page_id` and `layout_mapping`), `MMDocIR_pages.parquet` and `MMDocIR_layouts.parquet` (an image
and texts a row). Only the question's own document is searched. Format, counts and licence: dataset/README.md
of github.com/MMDocRAG/MMDocIR, whose annotations have 1,658 questions (its front page says 1,685).

Pages are relevant by number. Layouts are not: the published recall of layouts is the share of the labelled
area that the first k cover (metric_eval.py there), which `Benchmark.areas` and `layout_recall` give. For
measures that want relevant documents, a layout is one where at least half of it lies within labelled boxes
or it covers half of one; that rule is ours. Published averages are over questions ("micro") and over the
domains' averages ("macro", by `Benchmark.groups`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from limrank_evals.judgements import Qrels
from limrank_evals.loaders.benchmark import Benchmark, check_count
from limrank_evals.loaders.boxes import Box, area, as_box, overlap
from limrank_evals.loaders.dataset_rows import field, file_rows
from limrank_evals.loaders.repository import repository_file
from limrank_evals.splits import Average, Split
from limrank_evals.tasks.task import IMAGES, Task
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError
from limrank_plugins.images import Image

HUB = "MMDocIR/MMDocIR_Evaluation_Dataset"
LICENCE = "CC BY-NC 4.0, for research only"
MMDOCIR_PAGE_MEASURES = ("R@1", "R@3", "R@5")
MMDOCIR_LAYOUT_CUTS = (1, 5, 10)
MMDOCIR_DOMAINS = (
    "Research report / Introduction",
    "Administration/Industry file",
    "Tutorial/Workshop",
    "Academic paper",
    "Brochure",
    "Financial report",
    "Guidebook",
    "Government",
    "Laws",
    "News",
)
QUESTIONS, PAGES, LAYOUTS = 1_658, 20_395, 170_338
# Their text is what was read from the image; other layouts have one of their own.
_PICTURED = ("table", "image", "figure")


@dataclass(frozen=True, slots=True)
class _SourceDocument:
    """A document: where its rows are, first and last, and its questions with their numbers."""

    name: str
    domain: str
    rows: tuple[int, int]
    questions: tuple[tuple[str, dict[str, Any]], ...]


def load_mmdocir(
    level: str = "page",
    source: str | os.PathLike[str] = HUB,
    *,
    text: str = "ocr_text",
    images: bool = True,
    domain: str = "",
    strict: bool = True,
) -> Benchmark:
    """Load its pages or its layouts; its lists are not rankings.

    Args:
        level: `"page"` or `"layout"`.
        source: the hub's repository, or a folder with its files.
        text: which text stands beside (or, without images, for) an image: `"ocr_text"` or `"vlm_text"`.
        images: read the images, too. All of them are in memory at once: several gigabytes, unless a
            domain is chosen.
        domain: only documents of this one of `MMDOCIR_DOMAINS`.
        strict: a number of questions, pages or layouts that is not the published one is an error, not a
            warning. It is not looked at where a domain is chosen.

    Raises:
        InputError: a value that cannot be used, wrong rows or counts, or tables that do not belong to the
            annotations.
        BackendError: the hub cannot be read.
    """
    if level not in ("page", "layout"):
        raise InputError(f"level must be 'page' or 'layout', but is {level!r}")
    if text not in ("ocr_text", "vlm_text"):
        raise InputError(f"text must be 'ocr_text' or 'vlm_text', but is {text!r}")
    if domain and domain not in MMDOCIR_DOMAINS:
        raise InputError(f"MMDocIR has no domain {domain!r}; it has {', '.join(MMDOCIR_DOMAINS)}")
    where = f"MMDocIR {level}s"
    annotations = repository_file(source, "MMDocIR_annotations.jsonl")
    docs = [doc for doc in _docs(annotations, level) if domain in ("", doc.domain)]
    table = repository_file(source, f"MMDocIR_{level}s.parquet")
    documents: list[Document] = []
    boxes: dict[str, tuple[int, Box]] = {}
    candidates: dict[str, list[str]] = {}
    for doc, place, row, at in _rows(table, docs, level, text, images):
        name = f"{doc.name}#{level}{place}"
        documents.append(Document(_text(row, level, text), name, images=_images(row, at) if images else ()))
        if level == "layout":
            boxes[name] = field(row, "page_id", at, int), as_box(row.get("bbox"), at)
        for query, _ in doc.questions:
            candidates.setdefault(query, []).append(name)
    questions = [
        (doc, query, row, f"{annotations}, question {query}") for doc in docs for query, row in doc.questions
    ]
    warnings = []
    if not domain:
        published = PAGES if level == "page" else LAYOUTS
        warnings += check_count("MMDocIR, questions", len(questions), QUESTIONS, strict=strict)
        warnings += check_count(where, len(documents), published, strict=strict)
    qrels: Qrels = {}
    areas: dict[str, dict[str, float]] = {}
    for doc, query, row, at in questions:
        if level == "page":
            qrels[query] = _pages(doc, row, at)
        else:
            areas[query], qrels[query] = _covered(row, candidates[query], boxes, at)
    return Benchmark(
        "MMDocIR",
        f"{level}: {domain}" if domain else level,
        tuple(Query(field(row, "Q", at), query) for _, query, row, at in questions),
        tuple(documents),
        qrels,
        groups={
            name: frozenset(query for doc, query, *_ in questions if doc.domain == name)
            for name in dict.fromkeys(doc.domain for doc in docs)
        },
        licence=LICENCE,
        variant=f"{'images and ' if images else ''}{text}",
        candidates=candidates,
        are_ranked=False,
        areas=areas,
        warnings=tuple(warnings),
    )


def layout_recall(ranked: Sequence[str], areas: Mapping[str, float], k: int) -> float:
    """MMDocIR's recall of layouts: the share of the labelled area that the first k cover.

    Layouts that overlap count twice, as published, so that it can exceed 1.

    Args:
        ranked: a question's layouts, best first.
        areas: of that question, from `Benchmark.areas`.
        k: how many count.
    """
    return sum(areas.get(layout, 0.0) for layout in ranked[:k])


def _docs(file: Path, level: str) -> list[_SourceDocument]:
    """The documents in the annotations, with their questions numbered over the whole file from q1."""
    documents, number_of_questions = [], 0
    for number, row in enumerate(file_rows(file), start=1):
        where = f"{file}, line {number}"
        rows = field(row, f"{level}_indices", where, list)
        if len(rows) != 2 or not all(isinstance(end, int) for end in rows) or not 0 <= rows[0] <= rows[1]:
            raise InputError(f"{where}: '{level}_indices' must be a first and a last row, but is {rows!r}")
        questions = []
        for question in field(row, "questions", where, list):
            number_of_questions += 1
            if not isinstance(question, dict):
                raise InputError(f"{where}: expected a question, but got {str(question)[:80]!r}")
            questions.append((f"q{number_of_questions}", question))
        name, domain = field(row, "doc_name", where), field(row, "domain", where)
        documents.append(_SourceDocument(name, domain, (rows[0], rows[1]), tuple(questions)))
    return documents


def _rows(
    table: Path, docs: Sequence[_SourceDocument], level: str, text: str, images: bool
) -> Iterator[tuple[_SourceDocument, int, dict[str, Any], str]]:
    """The documents' rows: of which document, which of its rows, the row, and what to call it."""
    columns = ["doc_name", text]
    columns += ["image_binary"] if images else []
    columns += ["type", "page_id", "text", "bbox"] if level == "layout" else []
    starts = sorted(docs, key=lambda doc: doc.rows)
    place, number = 0, -1
    for number, row in enumerate(file_rows(table, columns, at_once=64 if images else 4096)):
        while place < len(starts) and starts[place].rows[1] < number:
            place += 1
        if place == len(starts):
            return
        doc, at = starts[place], f"{table}, row {number}"
        if number < doc.rows[0]:
            continue
        if row["doc_name"] != doc.name:
            raise InputError(
                f"{at}: it is of {row['doc_name']!r}, but by the annotations of {doc.name!r}: table and "
                f"annotations are not of one version"
            )
        yield doc, number - doc.rows[0], row, at
    if starts and number < starts[-1].rows[1]:
        raise InputError(f"{table} ends before row {starts[-1].rows[1]}, which the annotations name")


def _text(row: dict[str, Any], level: str, text: str) -> str:
    own = row.get("text") if level == "layout" and row.get("type") not in _PICTURED else None
    return str(own or row.get(text) or "")


def _images(row: dict[str, Any], where: str) -> tuple[Image, ...]:
    # A table written by `datasets` wraps the bytes.
    data = row["image_binary"]
    try:
        return (Image(data["bytes"] if isinstance(data, dict) and "bytes" in data else data),)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _pages(doc: _SourceDocument, row: dict[str, Any], where: str) -> dict[str, int]:
    pages = field(row, "page_id", where, list)
    last = doc.rows[1] - doc.rows[0]
    for page in pages:
        if not isinstance(page, int) or not 0 <= page <= last:
            raise InputError(f"{where}: {doc.name} has the pages 0 to {last}, but not {page!r}")
    return {f"{doc.name}#page{page}": 1 for page in pages}


def _labels(row: dict[str, Any], where: str) -> list[tuple[int, Box]]:
    """The labelled boxes, each with its page."""
    labels = []
    for label in field(row, "layout_mapping", where, list):
        if not isinstance(label, dict):
            raise InputError(f"{where}: expected a page and a box, but got {str(label)[:80]!r}")
        labels.append((field(label, "page", where, int), as_box(label.get("bbox"), where)))
    return labels


def _covered(
    row: dict[str, Any], layouts: Sequence[str], boxes: Mapping[str, tuple[int, Box]], where: str
) -> tuple[dict[str, float], dict[str, int]]:
    """The layouts' shares of the labelled area, and the grades of those that count as relevant."""
    labels = _labels(row, where)
    whole = sum(area(box) for _, box in labels)
    areas, grades = {}, {}
    for layout in layouts:
        page, box = boxes[layout]
        shared = [(overlap(box, labelled), area(labelled)) for at, labelled in labels if at == page]
        within = sum(common for common, _ in shared)
        if within > 0:
            areas[layout] = within / whole
        if within > 0 and (2 * within >= area(box) or any(2 * common >= size for common, size in shared)):
            grades[layout] = 1
    return areas, grades


LEVELS = ("page", "layout")


def load(
    split: str,
    source: str,
    *,
    strict: bool = True,
    text: str = "ocr_text",
    images: bool = True,
    domain: str = "",
) -> Split:
    """Pages or layouts; raises as `load_mmdocir` does."""
    benchmark = load_mmdocir(split, source, text=text, images=images, domain=domain, strict=strict)
    own = (
        {}
        if split == "page"
        else {f"area@{k}": partial(_area, benchmark.areas, k) for k in MMDOCIR_LAYOUT_CUTS}
    )
    domains = tuple(benchmark.groups)
    macro = (Average("macro: over domains", over=domains),) if len(domains) > 1 else ()
    return Split(
        benchmark,
        MMDOCIR_PAGE_MEASURES if split == "page" else (*own, "R@10"),
        lists="the document's own pages" if split == "page" else "the document's own layouts",
        own=own,
        averages=(Average("micro: over questions"), *macro),
    )


def _area(areas: Mapping[str, Mapping[str, float]], k: int, query: str, ranked: Sequence[str]) -> float:
    return layout_recall(ranked, areas.get(query, {}), k)


TASK = Task(
    name="mmdocir",
    title="MMDocIR (arXiv 2501.08828): which pages, and which layouts on them, answer a question.",
    about=(
        "Only the question's own document is searched. Its recall of layouts is the share of the labelled "
        "area that the first k cover: area@1, area@5, area@10. Averaged over questions (micro) and over the "
        "domains' means (macro). For recipes that read text alone: --no-images."
    ),
    load=load,
    splits=LEVELS,
    source=HUB,
    helps={
        "text": "Beside an image, or for it: ocr_text or vlm_text.",
        "images": IMAGES,
        "domain": "Only documents of this domain, for example 'Academic paper'.",
    },
)
