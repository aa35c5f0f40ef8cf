"""Prompts about one document each, for readouts that judge every document on its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from limrank_plugins.data import Document
from limrank_plugins.images import Image
from limrank_plugins.segments import Prompt, Segment, clean_text


def prompt_each(
    documents: Sequence[Document], texts: Sequence[str], render: Callable[[str, tuple[Image, ...]], Prompt]
) -> list[Prompt]:
    """A prompt about each document alone. It is rendered once: without images, only the text is another.

    Args:
        documents: the documents.
        texts: of each, what the prompt has of it; never trusted.
        render: makes the prompt about one document, of its text and its images.
    """
    if len(documents) == 1 or all(document.images for document in documents):
        return [render(text, document.images) for text, document in zip(texts, documents, strict=True)]
    frame = list(render("", ()).segments)
    places = [i for i, segment in enumerate(frame) if segment.cuttable]  # only documents are
    kinds = [frame[i] for i in places]
    prompts = []
    for text, document in zip(texts, documents, strict=True):
        if document.images:
            prompts.append(render(text, document.images))
            continue
        text = clean_text(text)
        for i, kind in zip(places, kinds, strict=True):
            frame[i] = Segment(text, False, True, role=kind.role, most=kind.most)
        prompts.append(Prompt(tuple(frame)))
    return prompts
