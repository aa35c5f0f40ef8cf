"""M-BEIR (arXiv 2311.17136): 16 tasks in which queries and candidates are texts, images or both.

The hub's `TIGER-Lab/M-BEIR` has `query/<split>/mbeir_<task>_<split>.jsonl` (`qid`, `query_txt`,
`query_img_path`, `query_modality`, `pos_cand_list`), `cand_pool/local/mbeir_<task>_cand_pool.jsonl` and
`cand_pool/global/mbeir_union_<split>_cand_pool.jsonl` (`did`, `txt`, `img_path`, `modality`),
`qrels/<split>/mbeir_<task>_<split>_qrels.txt` (TREC's four columns and the task's number),
`instructions/query_instructions.tsv` and the images, in an archive of 160 GB in four parts. Formats: the
repository's README, and src/data and src/common of github.com/TIGER-AI-Lab/UniIR. Counts: queries as in
Anserini's TopicReaderTest, candidates as in pyserini's M-BEIR indexes.

M-BEIR's "Recall@k" is 1 where any relevant candidate is among the first k: `Success@k` here. Its own code
draws one of up to four instructions at random for every query; here it is the same one for all.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limrank_evals.judgements import Qrels
from limrank_evals.loaders.benchmark import Benchmark, check_count
from limrank_evals.loaders.candidate_lists import listed_or_judged, run_lists
from limrank_evals.loaders.dataset_rows import field, file_rows
from limrank_evals.loaders.repository import repository_file
from limrank_evals.retriever_specs import names_retriever
from limrank_evals.split_files import run_file
from limrank_evals.splits import Split
from limrank_evals.tasks.task import IMAGES, Task
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError
from limrank_plugins.files import read_lines
from limrank_plugins.images import Image, read_images
from limrank_plugins.qrels import add_judgement

HUB = "TIGER-Lab/M-BEIR"
LICENCE = "MIT (its format; texts and images: their sources')"
UNION = 5_609_079
_FIRST_FIVE, _FIRST_TEN = ("Success@5", "Success@1", "Success@10"), ("Success@10", "Success@20", "Success@50")


@dataclass(frozen=True, slots=True)
class MBeirTask:
    """A task's test split.

    Attributes:
        queries: how many.
        candidates: how many its own pool has.
        measures: M-BEIR's, the one it is known by first.
    """

    queries: int
    candidates: int
    measures: tuple[str, ...] = _FIRST_FIVE


MBEIR_TASKS = {
    "visualnews_task0": MBeirTask(19_995, 542_246),
    "mscoco_task0": MBeirTask(24_809, 5_000),
    "fashion200k_task0": MBeirTask(1_719, 201_824, _FIRST_TEN),
    "webqa_task1": MBeirTask(2_455, 544_457),
    "edis_task2": MBeirTask(3_241, 1_047_067),
    "webqa_task2": MBeirTask(2_511, 403_196),
    "visualnews_task3": MBeirTask(20_000, 537_568),
    "mscoco_task3": MBeirTask(5_000, 24_809),
    "fashion200k_task3": MBeirTask(4_889, 61_707, _FIRST_TEN),
    "nights_task4": MBeirTask(2_120, 40_038),
    "oven_task6": MBeirTask(50_004, 676_667),
    "infoseek_task6": MBeirTask(11_323, 611_651),
    "fashioniq_task7": MBeirTask(6_003, 74_381, _FIRST_TEN),
    "cirr_task7": MBeirTask(4_170, 21_551),
    "oven_task8": MBeirTask(14_741, 335_135),
    "infoseek_task8": MBeirTask(17_593, 481_782),
}


def load_mbeir(
    task: str,
    source: str | os.PathLike[str] = HUB,
    split: str = "test",
    *,
    pool: str = "local",
    run: str | os.PathLike[str] | None = None,
    instruction: int | None = 0,
    images: bool = True,
    strict: bool = True,
) -> Benchmark:
    """Load one task.

    Args:
        task: one of `MBEIR_TASKS`.
        source: the hub's repository, or a folder with its files and the unpacked images.
        split: `"test"` or `"val"`.
        pool: `"local"`, the task's own candidates, or `"union"`, those of all tasks.
        run: a first stage's run; its lists are the candidates, and only their documents and the judged
            ones are kept in memory.
        instruction: which of M-BEIR's instructions, from 0, every query has; None for none.
        images: read the images, too, all into memory. Without them, of a query that is an image alone
            only its instruction remains.
        strict: a number of queries, or of candidates where all are read, that is not the published one is
            an error, not a warning; looked at for the test split.

    Raises:
        InputError: an unknown task or value, a missing file or image, wrong rows or counts, or images
            wanted from the hub, where they are in an archive (the message has the steps).
        BackendError: the hub cannot be read.
    """
    if task not in MBEIR_TASKS:
        raise InputError(f"M-BEIR has no task {task!r}; it has {', '.join(MBEIR_TASKS)}")
    if pool not in ("local", "union"):
        raise InputError(f"pool must be 'local' or 'union', but is {pool!r}")
    if split not in ("test", "val"):
        raise InputError(f"split must be 'test' or 'val', but is {split!r}")
    if images and not Path(source).is_dir():
        raise InputError(
            f"M-BEIR's images are in an archive: `hf download {HUB} --repo-type dataset --local-dir "
            f"M-BEIR`, then in that folder `cat mbeir_images.tar.gz.part-* | tar -xz`, and give the folder; "
            f"or say images=False"
        )
    where, image_dir = f"M-BEIR {task}", Path(source) if images else None
    qrels = _qrels(repository_file(source, f"qrels/{split}/mbeir_{task}_{split}_qrels.txt"))
    candidates = {} if run is None else run_lists(run, qrels)
    needed = None if run is None else listed_or_judged(candidates, qrels)
    # MS COCO is split differently from the others, so that its pools are, too.
    names = [f"cand_pool/local/mbeir_{task}_cand_pool.jsonl"]
    if task.startswith("mscoco"):
        names.insert(0, f"cand_pool/local/mbeir_{task}_{split}_cand_pool.jsonl")
    if pool == "union":
        names = [f"cand_pool/global/mbeir_union_{split}_cand_pool.jsonl"]
    modalities: dict[str, str] = {}
    documents = tuple(_documents(repository_file(source, *names), needed, image_dir, modalities))
    instructions = {} if instruction is None else _instructions(source, instruction)
    queries_file = repository_file(source, f"query/{split}/mbeir_{task}_{split}.jsonl")
    queries = tuple(
        _query(
            row,
            f"{queries_file}, query {number}",
            instructions if instruction is not None else None,
            modalities,
            image_dir,
        )
        for number, row in enumerate(file_rows(queries_file), start=1)
    )
    warnings = []
    if split == "test":
        known = MBEIR_TASKS[task]
        warnings += check_count(f"{where}, queries", len(queries), known.queries, strict=strict)
        if needed is None:
            published = known.candidates if pool == "local" else UNION
            warnings += check_count(f"{where}, candidates", len(documents), published, strict=strict)
    return Benchmark(
        "M-BEIR",
        task if split == "test" else f"{task} {split}",
        queries,
        documents,
        qrels,
        licence=LICENCE,
        variant=f"{pool} pool, {'no instruction' if instruction is None else f'instruction {instruction}'}",
        candidates=candidates,
        warnings=tuple(warnings),
    )


def _qrels(file: Path) -> Qrels:
    qrels: Qrels = {}
    for number, line in read_lines(file):
        where, columns = f"{file}, line {number}", line.split()
        if len(columns) != 5:
            raise InputError(
                f"{where}: M-BEIR's judgements have 5 columns (query, 0, candidate, grade, task), but this "
                f"has {len(columns)}: {line[:80]!r}"
            )
        add_judgement(qrels, columns[0], columns[2], columns[3], where)
    if not qrels:
        raise InputError(f"{file} holds no judgements")
    return qrels


def _documents(
    file: Path, needed: Collection[str] | None, image_dir: Path | None, modalities: dict[str, str]
) -> Iterator[Document]:
    """The candidates; each one's modality is noted, for the choice of instructions."""
    for number, row in enumerate(file_rows(file), start=1):
        where = f"{file}, candidate {number}"
        name = field(row, "did", where)
        if needed is not None and name not in needed:
            continue
        modalities[name] = field(row, "modality", where)
        yield Document(_text(row, "txt", where), name, images=_images(row, "img_path", where, image_dir))


