"""Documents that cannot be shown to a model fail at their places; the others are ranked without them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec

from limrank_plugins.backends.local.image_tokens import decode
from limrank_plugins.backends.protocols import Backend, Classifies, ScoresPairs
from limrank_plugins.data import Document, Verdict
from limrank_plugins.errors import InputError
from limrank_plugins.readouts import Settings
from limrank_plugins.recipe import OutcomeProgram, PartRanker, Recipe
from limrank_plugins.verdicts import Outcome

Show = Callable[[Document], Document]


def readable_only(
    documents: Sequence[Document], rank: PartRanker, show: Show | None = None
) -> OutcomeProgram:
    """Rank the documents that can be read; each of the others fails with its reason.

    Args:
        documents: all of them.
        rank: ranks the readable ones.
        show: makes of a document what the model is shown; None: the document itself.
    """
    shown = [document if show is None else show(document) for document in documents]
    kept = [i for i, document in enumerate(shown) if not document.unreadable]
    if len(kept) == len(shown):
        outcome = yield from rank(shown)
        return outcome
    verdicts = [Verdict(None, failure=document.unreadable) for document in shown]
    order: list[int] | None = None
    if kept:
        outcome = yield from rank([shown[i] for i in kept])
        for i, verdict in zip(kept, outcome.verdicts, strict=True):
            verdicts[i] = verdict
        order = None if outcome.order is None else [kept[place] for place in outcome.order]
    return Outcome(tuple(verdicts), order)


def show_for(recipe: Recipe, settings: Settings, backend: Backend) -> Show:
    """What this recipe on this backend makes of documents with images.

    Where the model cannot see, a captioned one is its caption and any other cannot be read. Where nobody
    knows (a served model), a recipe that is not made for images takes the caption where there is one.
    """
    sees: bool | None = getattr(backend, "shows_images", None)
    if {ScoresPairs, Classifies} & set(recipe.needs(settings)):
        sees = False  # what they are asked holds no images

    def show(document: Document) -> Document:
        if not document.images or document.unreadable:
            return document
        if sees or (sees is None and (recipe.for_images or not document.captioned)):
            # In a prompt about several documents, a damaged image would fail all of them.
            return document if recipe.oracle == "score" else _decodable(document)
        if document.captioned and document.passage.strip():
            return replace(document, images=())
        return replace(
            document,
            unreadable=f"the document has an image, which recipe {recipe.name!r} on backend {backend.name!r} "
            f"cannot see, and no caption: give it one, or use recipe ragvl, mm-embed or mm-r5",
        )

    return show


def _decodable(document: Document) -> Document:
    if find_spec("PIL") is None:  # a served model decodes images itself
        return document
    try:
        for number, image in enumerate(document.images, start=1):
            decode(image, number)
    except InputError as error:
        return replace(document, unreadable=str(error))
    return document
