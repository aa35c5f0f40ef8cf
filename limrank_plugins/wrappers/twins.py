"""Documents that read the same are one document to a wrapper: judged once, tied in the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from limrank_plugins.answers import Outcome
from limrank_plugins.data import Document, Usage
from limrank_plugins.wrappers import Asked


def once_each(documents: Sequence[Document], ask: Callable[[Sequence[Document]], Asked]) -> Asked:
    """Ask about the first of each set of twins; the others get its verdict, and the places behind it."""
    first: dict[object, int] = {}
    same = [
        first.setdefault((document.passage, document.images, document.prior), i)
        for i, document in enumerate(documents)
    ]
    kept = list(dict.fromkeys(same))
    outcome = yield from ask([documents[i] for i in kept])
    said = dict(zip(kept, outcome.verdicts, strict=True))
    verdicts = tuple(
        said[of] if of == i else replace(said[of], usage=Usage(), repairs=0) for i, of in enumerate(same)
    )
    if outcome.order is None:
        return Outcome(verdicts)
    behind: dict[int, list[int]] = {}
    for i, of in enumerate(same):
        behind.setdefault(of, []).append(i)
    return Outcome(verdicts, [i for at in outcome.order for i in behind[kept[at]]])