def _query(
    row: dict[str, Any],
    where: str,
    instructions: Mapping[tuple[str, str, str], str] | None,
    modalities: Mapping[str, str],
    image_dir: Path | None,
) -> Query:
    name, text = field(row, "qid", where), _text(row, "query_txt", where)
    instruction = ""
    if instructions is not None:
        data_set, relevant = name.split(":")[0], field(row, "pos_cand_list", where, list)
        # OVEN and InfoSeek share answers: what is sought is what the query's own data set has of them.
        own = [d for d in relevant if str(d).split(":")[0] == data_set]
        sought = next((modalities[d] for d in (*own, *relevant) if d in modalities), "")
        key = data_set, field(row, "query_modality", where), sought
        if key not in instructions:
            raise InputError(
                f"{where}: there is no instruction for data set {key[0]!r} from {key[1]!r} to {key[2]!r}; "
                f"say instruction=None to do without"
            )
        instruction = instructions[key]
    query_images = _images(row, "query_img_path", where, image_dir)
    if not text.strip() and not instruction:
        raise InputError(f"{where}: a query without text needs an instruction: say instruction=0")
    # A image alone: what is wanted of it is all there is to say, and it is not said twice.
    return Query(text if text.strip() else instruction, name, instruction, query_images)


def _text(row: dict[str, Any], name: str, where: str) -> str:
    return "" if row.get(name) is None else str(field(row, name, where))


