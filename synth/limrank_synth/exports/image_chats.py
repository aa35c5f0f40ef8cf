"""Rows about pictures: MM-R5's reasoned orders of pages, RagVL's yes and no to a picture with its caption.

Both are chats with `<image>` where a picture stands and the pictures' files beside them, as ms-swift and
LLaMA-Factory read them. The prompts are those of the recipes `mm-r5` and `ragvl`, byte for byte.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limrank_plugins.data import Document, Query, check_unique
from limrank_plugins.errors import InputError
from limrank_plugins.files import read_lines
from limrank_plugins.images import Image, read_images
from limrank_plugins.prompts import Template, load_template
from limrank_plugins.readouts import Settings
from limrank_plugins.readouts.labels import PLAIN
from limrank_plugins.recipes import load_recipe
from limrank_plugins.segments import Prompt
from limrank_synth.exports import ExportCounts, ExportOptions
from limrank_synth.lines import whole_lines
from limrank_synth.passage_groups import conclusion
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
        image: the picture.
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
    """A question and its candidates in the order of a first stage, best first."""

    id: str
    text: str
    pictures: tuple[ImageCandidate, ...]
    sources: tuple[Source, ...] = ()

    def rows(self) -> Iterator[LabelledPassage]:
        """The candidates as rows, for a card's numbers: captions for passages, reasons for traces."""
        for one in self.pictures:
            yield LabelledPassage(
                id=f"{self.id}/{one.id}",
                query_id=self.id,
                query=self.text,
                passage=one.caption,
                trace=one.reason,
                relevant=one.relevant,
                intent="",
                false_claim=False,
                kind="",
                domain="",
                difficulty="",
                votes=(one.relevant,),
                sources=self.sources,
            )


Example = dict[str, Any]
Examples = Callable[[ImageQuery], Iterator[tuple[Example, Sequence[Image]] | str]]
"""Makes a query's examples, each with its pictures, or says why something is left out."""


def read_image_queries(path: str | os.PathLike[str]) -> Iterator[ImageQuery]:
    """Queries of a JSONL file: `query_id`, `query`, `candidates` and perhaps `sources`.

    A candidate has `id`, `image` (a file in the JSONL's folder or below), `relevant`, and perhaps
    `caption` and `reason`; a source has `name`, `licence` and perhaps `commercial`.

    Raises:
        InputError: a line that is otherwise, or a picture that cannot be read; it is named.
    """
    for number, line in read_lines(path):
        where = f"{os.fspath(path)}, line {number}"
        try:
            data = json.loads(line)
            candidates = tuple(_picture(one, path, where) for one in data["candidates"])
            sources = tuple(Source(**one) for one in data.get("sources", ()))
            made = ImageQuery(_text(data, "query_id"), _text(data, "query"), candidates, sources)
        except InputError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{where}: this is no query with pictures: {error!r}") from error
        if not made.text.strip() or not made.pictures:
            raise InputError(f"{where}: a query needs a text and at least one candidate")
        check_unique([one.id for one in made.pictures], f"candidate id in {where}")
        yield made


def write_image_chats(
    asked: Iterable[ImageQuery], examples: Examples, folder: Path, options: ExportOptions
) -> ExportCounts:
    """Write `train.jsonl` and, once each, the pictures into `images/`, named after their content."""
    count, left_out = 0, Counter[str]()
    (folder / IMAGES).mkdir()
    with whole_lines(folder / "train.jsonl") as line:
        for query in asked:
            for made in examples(query):
                if isinstance(made, str):
                    left_out[made] += 1
                    continue
                example, shown = made
                files = [_kept(image, folder) for image in shown]
                line(json.dumps(example | {"images": files}, ensure_ascii=False) + "\n")
                count += 1
    return ExportCounts({"train.jsonl": count}, left_out)


