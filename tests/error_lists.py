"""Runs for the error analysis, written short, and drawn at random."""

from __future__ import annotations

from hypothesis import strategies as st

from limrank_evals.errors import DetailedRun, RunHit

DIRECT, SUPPORTING, REFUTING = "direct", "indirect:supporting", "indirect:refuting"
OUTDATED, UNTRUE = "negative:outdated", "negative:false-claim"
KINDS = (DIRECT, SUPPORTING, REFUTING, OUTDATED, UNTRUE)


def listing(lists: dict[str, str | list[tuple[str, float | None]]], **fields: object) -> DetailedRun:
    """A run: documents with blanks between, best first, or pairs of document and score (None: it failed)."""
    made = {}
    for query, found in lists.items():
        if isinstance(found, str):
            made[query] = tuple(RunHit(d, rank) for rank, d in enumerate(found.split(), start=1))
        else:
            made[query] = tuple(
                RunHit(d, rank, score, None if score is not None else "no answer")
                for rank, (d, score) in enumerate(found, start=1)
            )
    return DetailedRun(made, detailed=True, **fields)


@st.composite
def scored(draw: st.DrawFn, most: int = 8) -> list[tuple[str, float | None]]:
    """One list: documents d0, d1, … in some order, scores descending with ties, some of them failed."""
    names = draw(st.permutations([f"d{i}" for i in range(draw(st.integers(1, most)))]))
    scores = sorted(
        draw(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=len(names), max_size=len(names))),
        reverse=True,
    )
    failed = draw(st.lists(st.booleans(), min_size=len(names), max_size=len(names)))
    return [
        (d, None if out and draw(st.booleans()) else s)
        for d, s, out in zip(names, scores, failed, strict=True)
    ]


grades = st.dictionaries(st.sampled_from([f"d{i}" for i in range(10)]), st.integers(0, 3), min_size=1)
kinds = st.dictionaries(st.sampled_from([f"d{i}" for i in range(10)]), st.sampled_from(KINDS))
