"""`bm25q` against the libraries that BRIGHT's leaderboard computes BM25 with, put together as it does."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

pytest.importorskip("gensim", reason="runs in an environment of its own: tests/compat/run_bright_bm25")
pytest.importorskip("jnius_config", reason="runs in an environment of its own: tests/compat/run_bright_bm25")

from bm25_reference import PASSAGES
from gensim.corpora import Dictionary
from gensim.models import LuceneBM25Model
from gensim.similarities import SparseMatrixSimilarity

from limrank_plugins.retrievers import build_retriever
from limrank_plugins.retrievers.java import java_class

WORDS = """
why do acids curdle milk running runs runner the of C R U.S. o'clock state-of-the-art naïve résumé 3.14 2nd
emoji 😀 x:y e.g. proteins protein's clumping clumped yeasts gases valleys carving 日本語 theorem lemma
integral sorting sorted sort algorithm list lists don't can't won't http://a.b/c?d=e foo_bar snake_case
""".split()  # noqa: SIM905 - prose, not code


def texts(dice: random.Random, count: int, longest: int) -> list[str]:
    """Few frequent words and many rare ones, so that idf matters; some texts are empty."""
    rare = [f"term{i}" for i in range(300)]
    pool = WORDS * 3 + rare
    return [" ".join(dice.choice(pool) for _ in range(dice.randint(0, longest))) for _ in range(count)]


class Released:
    """BM25 vectors of documents and query, and their inner product, nothing normalised."""

    def __init__(self, passages: Sequence[str]) -> None:
        java_class("java.lang.String")  # a Java that is new enough, before pyserini starts another
        from pyserini import analysis

        self._words = analysis.Analyzer(analysis.get_lucene_analyzer())
        documents = [self._words.analyze(passage) for passage in passages]
        self._dictionary = Dictionary(documents)
        self._model = LuceneBM25Model(dictionary=self._dictionary, k1=0.9, b=0.4)
        self._index = SparseMatrixSimilarity(
            self._model[[self._dictionary.doc2bow(document) for document in documents]],
            num_docs=len(documents),
            num_terms=len(self._dictionary),
            normalize_queries=False,
            normalize_documents=False,
        )

    def scores(self, query: str) -> list[float]:
        found = self._model[self._dictionary.doc2bow(self._words.analyze(query))]
        return [float(score) for score in self._index[found]]


@pytest.mark.parametrize("seed", range(4))
def test_scores_and_order(seed: int) -> None:
    dice = random.Random(seed)
    passages = [*PASSAGES, *texts(dice, 300, 60)]
    ours, theirs = build_retriever("bm25q", passages), Released(passages)
    for query in filter(str.strip, [*PASSAGES, *texts(dice, 40, 200)]):
        expected = theirs.scores(query)
        hits = ours.search(query, len(passages))
        assert {int(hit.id or "") for hit in hits} == {i for i, score in enumerate(expected) if score > 0}
        for hit in hits:
            assert hit.prior == pytest.approx(expected[int(hit.id or "")], rel=2e-6)
        order = sorted(range(len(passages)), key=lambda i: -expected[i])
        for hit, place in zip(hits, order, strict=False):
            # Where the order differs, the two differ by single precision only.
            assert expected[int(hit.id or "")] == pytest.approx(expected[place], rel=2e-6)