def _images(row: dict[str, Any], name: str, where: str, image_dir: Path | None) -> tuple[Image, ...]:
    if image_dir is None or not row.get(name):
        return ()
    # `read_images` takes the file whose folder names are relative to, and lets none lead out of it.
    return read_images([field(row, name, where)], image_dir / "M-BEIR", where)


def _instructions(source: str | os.PathLike[str], number: int) -> dict[tuple[str, str, str], str]:
    """By data set, the query's modality and the candidate's: instruction `number`."""
    file = repository_file(source, "instructions/query_instructions.tsv")
    lines = read_lines(file)
    next(lines, None)
    instructions = {}
    for at, line in lines:
        columns = [column.strip() for column in line.split("\t")]
        prompts = [column for column in columns[4:] if column]
        if len(columns) < 5 or not 0 <= number < len(prompts):
            raise InputError(
                f"{file}, line {at}: expected two modalities, a data set's name and number and instructions, "
                f"of which number {number} (from 0) was asked for, but got {line[:80]!r}"
            )
        instructions[columns[3], columns[0], columns[1]] = prompts[number]
    return instructions


def load(
    split: str,
    source: str,
    *,
    strict: bool = True,
    first_stage: str = "",
    pool: str = "local",
    told: int = 0,
    images: bool = True,
) -> Split:
    """One task; of a first stage that is a run, only its documents and the judged ones are read."""
    run = None if not first_stage or names_retriever(first_stage) else run_file(first_stage, split).path
    number = None if told < 0 else told
    benchmark = load_mbeir(
        split, source, pool=pool, run=run, instruction=number, images=images, strict=strict
    )
    carried = "" if number is None else f"M-BEIR's, number {number}"
    return Split(benchmark, MBEIR_TASKS[split].measures, carried=carried)


TASK = Task(
    name="mbeir",
    title="M-BEIR (arXiv 2311.17136): 16 tasks in which queries and candidates are texts, pictures or both.",
    about=(
        "Its Recall@k is 1 where any relevant candidate is among the first k: Success@k. Retrievers of text "
        "find no pictures: give a run as --first-stage, of which only the documents are kept in memory."
    ),
    load=load,
    splits=tuple(MBEIR_TASKS),
    source=HUB,
    helps={
        "pool": "local (the task's own candidates) or union (all tasks').",
        "told": "Which of M-BEIR's instructions every query carries, from 0; -1 for none.",
        "images": IMAGES,
    },
)
