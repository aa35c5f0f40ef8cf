"""`LimRankCompressor`: the reranker as a LangChain document compressor.

Example:
    >>> from limrank_plugins.langchain import LimRankCompressor
    >>> compressor = LimRankCompressor(top_n=5)
    >>> compressor.compress_documents(retriever.invoke(question), question)
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Sequence
from typing import Any, Self

from limrank_plugins import data
from limrank_plugins.arguments import check_device_for, check_made
from limrank_plugins.backends.remote.addresses import check_written
from limrank_plugins.checks import check_names
from limrank_plugins.errors import InputError, MissingExtra
from limrank_plugins.failure_log import told_by_caller, warn_of
from limrank_plugins.hit_metadata import KEYS, hit_metadata
from limrank_plugins.images import Image
from limrank_plugins.lazy import Lazy
from limrank_plugins.rankings import check_cut, check_threshold
from limrank_plugins.recipes import load_recipe
from limrank_plugins.reranker import Reranker
from limrank_plugins.secrecy import hiding
from limrank_plugins.wording import number_of

try:
    from langchain_core.callbacks import Callbacks
    from langchain_core.documents import BaseDocumentCompressor, Document
    from pydantic import ConfigDict, Field, PrivateAttr, SecretStr, model_validator
except ModuleNotFoundError as error:
    raise MissingExtra(
        f"LimRankCompressor needs {error.name}, which is not installed: pip install 'limrank[langchain]'"
    ) from error

logger = logging.getLogger(__name__)

_OWN = ("recipe", "model", "backend")
_OF_RERANKER = inspect.signature(Reranker).parameters.keys()
_METADATA = ("relevance_score", *KEYS)
_IMAGE_METADATA = ("image_base64", "image_url")  # the first is Unstructured's
_IMAGE_BASE64 = ("iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR")  # how PNG, JPEG, GIF and WebP begin


class LimRankCompressor(BaseDocumentCompressor):
    """Reranks retrieved documents. Fields are fixed once made; the model is loaded at first use.

    Documents come back as copies; yours are not changed. `metadata["relevance_score"]` is
    the score (None for a document that could not be judged: it keeps its place, and
    `metadata["limrank_failure"]` says why), `metadata["limrank_explanation"]` the model's reasoning,
    `metadata["limrank_piece"]` the piece of a long document that decided (with `options={"chunks": "max"}` or
    recipe `mini`), `metadata["limrank_cut_tokens"]` how many tokens of a document were not read, if any.

    An image is read from `metadata["image_base64"]` (as Unstructured's loaders write it), from a `data:` URL
    in `metadata["image_url"]`, or where it is the `page_content` itself (as in Chroma's `add_images`), and
    shown to models that can see (recipes `ragvl`, `mm-embed`, `mm-r5`); all others judge such a document by
    its text. One without text counts as failed there, and so does, everywhere, one whose image cannot be
    read; nothing is fetched.

    Args:
        recipe: a recipe's name; default `"limrank"`.
        model: folder, hub name or GGUF file; default: the recipe's checkpoint.
        backend: name of the way to run the model; default: the recipe's.
        top_n: how many documents to keep; default None, all.
        threshold: keep documents with `score >= threshold`; default None.
        api_key: of a served model; never serialised, pickled or shown. Default: the backend's environment
            variable.
        options: all other arguments of `limrank_plugins.Reranker`: `reasoning`, `samples`, `device`,
            `base_url`, … No secrets: they are shown.
        reranker: a ready reranker instead of `recipe`, `model`, `backend`, `api_key` and `options`.

    Raises:
        ValueError: a value that cannot be used, or an argument that does not exist.
    """

    model_config = ConfigDict(
        arbitrary_types_allowed=True, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    recipe: str = "limrank"
    model: str | None = None
    backend: str | None = None
    top_n: int | None = Field(default=None, strict=True)
    threshold: float | None = Field(default=None, strict=True)
    api_key: SecretStr | None = Field(default=None, exclude=True, repr=False)
    options: dict[str, Any] = Field(default_factory=dict)
    reranker: Reranker | None = Field(default=None, exclude=True, repr=False)
    _lazy: Lazy[Reranker] = PrivateAttr(default_factory=Lazy)

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, data: Any) -> Any:
        if isinstance(data, dict):
            check_names(cls.__name__, data, cls.model_fields)
        return data

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_cut(self.top_n, self.threshold)
        if "api_key" in self.options:
            raise InputError("options: api_key must be given as an argument of its own")
        if isinstance(address := self.options.get("base_url"), str):
            check_written(address)
        decided = sorted({"recipe", "model", "backend", "api_key", "options"} & self.model_fields_set)
        if self.reranker is None:
            recipe = load_recipe(self.recipe)
            check_device_for(recipe, self.backend, self.options.get("device"))
            if named := sorted(set(self.options) & set(_OWN)):
                raise InputError(f"options: {named[0]} must be given as an argument of its own")
            check_made(recipe, self.backend, self.options.keys() - _OF_RERANKER)
            check_threshold(recipe, self.threshold)
        elif decided:
            raise InputError(f"{', '.join(decided)}: the reranker that was passed has decided this already")
        else:
            check_threshold(self.reranker.recipe, self.threshold)
        return self

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Rerank the documents of a query; `callbacks` is LangChain's and not used.

        Raises:
            ValueError: an empty query, or a threshold on scores that are not comparable, as loaded.
        """
        if not documents:
            return []
        candidates = [_candidate(document) for document in documents]
        with hiding(self._secrets()), told_by_caller():
            ranking = self._ready().rank(query, candidates, top_n=self.top_n, threshold=self.threshold)
        return self._copies(documents, ranking)

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """`compress_documents` for async code; a served model is asked natively, nothing blocks the loop."""
        if not documents:
            return []
        candidates = [_candidate(document) for document in documents]
        with hiding(self._secrets()), told_by_caller():
            reranker = await asyncio.to_thread(self._ready)
            ranking = await reranker.arank(query, candidates, top_n=self.top_n, threshold=self.threshold)
        return self._copies(documents, ranking)

    def _ready(self) -> Reranker:
        return self.reranker if self.reranker is not None else self._lazy.get(self._build)

    def _build(self) -> Reranker:
        options = dict(self.options)
        if self.api_key is not None:
            options["api_key"] = self.api_key.get_secret_value()
        return Reranker(self.recipe, self.model, self.backend, **options)

    def _secrets(self) -> list[str]:
        """What servers like to quote when they refuse it."""
        return [] if self.api_key is None else [self.api_key.get_secret_value()]

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        state["__dict__"] = state["__dict__"] | {"api_key": None}
        return state

    def _copies(self, documents: Sequence[Document], ranking: data.Ranking) -> list[Document]:
        secrets = self._secrets()
        warn_of(ranking, logger, number_of(len(documents), "document"), secrets, named=str)
        copies = []
        for hit in ranking:
            document = documents[hit.index]
            metadata = {key: value for key, value in document.metadata.items() if key not in _METADATA}
            metadata["relevance_score"] = hit.score
            metadata |= hit_metadata(hit, secrets)
            copies.append(document.model_copy(update={"metadata": metadata}))
        return copies


def _candidate(document: Document) -> data.Document:
    """The document as the reranker takes it, with its image where it has one."""
    text, image = document.page_content, _image_text(document)
    caption = "" if image == text else text
    if image is None:
        return data.Document(text)
    try:
        return data.Document(caption, images=(Image.from_text(image),), captioned=True)
    except InputError as error:
        return data.Document(caption, unreadable=f"the image cannot be used: {error}")


def _image_text(document: Document) -> str | None:
    """Base64 or an address, from where LangChain's loaders and vector stores put an image."""
    for name in _IMAGE_METADATA:
        value = document.metadata.get(name)
        if isinstance(value, str) and value:
            return value
    text = document.page_content
    # Chroma's `add_images` and the like keep the image itself in the place of the text.
    is_image = text.startswith("data:image/") or (
        text.startswith(_IMAGE_BASE64) and len(text) >= 64 and not any(map(str.isspace, text[:64]))
    )
    return text if is_image else None
