"""Scores pairs by look-up in an index of weights; passages that are not in it are weighed on the spot."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence

from limrank_plugins.backends.local.requests import Replies
from limrank_plugins.backends.local.shared_model import SharedModel
from limrank_plugins.backends.protocols import Arrived, Failed, Numbers, Reply, ScorePair
from limrank_plugins.backends.tildev2.expansion import Expansion
from limrank_plugins.backends.tildev2.index import TILDEv2Index, weighed
from limrank_plugins.backends.tildev2.model import TILDEv2
from limrank_plugins.backends.tildev2.sparse import Sparse, stacked
from limrank_plugins.checks import whole_number
from limrank_plugins.data import Usage
from limrank_plugins.errors import BackendError, InputError, MissingExtra

RELEASED = "ielab/TILDEv2-TILDE200-exp"
_DAMAGED = Failed("its weights in the index are damaged: build the index again (limrank expand)")


class TILDEv2Backend:
    """Scores pairs with TILDEv2's weights. Safe to use from many threads.

    With an index nothing but its tokenizer is loaded as long as every passage is in it. The first
    passage that is not loads the models the index was built with; where that cannot be, such passages
    fail, and the reason says what to do. Without an index, models are loaded at once, and every
    passage is weighed when it is asked about.

    Args:
        model: folder or hub name of a TILDEv2.
        index: folder of an index (`limrank expand`, `TILDEv2Index.save`), or the index.
        expansion: folder or hub name of a TILDE that adds tokens to passages which are not in the index;
            default: none.
        top: how many tokens the expansion looks at.
        device: default: a GPU where there is one.
        dtype: default float32.
        revision: branch, tag or commit of a hub `model`.
        batch_size: most passages in one forward pass on a GPU, at least 1.

    Raises:
        InputError: a value that cannot be used, or an index that cannot be read.
        BackendError: without an index: a model that cannot be loaded.
    """

    name = "tildev2"
    shows_images = False

    def __init__(
        self,
        model: str = RELEASED,
        *,
        index: str | os.PathLike[str] | TILDEv2Index | None = None,
        expansion: str | None = None,
        top: int = 200,
        device: str | None = None,
        dtype: str | None = None,
        revision: str | None = None,
        batch_size: int = 32,
    ) -> None:
        whole_number("batch_size", batch_size, least=1)
        self.model = model
        self.batch_size = batch_size

        def load() -> _Models:
            weigher = TILDEv2.load(model, device=device, dtype=dtype, revision=revision)
            if expansion is None:
                return weigher, None
            return weigher, Expansion.load(expansion, top=top, device=device, dtype=dtype)

        if index is not None:
            held = index if isinstance(index, TILDEv2Index) else TILDEv2Index.load(index)
            weights = _PassageWeights(held, None, load, batch_size)
            self.identity = f"{held.identity}|{model}|{expansion}"
            self._terms = held.terms
        else:
            models = load()
            weights = _PassageWeights(None, models, load, batch_size)
            self.identity = f"{models[0].identity}|{None if models[1] is None else models[1].identity}"
            self._terms = models[0].terms
        self._model = SharedModel("this TILDEv2 backend", weights)
        # Looking up a reply in the store would take as long as looking it up here.
        self.stored = index is None

    def score_pairs(self, requests: Sequence[ScorePair], arrived: Arrived | None = None) -> list[Reply]:
        """Answer each request with what the query's tokens weigh, or `Failed`; see `ScoresPairs`."""
        replies = Replies(arrived)
        with self._model.turn() as weights:
            passages = list(dict.fromkeys(request.passage for request in requests))
            rows = dict(zip(passages, weights.rows(passages), strict=True))
            by_query: dict[str, list[int]] = {}
            for position, request in enumerate(requests):
                row = rows[request.passage]
                if isinstance(row, Failed):
                    replies[position] = row
                else:
                    by_query.setdefault(request.query, []).append(position)
            with replies.together():
                for query, positions in by_query.items():
                    tokens = self._terms.query(query)
                    by_place = [(i, rows[requests[i].passage]) for i in positions]
                    for i, score, cut in weights.scores(tokens, by_place):
                        is_sound = math.isfinite(score) and cut >= 0
                        replies[i] = Numbers((float(score),), Usage(), cut) if is_sound else _DAMAGED
        return replies.in_order()

    def close(self) -> None:
        """Release models and index. May be called twice; scoring after it is a `BackendError`."""
        self._model.close()


_Models = tuple[TILDEv2, Expansion | None]
_Row = int | tuple[Sparse, int] | Failed
"""A passage's row in the index; its own row and the tokens that were cut; or why there is neither."""


class _PassageWeights:
    """An index, and the models that weigh passages which are not in it."""

    def __init__(
        self, index: TILDEv2Index | None, models: _Models | None, load: Callable[[], _Models], batch_size: int
    ) -> None:
        self.index = index
        self.models = models
        self._load = load
        self._batch_size = batch_size
        self._why_not = ""

    def scores(
        self, tokens: Sequence[int], rows: Sequence[tuple[int, _Row]]
    ) -> Iterator[tuple[int, float, int]]:
        """All passages of one query at once: those in the index, then those weighed just now.

        Yields:
            For each row what it came with, its score, and how many of its tokens were cut.
        """
        inside = [(i, row) for i, row in rows if isinstance(row, int)]
        fresh = [(i, row) for i, row in rows if isinstance(row, tuple)]
        if inside and self.index is not None:
            scores = self.index.rows.scores(tokens, [row for _, row in inside])
            for (i, row), score in zip(inside, scores, strict=True):
                yield i, score, int(self.index.cut[row])
        if fresh:
            scores = stacked([row for _, (row, _) in fresh]).scores(tokens, range(len(fresh)))
            for (i, (_, cut)), score in zip(fresh, scores, strict=True):
                yield i, score, cut

    def rows(self, passages: Sequence[str]) -> list[_Row]:
        """Where each passage is in the index, or its own row, or why there is none."""
        rows: list[_Row | None] = [None] * len(passages)
        if self.index is not None:
            rows = list(self.index.find(passages))
        absent = [i for i, row in enumerate(rows) if row is None]
        if absent and self.models is None and not self._why_not:
            try:
                self.models = self._load()
                self._why_not = self._other_than_the_index(*self.models)
            except (InputError, BackendError, MissingExtra) as error:
                self._why_not = str(error)
        if absent and self.models is not None and not self._why_not:
            fresh = weighed([passages[i] for i in absent], *self.models, self._batch_size)
            for i, row_or_reason in zip(absent, fresh, strict=True):
                rows[i] = Failed(row_or_reason) if isinstance(row_or_reason, str) else row_or_reason
        reason = Failed(
            f"the passage is not in the index and cannot be weighed now ({self._why_not}): build the index "
            f"again with it (limrank expand), or give the model and expansion the index was built with"
        )
        return [reason if row is None else row for row in rows]

    def _other_than_the_index(self, model: TILDEv2, expansion: Expansion | None) -> str:
        """Why weights made now would not be like those of the index; empty where they are."""
        about = {} if self.index is None else self.index.about
        identities = {"model": model.identity, "expansion": None if expansion is None else expansion.identity}
        for name, identity in identities.items():
            if about.get(name) != identity:
                return f"the index was built with {name} {about.get(name)!r}, but given is {identity!r}"
        return ""