def mm_r5(query: ImageQuery) -> Iterator[tuple[Example, Sequence[Image]] | str]:
    """The best five pages, in the order they came in, if one of them is relevant.

    The thought is the pages' reasons; the answer, relevant pages first, each sort as it came in.
    """
    pages = query.pictures[:PAGES]
    if not any(page.relevant for page in pages) or len(pages) < 2:
        yield f"query: none of its best {PAGES} pages is relevant, or it has only one"
        return
    if not all(page.reason.strip() for page in pages):
        yield "query: a page has no reason"
        return
    if has_marker(" ".join([query.text, *(page.reason for page in pages)])):
        yield "query: its texts hold a marker"
        return
    known = load_template("mm-r5")
    # No captions: the checkpoint is trained on pages alone.
    documents = [Document("", id=page.id, images=(page.image,)) for page in pages]
    prompt = _asked("mm-r5", query, documents, known)
    labels = PLAIN.shown(len(pages))
    reasons = [
        f"Image {label}: {PLAIN.neutral(conclusion(page.reason, WORDS))}"
        for label, page in zip(labels, pages, strict=True)
    ]
    order = sorted(range(len(pages)), key=lambda i: (not pages[i].relevant, i))
    opening = known.no_think.removesuffix(known.close)
    said = f"{opening}{chr(10).join(reasons)}{known.close}[{', '.join(labels[i] for i in order)}]</answer>"
    yield _example(query.id, prompt, said), [page.image for page in pages]


def ragvl(query: ImageQuery) -> Iterator[tuple[Example, Sequence[Image]] | str]:
    """One question for each candidate, answered with the recipe's label."""
    known = load_template("ragvl")
    for one in query.pictures:
        if has_marker(f"{query.text} {one.caption}"):
            yield "candidate: its texts hold a marker"
            continue
        document = Document(one.caption, id=one.id, images=(one.image,))
        prompt = _asked("ragvl", query, [document], known, reasoning=False)
        answer = known.labels[0 if one.relevant else 1].strip()
        yield _example(f"{query.id}/{one.id}", prompt, answer), [one.image]


IMAGE_LAYOUTS: dict[str, tuple[str, Examples]] = {
    "mm-r5": ("pages with reasons and their order, in MM-R5's layout", mm_r5),
    "ragvl": ("a picture with its caption, yes or no, in RagVL's layout", ragvl),
}


def _asked(
    recipe: str, query: ImageQuery, documents: Sequence[Document], known: Template, reasoning: bool = True
) -> Prompt:
    """The prompt that the recipe's readout sends first."""
    chosen = load_recipe(recipe)
    assert chosen.readout is not None
    settings = Settings(reasoning="full" if reasoning else "none")
    asked = next(chosen.readout.ask(Query(query.text), documents, known, settings))[0]
    prompt = getattr(asked, "prompt", None)
    assert isinstance(prompt, Prompt)
    return prompt


def _example(identifier: str, prompt: Prompt, said: str) -> Example:
    messages = [
        {"role": role, "content": "".join(PLACE if s.image is not None else s.text for s in segments)}
        for role, segments in prompt.messages()
        if any(s.image is not None or s.text for s in segments)
    ]
    return {"id": identifier, "messages": [*messages, {"role": "assistant", "content": said}]}


def _kept(image: Image, folder: Path) -> str:
    ending = image.media_type.partition("/")[2]
    name = f"{IMAGES}/{hashlib.sha256(image.data).hexdigest()[:16]}.{ending}"
    if not (folder / name).exists():
        (folder / name).write_bytes(image.data)
    return name


def _picture(data: dict[str, Any], path: str | os.PathLike[str], where: str) -> ImageCandidate:
    (image,) = read_images([data["image"]], path, where)
    if not isinstance(data["relevant"], bool):
        raise InputError(f"{where}: 'relevant' must be true or false, but is {data['relevant']!r}")
    optional = {name: _text(data, name) for name in ("caption", "reason") if name in data}
    return ImageCandidate(_text(data, "id"), image, data["relevant"], **optional)


def _text(data: dict[str, Any], name: str) -> str:
    if not isinstance(data[name], str):
        raise TypeError(f"{name!r} is no text but {data[name]!r}")
    return str(data[name])
