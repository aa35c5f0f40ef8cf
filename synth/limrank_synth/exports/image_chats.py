"""Rows about images: MM-R5's reasoned orders of pages, RagVL's yes and no to an image with its caption.

Both are chats with `<image>` where an image stands and the images' files beside them, as ms-swift and
LLaMA-Factory read them. The prompts are those of the recipes `mm-r5` and `ragvl`, byte for byte.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limrank_plugins.data import Document, Query, check_unique
from limrank_plugins.errors import InputError
from limrank_plugins.files import json_rows
from limrank_plugins.images import Image, read_images
from limrank_plugins.outputs import write_json_lines
from limrank_plugins.prompts import Template, load_template
from limrank_plugins.readouts import Settings
from limrank_plugins.readouts.labels import PLAIN
from limrank_plugins.readouts.usable import can_be_seen
from limrank_plugins.recipes import load_recipe
from limrank_plugins.segments import Prompt
from limrank_synth.exports import ExportCounts, ExportOptions
from limrank_synth.gold_groups import conclusion
from limrank_synth.pointwise_layout import has_marker
from limrank_synth.records import LabelledPassage, Source

IMAGES = "images"
PLACE = "<image>"
PAGES, WORDS = 5, 40
"""MM-R5: a retriever's best five pages, and most words of the reason for each."""


@dataclass(frozen=True, slots=True)
class ImageCandidate:
    """A candidate.

    Attributes:
        id: unique among the query's candidates.
        image: what is ranked.
        relevant: whether it answers.
        caption: what stands under it; RagVL reads it.
        reason: why it helps or does not, in a sentence or two; MM-R5 learns to write it.
    """

    id: str
    image: Image
    relevant: bool
    caption: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ImageQuery:
    """A query and its candidates in the order of a first stage, best first."""

    id: str
    text: str
    candidates: tuple[ImageCandidate, ...]
    sources: tuple[Source, ...] = ()

    def rows(self) -> Iterator[LabelledPassage]:
        """The candidates as rows, for a card's numbers: captions for passages, reasons for traces."""
        for candidate in self.candidates:
            yield LabelledPassage(
                id=f"{self.id}/{candidate.id}",
                query_id=self.id,
                query=self.text,
                passage=candidate.caption,
                trace=candidate.reason,
                relevant=candidate.relevant,
                intent="",
                false_claim=False,
                kind="",
                domain="",
                difficulty="",
                votes=(candidate.relevant,),
                sources=self.sources,
            )


Example = dict[str, Any]
Examples = Callable[[ImageQuery], Iterator[tuple[Example, Sequence[Image]] | str]]
"""Makes a query's examples, each with its images, or says why something is left out."""


def read_image_queries(path: str | os.PathLike[str]) -> Iterator[ImageQuery]:
    """Queries of a JSONL file: `query_id`, `query`, `candidates` and perhaps `sources`.

    A candidate has `id`, `image` (a file in the JSONL's folder or below), `relevant`, and perhaps
    `caption` and `reason`; a source has `name`, `licence` and perhaps `commercial`.

    Raises:
        InputError: a line that is otherwise, or an image that cannot be read; it is named.
    """
    for where, values in json_rows(path):
        try:
            candidates = tuple(_candidate(entry, path, where) for entry in values["candidates"])
            sources = tuple(Source(**source) for source in values.get("sources", ()))
            query = ImageQuery(_text(values, "query_id"), _text(values, "query"), candidates, sources)
        except InputError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{where}: this is no query with images: {error!r}") from error
        if not can_be_seen(query.text) or not query.candidates:
            raise InputError(f"{where}: a query needs a text and at least one candidate")
        check_unique([candidate.id for candidate in query.candidates], f"candidate id in {where}")
        yield query


def write_image_chats(
    queries: Iterable[ImageQuery], examples: Examples, folder: Path, options: ExportOptions
) -> ExportCounts:
    """Write `train.jsonl` and, once each, the images into `images/`, named after their content."""
    left_out = Counter[str]()
    (folder / IMAGES).mkdir()

    def records() -> Iterator[dict[str, Any]]:
        for query in queries:
            for example in examples(query):
                if isinstance(example, str):
                    left_out[example] += 1
                    continue
                record, images = example
                yield record | {"images": [_kept(image, folder) for image in images]}

    return ExportCounts({"train.jsonl": write_json_lines(folder / "train.jsonl", records())}, left_out)


