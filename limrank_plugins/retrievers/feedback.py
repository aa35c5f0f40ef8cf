"""Relevance feedback: distil a ranking into a dense retriever's query vector, then search again.

FIRST (arXiv 2406.15657, "relevance feedback"; the method is ReFIT's, arXiv 2305.11744): documents that
the first search missed are found because the query has moved towards those a reranker put first. The
documents' vectors are frozen; only the query's changes.

What is learned from is the ranking's own order. The released code learns from "slot scores", the first
stage's scores handed out in the new order.

Example:
    >>> from limrank_plugins import Reranker
    >>> from limrank_plugins.retrievers.dense import DenseRetriever
    >>> from limrank_plugins.retrievers.feedback import search_again
    >>> index = DenseRetriever.build(["Bread rises.", "Acid curdles milk.", "Rivers carve valleys."])
    >>> query = "milk in tea"
    >>> ranking = Reranker("mini").rank(query, index.search(query, 2))
    >>> len(search_again(index, query, ranking, 3))
    3
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from limrank_plugins.checks import finite_number, whole_number
from limrank_plugins.data import Document, Query, Ranking
from limrank_plugins.errors import InputError, require
from limrank_plugins.retrievers import check_k
from limrank_plugins.retrievers.dense import DenseRetriever
from limrank_plugins.retrievers.embedding import Vectors
from limrank_plugins.wording import number_of, verb_for

STEPS, RATE = 20, 1e-3
"""Of learning the order: Adam's steps and learning rate, as released."""
TEACHER_STEPS, TEACHER_RATE = 100, 5e-3
"""Of the stage before it, learning a teacher's scores, as released."""

Numbers = npt.NDArray[np.float64]


def search_again(
    retriever: DenseRetriever,
    query: str | Query,
    ranking: Ranking,
    k: int = 100,
    *,
    teacher: Mapping[str, float] | None = None,
    steps: int = STEPS,
    rate: float = RATE,
) -> list[Document]:
    """Search with the query vector moved towards a ranking.

    Args:
        retriever: what found the documents.
        query: what was searched for.
        ranking: of documents from this index; failed hits are left out.
        k: how many to find.
        teacher: scores by document id, for example a cross-encoder's, to learn before the order. Hits
            without one are left out of that stage.
        steps: see `refined_query`.
        rate: see `refined_query`.

    Returns:
        The documents nearest to the new vector, best first, their `prior` the cosine with it. With fewer
        than two hits there is nothing to learn: the same as `retriever.search`.

    Raises:
        InputError: a document that is not in the index, or a value that cannot be used.
        MissingExtra: torch is not installed.
    """
    check_k(k)
    vector = retriever.query_vectors([query])[0]
    ids = [hit.id for hit in ranking if hit.failure is None]
    passages = retriever.document_vectors(ids)
    scores = None if teacher is None else [teacher.get(identifier) for identifier in ids]
    refined = refined_query(vector, passages, range(len(ids)), teacher=scores, steps=steps, rate=rate)
    length = float(np.sqrt(np.dot(refined, refined)))
    # An unchanged vector is of length 1 already, and must give the same cosines to the last bit.
    unchanged = np.array_equal(refined, vector) or length == 0
    return retriever.search_vector(vector if unchanged else refined / np.float32(length), k)


def refined_query(
    vector: Vectors,
    passages: Vectors,
    order: Sequence[int],
    *,
    teacher: Sequence[float | None] | None = None,
    steps: int = STEPS,
    rate: float = RATE,
    teacher_steps: int = TEACHER_STEPS,
    teacher_rate: float = TEACHER_RATE,
) -> Vectors:
    """The query vector after learning an order of passages. Pure and deterministic (float64, CPU).

    Two stages, each Adam's with its own steps and rate, on the scores s_i = c/2 · (q · p_i):

    1. with a teacher: KL(teacher's softmax ‖ softmax of s);
    2. weighted RankNet: the mean over pairs with r_i < r_j of log(1 + exp(s_j - s_i)) / (r_i + r_j),
       r being the ranks of the order, from 1.

    As released, c is the range of what is learned over the range of q · p_i at the stage's start. For an
    order, which has no scores, the range is that of its ranks, n - 1. Where all q · p_i are equal, c is
    the range of what is learned.

    Args:
        vector: the query's, shape (dimensions,).
        passages: the documents', shape (documents, dimensions).
        order: rows of `passages`, best first, each at most once; rows that are not named teach nothing
            about the order.
        teacher: a score for each row of `passages`, None for unknown; None: no such stage.
        steps: Adam's, of the second stage.
        rate: its learning rate there.
        teacher_steps: of the first stage.
        teacher_rate: its learning rate there.

    Returns:
        Shape (dimensions,), float32; the vector itself where a stage has fewer than two documents.

    Raises:
        InputError: shapes that do not fit, rows that repeat or are not there, or values that are not finite.
        MissingExtra: torch is not installed.
    """
    start, rows = np.asarray(vector, dtype=np.float64), np.asarray(passages, dtype=np.float64)
    ranks = list(order)
    _check(start, rows, ranks, teacher, steps, rate, teacher_steps, teacher_rate)
    known = [] if teacher is None else [(i, score) for i, score in enumerate(teacher) if score is not None]
    learned = start
    if len(known) > 1:
        scores = np.asarray([score for _, score in known], dtype=np.float64)
        taught = rows[[i for i, _ in known]]
        scale = _scale(taught @ learned, float(np.ptp(scores)))
        learned = _learn(learned, taught, scale, _kl_to(scores), teacher_steps, teacher_rate)
    if len(ranks) > 1:
        ordered = rows[ranks]
        scale = _scale(ordered @ learned, float(len(ranks) - 1))
        learned = _learn(learned, ordered, scale, weighted_ranknet, steps, rate)
    return learned.astype(np.float32)


