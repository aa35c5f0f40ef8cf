"""The figures of LimRank-Open's card, computed from its rows: `python -m limrank_synth.limrank_open.figures`.

The card holds what this prints between two marks, and a test holds the one against the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from limrank_plugins.data import Document
from limrank_plugins.ndcg import ndcg
from limrank_plugins.retrievers import build_retriever
from limrank_synth.filters.duplicates import Duplicates
from limrank_synth.filters.usual import usual_filters
from limrank_synth.filters.words import runs, words
from limrank_synth.gold_groups import grade
from limrank_synth.kappa import Kappa, cohens_kappa
from limrank_synth.limrank_open import SPLITS, load_open
from limrank_synth.markdown import counted, table_of
from limrank_synth.passage_alone import passage_alone
from limrank_synth.records import LabelledPassage
from limrank_synth.row_statistics import LENGTHS, Statistics, quantile
from limrank_synth.settings import Role, SynthSettings


class Overlap(NamedTuple):
    """The share of a query's runs of words that a passage holds, on average."""

    relevant: float
    irrelevant: float


def overlap(rows: Sequence[LabelledPassage], size: int) -> Overlap:
    """How much passages repeat their queries, those that help and those that do not.

    Args:
        rows: of which both labels occur.
        size: words of a run.
    """
    shares: dict[bool, list[float]] = {True: [], False: []}
    for row in rows:
        mine = runs(words(row.query), size)
        shares[row.relevant].append(len(mine & runs(words(row.passage), size)) / len(mine))
    return Overlap(*(sum(shares[label]) / len(shares[label]) for label in (True, False)))


def near_duplicates(rows: Sequence[LabelledPassage]) -> float:
    """The share of the rows whose passage or query is nearly that of another; see `filters.duplicates`."""
    return len(Duplicates()(rows).rejected) / len(rows)


def second_judgement(rows: Iterable[LabelledPassage]) -> Kappa:
    """The author's verdicts against those of somebody who saw query and passage alone."""
    return cohens_kappa((row.votes[0], row.second[0]) for row in rows if row.second)


def rejected(rows: Sequence[LabelledPassage]) -> dict[str, int]:
    """By filter of `limrank synth run` with its usual limits, how many rows it would throw away."""
    left, counts = list(rows), dict[str, int]()
    for sieve in usual_filters(SynthSettings({"writer": Role("nobody")}), ()):
        left, thrown = sieve(left)
        counts[sieve.name] = len(thrown)
    return counts


def bm25_ndcg(rows: Sequence[LabelledPassage], pool: Sequence[LabelledPassage], depth: int = 100) -> float:
    """Mean nDCG@10 of the default BM25 for the queries of `rows`, over all passages of `pool`."""
    texts = {row.passage: row.id for row in reversed(pool)}
    bm25 = build_retriever("bm25s", (Document(text=text, id=name) for text, name in texts.items()))
    gains: dict[str, dict[str, int]] = {}
    for row in rows:
        gains.setdefault(row.query, {})[texts[row.passage]] = grade(row)
    return sum(_ndcg(bm25.search(query, depth), judged) for query, judged in gains.items()) / len(gains)


def tables() -> str:
    """All figures as Markdown."""
    splits = {split: load_open(split) for split in SPLITS}
    pool = [row for rows in splits.values() for row in rows]
    statistics = {name: _statistics(rows) for name, rows in {**splits, "all": pool}.items()}
    whole = statistics["all"]
    domains = {name: len({row.domain for row in rows}) for name, rows in splits.items()}
    unseen = sorted({row.domain for row in splits["test"]} - {row.domain for row in splits["train"]})
    judged = second_judgement(pool)
    kinds = Counter(row.kind for row in {row.query_id: row for row in pool}.values())
    alone = {name: passage_alone(splits["train"], splits[name]) for name in ("dev", "test")}
    overlaps = [(f"{size}", *(f"{share:.4f}" for share in overlap(pool, size))) for size in (1, 2, 3)]
    return "\n".join(
        [
            table_of(
                ("split", "queries", "pairs", "relevant", "domains", "BM25 nDCG@10"),
                [
                    (
                        name,
                        f"{statistics[name].queries}",
                        f"{statistics[name].rows:,}",
                        f"{statistics[name].relevant:,}",
                        f"{domains[name]}",
                        f"{bm25_ndcg(rows, pool):.3f}",
                    )
                    for name, rows in splits.items()
                ],
            ),
            "BM25 searches the passages of all splits. Domains of the test split that are not in train: "
            f"{', '.join(unseen)}.\n",
            counted("kind of query", kinds),
            counted("pairs by difficulty of the query", whole.difficulties),
            counted("passage written as", whole.intents),
            table_of(
                ("words", "5 %", "median", "95 %", "longest"),
                [
                    (name, *(f"{quantile(whole.lengths[name], share)}" for share in (0.05, 0.5, 0.95, 1.0)))
                    for name in LENGTHS
                ],
            ),
            table_of(("runs of words shared with the query", "relevant", "not relevant"), overlaps),
            table_of(
                ("verdict guessed without the query, ROC area", "by the passage's length", "by its words"),
                [(name, f"{guess.length:.3f}", f"{guess.words:.3f}") for name, guess in alone.items()],
            ),
            table_of(("filter, usual limits", "rows rejected"), _lines(rejected(pool))),
            f"Near-duplicates: {near_duplicates(pool):.2%} of the pairs. Second judgement of dev and test: "
            f"{judged.items} pairs, {judged.observed:.1%} the same, Cohen's kappa "
            f"{'not defined' if judged.kappa is None else f'{judged.kappa:.3f}'}.\n",
        ]
    )


def _ndcg(ranked: Sequence[Document], judged: Mapping[str, int]) -> float:
    order = [str(document.id) for document in ranked]
    order += [name for name in judged if name not in order]  # relevant ones that were not found count, too
    return ndcg([float(judged.get(name, 0)) for name in order])


def _statistics(rows: Iterable[LabelledPassage]) -> Statistics:
    counts = Statistics()
    for row in rows:
        counts.add(row)
    return counts


def _lines(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    return [(f"`{name}`", str(number)) for name, number in counts.items()]


if __name__ == "__main__":
    import sys

    sys.stdout.write(tables())
