"""A `Reranker` as a model of mteb 2: `mteb.evaluate(MtebReranker(reranker), tasks)`.

mteb hands a cross-encoder pairs and sorts by the numbers it gets back. Three things follow:

- It calls `predict` once for a whole split, with every pair in batches that end anywhere. Pairs are put
  back together by the queries' ids before anything is ranked, so that a recipe that orders or chooses sees
  all candidates of its query, in the order of the first stage.
- What comes back is each document's rank counted backwards: equal scores would be sorted by document id,
  and failed documents and recipes that order have no score. mteb's nAUC figures, which read scores as
  confidence, therefore mean nothing here.
- Results are cached by name and revision: the revision is a digest of everything the ranking depends on.

Nothing of mteb is imported before its model card is asked for.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import zip_longest
from typing import Any

import numpy as np

from limrank_evals.runs import RunLines
from limrank_plugins.checks import whole_number
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import BackendError, InputError, MissingExtra
from limrank_plugins.images import Image
from limrank_plugins.io import ranking_record
from limrank_plugins.reranker import Reranker
from limrank_plugins.unread import Unread
from limrank_plugins.wording import number_of

logger = logging.getLogger(__name__)

SplitKey = tuple[str, str, str]
"""Task, subset and split."""


class MtebReranker:
    """A reranker that mteb can evaluate, as its `CrossEncoderProtocol`.

    Args:
        reranker: what is evaluated. With a `store`, an evaluation that was killed asks nothing twice.
        name: what mteb's results call it, `organisation/name`; default: `limrank/` and the recipe's name.
        first_stage: what found the candidates, for example `bm25s@100`. mteb's cache does not know them:
            without this, reranking other candidates of the same task gives the cached result again.
        priors: first-stage scores by query (`limrank_evals.runs.read_run_lines`), for recipes that read them
            (InsertRank, fusion); mteb hands on their order alone.
        batch: queries ranked in lockstep.
        allow_failures: evaluate documents that could not be judged at their first-stage places. mteb then
            keeps the result, which `overwrite_strategy="always"` alone replaces. By default they end the
            evaluation of their split, and mteb keeps nothing of it.
        modalities: what mteb may give it; `("text", "image")` for a model that sees.

    Attributes:
        records: what was ranked, by task, subset and split, in mteb's order of queries: for
            `limrank_plugins.io.write_run`, with reasons of documents that could not be judged.

    Raises:
        InputError: a batch below 1, or a name that is not `organisation/name`.
    """

    def __init__(
        self,
        reranker: Reranker,
        *,
        name: str | None = None,
        first_stage: str = "",
        priors: RunLines | None = None,
        batch: int = 1,
        allow_failures: bool = False,
        modalities: Sequence[str] = ("text",),
    ) -> None:
        whole_number("batch", batch, least=1)
        self.name = name if name is not None else f"limrank/{_slug(reranker.recipe.name)}"
        if not re.fullmatch(r"[^/\s]+/[^/\s]+", self.name):
            raise InputError(f"mteb wants a model's name as 'organisation/name', but it is {self.name!r}")
        self.reranker = reranker
        self.first_stage = first_stage
        self.batch = batch
        self.allow_failures = allow_failures
        self.modalities = tuple(modalities)
        self.records: dict[SplitKey, list[dict[str, Any]]] = {}
        self._priors = {
            query: {row.document_id: row.score for row in rows} for query, rows in (priors or {}).items()
        }

    def predict(
        self,
        inputs1: Iterable[Mapping[str, Any]],
        inputs2: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        prompt_type: Any = None,
        **_: Any,
    ) -> np.ndarray[Any, np.dtype[np.float64]]:
        """A number for every pair; within a query higher is better, and no two documents have the same.

        Args:
            inputs1: batches of queries, one for each pair: columns `id`, `text`, and perhaps `query`
                (the text without its instruction), `instruction`, `image`.
            inputs2: batches of documents: `id`, `text` (title and body), perhaps `image`.
            task_metadata: of the task; its name keys `records`.
            hf_split: of the task.
            hf_subset: of the task.
            prompt_type: not used.
            _: mteb's `encode_kwargs`: its batch size is one of pairs, not of what a model is asked.

        Raises:
            InputError: a row without an id, an empty query, or unequally many of both.
            BackendError: a document could not be judged, unless `allow_failures`.
        """
        queries: dict[str, Query] = {}
        broken: dict[str, str] = {}
        candidates: dict[str, dict[str, Document]] = {}
        pairs: list[tuple[str, str]] = []
        query_rows, document_rows = _rows(inputs1, "query"), _rows(inputs2, "document")
        for (query, row), (document, content) in _together(query_rows, document_rows):
            if query not in queries:
                queries[query], broken[query] = _query(query, row)
            known = candidates.setdefault(query, {})
            if document not in known:
                prior = self._priors.get(query, {}).get(document)
                known[document] = _document(content, document, prior, broken[query])
            pairs.append((query, document))
        scores: dict[tuple[str, str], float] = {}
        records = []
        names = list(queries)
        for start in range(0, len(names), self.batch):
            names_in_batch = names[start : start + self.batch]
            jobs = [(queries[name], list(candidates[name].values())) for name in names_in_batch]
            for name, ranking in zip(names_in_batch, self.reranker.rank_many(jobs), strict=True):
                scores |= {
                    (name, document): score
                    for document, score in zip(ranking.ids, ranking.run_scores(), strict=True)
                }
                records.append(ranking_record(ranking))
        self.records[task_metadata.name, hf_subset, hf_split] = records
        for sentence in Unread.in_records(records).sentences():
            logger.warning("%s %s %s: %s", task_metadata.name, hf_subset, hf_split, sentence)
        failed = [failure for record in records for failure in record["failures"]]
        if failed and not self.allow_failures:
            raise BackendError(
                f"{number_of(len(failed), 'document')} could not be judged; the first one, "
                f"{failed[0]['id']!r}: {failed[0]['reason']}. mteb would keep such a result for good: "
                f"evaluate again (a reranker with a store asks only for what failed), or give "
                f"allow_failures=True"
            )
        return np.array([scores[pair] for pair in pairs], dtype=np.float64)

    @property
    def failures(self) -> int:
        """Documents, over all that was ranked, that could not be judged; they keep their input position."""
        return sum(len(record["failures"]) for records in self.records.values() for record in records)

    @property
    def unread(self) -> Unread:
        """How many queries and documents, over all that was ranked, were not read whole."""
        return sum((Unread.in_records(records) for records in self.records.values()), Unread())

    @property
    def revision(self) -> str:
        """A digest of recipe, model, prompt and settings."""
        return hashlib.sha256(self.reranker.identity.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @cached_property
    def mteb_model_meta(self) -> Any:
        """The model's card, as mteb's `ModelMeta`.

        Raises:
            MissingExtra: mteb is not installed.
        """
        try:
            from mteb.models.model_meta import ModelMeta  # type: ignore[import-not-found,unused-ignore]
        except ModuleNotFoundError as error:
            if error.name is None or error.name.split(".")[0] != "mteb":
                raise
            raise MissingExtra("evaluating with mteb needs mteb 2: pip install 'mteb>=2'") from error
        return ModelMeta.create_empty(
            {
                "name": self.name,
                "revision": self.revision,
                "model_type": ["cross-encoder"],
                "modalities": list(self.modalities),
                "use_instructions": True,
                "reference": None,
                "experiment_kwargs": {"first_stage": self.first_stage} if self.first_stage else None,
            }
        )


def _together(
    query_rows: Iterator[tuple[str, dict[str, Any]]], document_rows: Iterator[tuple[str, dict[str, Any]]]
) -> Iterator[tuple[tuple[str, dict[str, Any]], tuple[str, dict[str, Any]]]]:
    """Both sides pair by pair; they are read in step, so that one batch of each is held."""
    for query, document in zip_longest(query_rows, document_rows):
        if query is None or document is None:
            raise InputError("mteb gave unequally many queries and documents for its pairs")
        yield query, document


def _rows(batches: Iterable[Mapping[str, Any]], what: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of column batches, each with its id."""
    for batch in batches:
        if "id" not in batch:
            raise InputError(
                f"a {what} of mteb's has no column 'id', only {', '.join(sorted(batch))}: its pairs "
                f"cannot be put together to lists; the adapter is for retrieval and reranking tasks of mteb 2"
            )
        for number, identifier in enumerate(batch["id"]):
            yield str(identifier), {name: column[number] for name, column in batch.items()}


