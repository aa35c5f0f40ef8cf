"""WebQA (arXiv 2109.00590): questions answered by snippets or by captioned images, among distractors.

`WebQA_train_val.json` maps an id to `Q`, `split`, `Qcate` (`text`, or what is asked of an image) and four
lists: `txt_posFacts` and `txt_negFacts` (`snippet_id`, `title`, `fact`), `img_posFacts` and `img_negFacts`
(`image_id`, `title`, `caption`). `imgs.tsv` has an image a line (id, tab, base64) and `imgs.lineidx` the
lines' places: the line of an image is its id modulo 10,000,000. Layout, counts and licence (CC0; the
images are Wikimedia Commons', each under its own): README, demo/Take_a_look_WebQA.ipynb and LICENSE of
github.com/WebQnA/WebQA. The test split's answers were never published.

The files list what is relevant first, so that their order would tell: here it is one by the ids' hashes.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from limrank_evals.judgements import Qrels
from limrank_evals.loaders.benchmark import Benchmark, check_count
from limrank_evals.loaders.dataset_rows import field, identifier
from limrank_evals.loaders.repository import repository_file
from limrank_evals.splits import Average, Split
from limrank_evals.tasks.task import IMAGES, Task
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError
from limrank_plugins.files import read_json
from limrank_plugins.images import Image
from limrank_plugins.wording import number_of, verb_for

LICENCE = "CC0 1.0 (images: as each says on Wikimedia Commons)"
WEBQA_MEASURES = ("R@2", "nDCG@10", "RR")

# Questions of each split: all, those answered by images, those answered by texts.
WEBQA_SPLITS = {
    "train": {"all": 36_766, "image": 18_954, "text": 17_812},
    "val": {"all": 4_966, "image": 2_511, "text": 2_455},
}
_FACTS = (("img_posFacts", 1), ("img_negFacts", 0), ("txt_posFacts", 1), ("txt_negFacts", 0))


def load_webqa(
    source: str | os.PathLike[str],
    split: str = "val",
    *,
    modality: str = "all",
    images: bool = True,
    strict: bool = True,
) -> Benchmark:
    """Load one split; its lists are not rankings.

    Args:
        source: the folder with the files.
        split: `"val"` or `"train"`.
        modality: `"all"` questions among all their facts; or those answered by an `"image"` (or a
            `"text"`) among facts of that kind only, as multimodal rerankers are measured.
        images: read the images, too, all of the split into memory.
        strict: another number of questions than published, or an image that is none, is an error, not a
            warning (such a fact then has its caption only).

    Raises:
        InputError: a value that cannot be used, a missing file, wrong entries or counts.
    """
    if split not in WEBQA_SPLITS:
        raise InputError(
            f"split must be one of {', '.join(WEBQA_SPLITS)}, but is {split!r}: no other has labels"
        )
    if modality not in ("all", "image", "text"):
        raise InputError(f"modality must be 'all', 'image' or 'text', but is {modality!r}")
    if not Path(source).is_dir():
        raise InputError(f"there is no folder {os.fspath(source)!r} with WebQA_train_val.json")
    file = repository_file(source, "WebQA_train_val.json")
    entries = read_json(file)
    if not isinstance(entries, dict):
        raise InputError(f"{file}: expected questions by their ids, but got {type(entries).__name__}")
    image_table = _ImageTable(Path(source)) if images and modality != "text" else None
    queries: list[Query] = []
    qrels: Qrels = {}
    documents: dict[str, Document] = {}
    groups: dict[str, set[str]] = {"image": set(), "text": set()}
    for name, entry in entries.items():
        where = f"{file}, question {name!r}"
        if not isinstance(entry, dict):
            raise InputError(f"{where}: expected an object, but got {str(entry)[:80]!r}")
        kind = "text" if field(entry, "Qcate", where) == "text" else "image"
        if field(entry, "split", where) != split or modality not in ("all", kind):
            continue
        queries.append(Query(_unquoted(field(entry, "Q", where)), name))
        groups[kind].add(name)
        grades: dict[str, int] = {}
        for fact, grade, at in _facts(entry, modality, where):
            fact_id = identifier(fact, at, "image_id", "snippet_id")
            # What is relevant and a distractor at once is relevant.
            grades[fact_id] = max(grade, grades.get(fact_id, 0))
            if fact_id not in documents:
                documents[fact_id] = _document(fact, fact_id, image_table, at)
        qrels[name] = {fact: grades[fact] for fact in _told_nothing(name, grades)}
    if not queries:
        raise InputError(f"{file} has no questions of split {split!r}")
    warnings = check_count(
        f"WebQA {split}, questions", len(queries), WEBQA_SPLITS[split][modality], strict=strict
    )
    if image_table is not None and image_table.broken:
        count, example = len(image_table.broken), image_table.broken[0]
        images_are = f"{number_of(count, 'image')} {verb_for(count, 'are')}"
        broken = f"{images_are} no PNG, JPEG, GIF or WebP, for example {example}"
        if strict:
            raise InputError(f"{broken}; say strict=False to take their captions only")
        warnings.append(f"{broken}: their captions stand alone")
    return Benchmark(
        "WebQA",
        split if modality == "all" else f"{split} {modality}",
        tuple(queries),
        tuple(documents.values()),
        qrels,
        groups={kind: frozenset(members) for kind, members in groups.items() if members},
        licence=LICENCE,
        variant=f"{modality} facts{'' if images else ', captions only'}",
        candidates={name: list(grades) for name, grades in qrels.items()},
        are_ranked=False,
        warnings=tuple(warnings),
    )


def _facts(entry: dict[str, Any], modality: str, where: str) -> Iterator[tuple[dict[str, Any], int, str]]:
    for name, grade in _FACTS:
        if modality != "all" and name.startswith("img") != (modality == "image"):
            continue
        for number, fact in enumerate(field(entry, name, where, list), start=1):
            at = f"{where}, {name} {number}"
            if not isinstance(fact, dict):
                raise InputError(f"{at}: expected an object, but got {str(fact)[:80]!r}")
            yield fact, grade, at


def _document(fact: dict[str, Any], name: str, image_table: _ImageTable | None, where: str) -> Document:
    title = "" if fact.get("title") is None else field(fact, "title", where)
    if "snippet_id" in fact:
        return Document(field(fact, "fact", where), name, title)
    images = () if image_table is None else image_table.of(field(fact, "image_id", where, (str, int)), where)
    return Document(field(fact, "caption", where), name, title, images=images)


def _told_nothing(query: str, facts: dict[str, int]) -> list[str]:
    """The facts in an order that depends on nothing but the ids."""
    return sorted(facts, key=lambda fact: hashlib.sha256(f"{query}\n{fact}".encode()).digest())


def _unquoted(text: str) -> str:
    """Questions about images are written within quotation marks."""
    bare = text.strip()
    return bare[1:-1].strip() if len(bare) > 2 and bare[0] == bare[-1] == '"' else bare


class _ImageTable:
    """`imgs.tsv`, read where `imgs.lineidx` points to.

    Attributes:
        broken: ids of the images that are none.
    """

    def __init__(self, folder: Path) -> None:
        self._table = folder / "imgs.tsv"
        if not self._table.is_file():
            raise InputError(f"{folder} holds no imgs.tsv, unpacked: get WebQA's images, or say images=False")
        index = repository_file(folder, "imgs.lineidx")
        try:
            self._starts = [int(line) for line in index.read_text(encoding="ascii").split()]
        except ValueError as error:
            raise InputError(f"{index}: expected a line's place on every line: {error}") from error
        self.broken: list[str] = []

    def of(self, image_id: str | int, where: str) -> tuple[Image, ...]:
        """The image; none where its bytes are no image, which is noted."""
        line = int(image_id) % 10_000_000 if str(image_id).isdecimal() else -1
        if not 0 <= line < len(self._starts):
            raise InputError(f"{where}: {self._table.name} has no image {image_id!r}")
        with self._table.open("rb") as stream:
            stream.seek(self._starts[line])
            name, _, data = stream.readline().strip().partition(b"\t")
        if not name.isdigit() or int(name) != int(image_id):
            raise InputError(
                f"{where}: imgs.lineidx leads from image {image_id} to {name[:20]!r}: get both anew"
            )
        try:
            return (Image(base64.b64decode(data, validate=True)),)
        except ValueError:  # InputError is one: no base64, or bytes of no image
            self.broken.append(str(image_id))
            return ()


def load(
    split: str,
    source: str,
    *,
    strict: bool = True,
    modality: str = "all",
    images: bool = True,
) -> Split:
    """One split; raises as `load_webqa` does."""
    benchmark = load_webqa(source, split, modality=modality, images=images, strict=strict)
    groups = tuple(
        Average(f"questions answered by {name}", f"{split}, by {name}", name)
        for name, queries in benchmark.groups.items()
        if queries and modality == "all"
    )
    return Split(
        benchmark,
        WEBQA_MEASURES,
        lists="the question's own facts",
        averages=(Average(), *groups),
    )


def find(source: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """The validation split: rerankers are trained on the other."""
    return ("val",)


TASK = Task(
    name="webqa",
    title="WebQA (arXiv 2109.00590): questions answered by snippets or captioned pictures.",
    about=(
        "FOLDER holds WebQA_train_val.json, imgs.tsv and imgs.lineidx. Every question's own facts are "
        "ranked. Default: val; the test split's answers were never published."
    ),
    load=load,
    splits=tuple(sorted(WEBQA_SPLITS, reverse=True)),
    find=find,
    helps={
        "modality": "all; or image or text: questions answered by such, among facts of that kind only.",
        "images": IMAGES,
    },
)