def mm_r5(query: ImageQuery) -> Iterator[tuple[Example, Sequence[Image]] | str]:
    """The best five pages, in the order they came in, if one of them is relevant.

    The reasoning is the pages' reasons; the order, relevant pages first, each sort as it came in.
    """
    pages = query.candidates[:PAGES]
    if not any(page.relevant for page in pages) or len(pages) < 2:
        yield f"query: none of its best {PAGES} pages is relevant, or it has only one"
        return
    if not all(can_be_seen(page.reason) for page in pages):
        yield "query: a page has no reason"
        return
    if has_marker(" ".join([query.text, *(page.reason for page in pages)])):
        yield "query: its texts hold a marker"
        return
    template = load_template("mm-r5")
    # No captions: the checkpoint is trained on pages alone.
    documents = [Document("", id=page.id, images=(page.image,)) for page in pages]
    prompt = _prompt("mm-r5", query, documents, template)
    labels = PLAIN.shown(len(pages))
    reasons = [
        f"Image {label}: {PLAIN.neutral(conclusion(page.reason, WORDS))}"
        for label, page in zip(labels, pages, strict=True)
    ]
    order = sorted(range(len(pages)), key=lambda i: (not pages[i].relevant, i))
    opening = template.no_think.removesuffix(template.close)
    completion = (
        f"{opening}{chr(10).join(reasons)}{template.close}[{', '.join(labels[i] for i in order)}]</answer>"
    )
    yield _example(query.id, prompt, completion), [page.image for page in pages]


def ragvl(query: ImageQuery) -> Iterator[tuple[Example, Sequence[Image]] | str]:
    """One prompt for each candidate, answered with the recipe's label."""
    template = load_template("ragvl")
    for candidate in query.candidates:
        if has_marker(f"{query.text} {candidate.caption}"):
            yield "candidate: its texts hold a marker"
            continue
        document = Document(candidate.caption, id=candidate.id, images=(candidate.image,))
        prompt = _prompt("ragvl", query, [document], template, reasoning=False)
        answer = template.labels[0 if candidate.relevant else 1].strip()
        yield _example(f"{query.id}/{candidate.id}", prompt, answer), [candidate.image]


IMAGE_LAYOUTS: dict[str, tuple[str, Examples]] = {
    "mm-r5": ("pages with reasons and their order, in MM-R5's layout", mm_r5),
    "ragvl": ("an image with its caption, yes or no, in RagVL's layout", ragvl),
}


def _prompt(
    recipe: str, query: ImageQuery, documents: Sequence[Document], template: Template, reasoning: bool = True
) -> Prompt:
    """The prompt that the recipe's readout sends first."""
    chosen = load_recipe(recipe)
    assert chosen.readout is not None
    settings = Settings(reasoning="full" if reasoning else "none")
    request = next(chosen.readout.ask(Query(query.text), documents, template, settings))[0]
    prompt = getattr(request, "prompt", None)
    assert isinstance(prompt, Prompt)
    return prompt


def _example(identifier: str, prompt: Prompt, completion: str) -> Example:
    messages = [
        {"role": role, "content": "".join(PLACE if s.image is not None else s.text for s in segments)}
        for role, segments in prompt.messages()
        if any(s.image is not None or s.text for s in segments)
    ]
    return {"id": identifier, "messages": [*messages, {"role": "assistant", "content": completion}]}


def _kept(image: Image, folder: Path) -> str:
    ending = image.media_type.partition("/")[2]
    name = f"{IMAGES}/{hashlib.sha256(image.data).hexdigest()[:16]}.{ending}"
    if not (folder / name).exists():
        (folder / name).write_bytes(image.data)
    return name


def _candidate(values: dict[str, Any], path: str | os.PathLike[str], where: str) -> ImageCandidate:
    (image,) = read_images([values["image"]], path, where)
    if not isinstance(values["relevant"], bool):
        raise InputError(f"{where}: 'relevant' must be true or false, but is {values['relevant']!r}")
    optional = {name: _text(values, name) for name in ("caption", "reason") if name in values}
    return ImageCandidate(_text(values, "id"), image, values["relevant"], **optional)


def _text(values: dict[str, Any], name: str) -> str:
    if not isinstance(values[name], str):
        raise TypeError(f"{name!r} is no text but {values[name]!r}")
    return str(values[name])
