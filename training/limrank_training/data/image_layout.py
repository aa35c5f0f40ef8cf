"""From a judged image to token ids: the prompt of inference, by the vision backend's own encoding."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limrank_plugins.backends.local.image_prompts import ImagePrompt, encode_image_prompt, spoken_labels
from limrank_plugins.backends.local.image_tokens import ImageTokenizer
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.protocols import ReadLabels
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError
from limrank_plugins.images import Image
from limrank_plugins.prompts import Template
from limrank_plugins.readouts import Settings
from limrank_plugins.readouts.yes_no import YesNo
from limrank_training.data.image_rows import ImageRow
from limrank_training.data.passage_layout import Example

_ANY = 1 << 30


@dataclass(frozen=True, slots=True)
class ImageExample(Example):
    """A judged image as the model will learn it.

    Attributes:
        file: the image; its pixels are read when they are needed.
        marks: by the name of the model's argument, what goes along with each token.
    """

    file: Path = Path()
    marks: tuple[tuple[str, tuple[int, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class ImageLayout:
    """How rows about images become examples.

    Attributes:
        template: the recipe's own.
        processor: of the model.
        encoder: of its tokenizer.
        images: what its processor does to images.
        cutoff: the most tokens; the caption is cut, image and question never.
        end: the token that ends the answer, learned as the last one; None: it does not end.
    """

    template: Template
    processor: Any
    encoder: PromptEncoder
    images: ImageTokenizer
    cutoff: int
    end: int | None = None

    def example(self, row: ImageRow) -> ImageExample | None:
        """The row's example; None where image and question do not fit.

        Raises:
            InputError: the image cannot be read, or a label is not one token; the line is named.
        """
        try:
            request = self.request(row)
            tail = 1 if self.end is None else 2
            shown = self.shown(request, self.cutoff - tail)
            if shown is None:
                return None
            labels = spoken_labels(request.labels, request.prompt, shown.end)
            label = self.encoder.label_ids(labels, shown.end)[0 if row.relevant else 1]
        except InputError as error:
            raise InputError(f"{row.where}: {error}") from error
        learned = [label] if self.end is None else [label, self.end]
        marks = tuple((name, (*values, *[0] * len(learned))) for name, values in shown.marks.items())
        ids = (*shown.ids, *learned)
        return ImageExample(ids, len(shown.ids), shown.cut, 0, row.where, row.file, marks)

    def request(self, row: ImageRow) -> ReadLabels:
        """What is asked about the image at inference.

        Raises:
            InputError: the image cannot be read.
        """
        document = Document(row.caption, images=(Image.open(row.file),))
        requests = next(YesNo().ask(Query(row.query), [document], self.template, Settings(reasoning="none")))
        (request,) = requests
        assert isinstance(request, ReadLabels)
        return request

    def shown(self, request: ReadLabels, limit: int) -> ImagePrompt | None:
        """The prompt as the vision backend shows it; None where it does not fit."""
        whole = encode_image_prompt(request.prompt, self.processor, self.images, self.encoder, _ANY)
        if len(whole.ids) <= limit:
            return whole
        try:
            return encode_image_prompt(request.prompt, self.processor, self.images, self.encoder, limit)
        except InputError:  # all else was right a moment ago
            return None