def weighted_ranknet(scores: Any) -> Any:
    """FIRST's loss of scores given in the true order, best first: a tensor of one number.

    The mean over pairs i < j of log(1 + exp(s_j - s_i)) / (r_i + r_j), with r_i = i + 1. The paper writes
    a sum; the mean is what was released.

    Args:
        scores: a float tensor, shape (documents,), at least two.
    """
    torch = require("torch", "transformers", "relevance feedback")
    better, worse = torch.triu_indices(len(scores), len(scores), offset=1)
    losses = torch.nn.functional.softplus(scores[worse] - scores[better])
    return (losses / (better + worse + 2).to(scores.dtype)).mean()


def _kl_to(teacher: Numbers) -> Callable[[Any], Any]:
    torch = require("torch", "transformers", "relevance feedback")
    target = torch.log_softmax(torch.from_numpy(teacher), dim=0)

    def loss(scores: Any) -> Any:
        return (target.exp() * (target - torch.log_softmax(scores, dim=0))).sum()

    return loss


def _scale(scores: Numbers, wanted: float) -> float:
    """What half the inner products are multiplied by."""
    spread = float(np.ptp(scores))
    return (wanted / spread if spread > 0 else wanted) / 2


def _learn(
    start: Numbers, passages: Numbers, scale: float, loss: Callable[[Any], Any], steps: int, rate: float
) -> Numbers:
    torch = require("torch", "transformers", "relevance feedback")
    # On the CPU and with gradients, whatever the caller has set for its own model.
    with torch.inference_mode(False), torch.enable_grad():
        frozen, query = torch.from_numpy(passages), torch.from_numpy(start.copy()).requires_grad_()
        optimizer = torch.optim.Adam([query], lr=rate)
        for _ in range(steps):
            optimizer.zero_grad()
            loss(scale * (frozen @ query)).backward()
            optimizer.step()
        learned: Numbers = query.detach().numpy()
    return learned


def _check(
    vector: Numbers,
    passages: Numbers,
    order: Sequence[int],
    teacher: Sequence[float | None] | None,
    steps: int,
    rate: float,
    teacher_steps: int,
    teacher_rate: float,
) -> None:
    if vector.ndim != 1 or passages.ndim != 2 or passages.shape[1] != len(vector):
        raise InputError(
            f"a vector of shape (dimensions,) and passages of shape (documents, dimensions) are needed, but "
            f"got {vector.shape} and {passages.shape}"
        )
    if not (np.isfinite(vector).all() and np.isfinite(passages).all()):
        raise InputError("a vector holds a number that is not finite: nothing can be learned from it")
    if len(set(order)) != len(order) or any(not 0 <= row < len(passages) for row in order):
        raise InputError(
            f"order must name each of {number_of(len(passages), 'passage')} at most once, but got "
            f"{list(order)}"
        )
    if teacher is not None and len(teacher) != len(passages):
        raise InputError(
            f"there {verb_for(len(teacher), 'are')} {number_of(len(teacher), 'teacher score')} for "
            f"{number_of(len(passages), 'passage')}: give one for each"
        )
    if any(score is not None and not np.isfinite(score) for score in teacher or ()):
        raise InputError("a teacher score is not finite: give None for those that are not known")
    whole_number("steps", steps, least=0)
    whole_number("teacher_steps", teacher_steps, least=0)
    finite_number("rate", rate, above=0)
    finite_number("teacher_rate", teacher_rate, above=0)