def _query(identifier: str, row: Mapping[str, Any]) -> tuple[Query, str]:
    """The query, and why its image cannot be used; "" where it can."""
    images, why = _readable_images(row, identifier)
    # A conversation comes with its instruction in front, as one text.
    if "conversation" in row:
        return Query(_text(row) or why, identifier, images=images), why
    text = row.get("query", row.get("text")) or why
    return Query(str(text), identifier, str(row.get("instruction") or ""), images), why


def _document(row: Mapping[str, Any], identifier: str, prior: float | None, broken: str) -> Document:
    """The document, which fails where its image or its query's cannot be used (`broken` says why)."""
    images, why = _readable_images(row, identifier)
    return Document(_text(row), id=identifier, prior=prior, images=images, unreadable=broken or why)


def _readable_images(row: Mapping[str, Any], identifier: str) -> tuple[tuple[Image, ...], str]:
    """The images; or none, and why, where one cannot be read: that is no fault of the whole table."""
    try:
        return _images(row, identifier), ""
    except _UnreadableImage as error:
        return (), str(error)


def _text(row: Mapping[str, Any]) -> str:
    return str(row.get("text") or "")


def _images(row: Mapping[str, Any], identifier: str) -> tuple[Image, ...]:
    for kind in ("video", "audio"):
        if kind in row:
            raise InputError(f"{identifier!r} is {kind}, which no recipe can be asked about")
    image = row.get("image")
    if image is None:
        return ()
    if not hasattr(image, "save"):
        raise InputError(f"the image of {identifier!r} is no image of Pillow's, but {type(image).__name__}")
    held = io.BytesIO()
    try:
        image.save(held, "PNG")
        return (Image(held.getvalue()),)
    except Exception as error:
        raise _UnreadableImage(f"the image of {identifier!r} cannot be used: {error}") from error


class _UnreadableImage(InputError):
    """An image that cannot be read or is refused: a document's own fault, not its table's."""


def _slug(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", name).strip("-")
