"""Scores pairs by look-up in an index of weights; passages that are not in it are weighed on the spot."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

from limrank_plugins.backends.protocols import Failed, Numbers, ScorePair
from limrank_plugins.backends.tildev2.expansion import Expansion
from limrank_plugins.backends.tildev2.index import TILDEv2Index, weighed
from limrank_plugins.backends.tildev2.model import TILDEv2
from limrank_plugins.backends.tildev2.sparse import Sparse, stacked
from limrank_plugins.data import Usage
from limrank_plugins.errors import BackendError, InputError, MissingExtra

RELEASED = "ielab/TILDEv2-TILDE200-exp"


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
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise InputError(f"batch_size must be a whole number > 0, but got {batch_size!r}")
        self.model = model
        self.batch_size = batch_size
        self._options = {"device": device, "dtype": dtype, "revision": revision}
        self._expansion_name = expansion
        self._top = top
        self._lock = threading.Lock()
        self._models: tuple[TILDEv2, Expansion | None] | None = None
        self._why_not = ""
        self._closed = False
        self._index: TILDEv2Index | None = None
        if index is not None:
            self._index = index if isinstance(index, TILDEv2Index) else TILDEv2Index.load(index)
            self._identity = f"{self._index.identity}|{model}|{expansion}"
            self._terms = self._index.terms
        else:
            self._models = self._load()
            made, added = self._models
            self._identity = f"{made.identity}|{None if added is None else added.identity}"
            self._terms = made.terms
        # Looking up an answer in the store would take as long as looking it up here.
        self.stored = self._index is None

    @property
    def identity(self) -> str:
        """What a score depends on: the index and what weighs passages that are not in it."""
        return self._identity

    def score_pairs(self, requests: Sequence[ScorePair]) -> list[Numbers | Failed]:
        """Answer each request with what the query's tokens weigh, or `Failed`; see `ScoresPairs`."""
        with self._lock:
            if self._closed:
                raise BackendError("this TILDEv2 backend is closed; make a new one")
            passages = list(dict.fromkeys(request.passage for request in requests))
            known = dict(zip(passages, self._rows(passages), strict=True))
            by_query: dict[str, list[int]] = {}
            replies: list[Numbers | Failed] = [Failed("not scored")] * len(requests)
            for position, request in enumerate(requests):
                found = known[request.passage]
                if isinstance(found, Failed):
                    replies[position] = found
                else:
                    by_query.setdefault(request.query, []).append(position)
            for query, positions in by_query.items():
                self._score(query, positions, [known[requests[i].passage] for i in positions], replies)
        return replies

    def close(self) -> None:
        """Release models and index. May be called twice; scoring after it is a `BackendError`."""
        with self._lock:
            self._models = self._index = None
            self._closed = True

    # ---- inside ---------------------------------------------------------------------------------

    def _score(
        self,
        query: str,
        positions: Sequence[int],
        places: Sequence[int | tuple[Sparse, int] | Failed],
        replies: list[Numbers | Failed],
    ) -> None:
        """All passages of one query at once: those in the index, then those weighed just now."""
        tokens = self._terms.query(query)
        inside = [(i, place) for i, place in zip(positions, places, strict=True) if isinstance(place, int)]
        fresh = [(i, place) for i, place in zip(positions, places, strict=True) if isinstance(place, tuple)]
        if inside and self._index is not None:
            scores = self._index.rows.scores(tokens, [row for _, row in inside])
            for (i, row), score in zip(inside, scores, strict=True):
                replies[i] = Numbers((float(score),), Usage(), int(self._index.cut[row]))
        if fresh:
            scores = stacked([row for _, (row, _) in fresh]).scores(tokens, range(len(fresh)))
            for (i, (_, cut)), score in zip(fresh, scores, strict=True):
                replies[i] = Numbers((float(score),), Usage(), cut)

    def _rows(self, passages: Sequence[str]) -> list[int | tuple[Sparse, int] | Failed]:
        """Where each passage is in the index, or its own row, or why there is none."""
        found: list[int | tuple[Sparse, int] | Failed | None] = [None] * len(passages)
        if self._index is not None:
            found = list(self._index.find(passages))
        absent = [i for i, row in enumerate(found) if row is None]
        if absent and self._models is None and not self._why_not:
            try:
                self._models = self._load()
                self._why_not = self._other_than_the_index(*self._models)
            except (InputError, BackendError, MissingExtra) as error:
                self._why_not = str(error)
        if absent and self._models is not None and not self._why_not:
            made = weighed([passages[i] for i in absent], *self._models, self.batch_size)
            for i, one in zip(absent, made, strict=True):
                found[i] = Failed(one) if isinstance(one, str) else one
        reason = Failed(
            f"the passage is not in the index and cannot be weighed now ({self._why_not}): build the index "
            f"again with it (limrank expand), or give the model and expansion the index was built with"
        )
        return [reason if row is None else row for row in found]

    def _load(self) -> tuple[TILDEv2, Expansion | None]:
        made = TILDEv2.load(self.model, **self._options)
        if self._expansion_name is None:
            return made, None
        device, dtype = self._options["device"], self._options["dtype"]
        return made, Expansion.load(self._expansion_name, top=self._top, device=device, dtype=dtype)

    def _other_than_the_index(self, model: TILDEv2, expansion: Expansion | None) -> str:
        """Why weights made now would not be like those of the index; empty where they are."""
        about = {} if self._index is None else self._index.about
        given = {"model": model.identity, "expansion": None if expansion is None else expansion.identity}
        for name, value in given.items():
            if about.get(name) != value:
                return f"the index was built with {name} {about.get(name)!r}, but given is {value!r}"
        return ""
