"""nDCG@10 of orders, by ir_measures."""

from __future__ import annotations

from collections.abc import Sequence

from limrank_plugins.errors import require


def ndcg(grades: Sequence[Sequence[float]], orders: Sequence[Sequence[int]], cut: int = 10) -> list[float]:
    """The nDCG of each query, in their order; a query without a relevant document has 0.

    Args:
        grades: of each query's documents, in the order of the first stage; whole numbers, 0 for irrelevant.
        orders: for each query positions in that list, best first.
        cut: how many places count.

    Raises:
        MissingExtra: ir_measures is not installed.
    """
    ir_measures = require("ir_measures", "training", "nDCG in training")
    measure = ir_measures.nDCG @ cut
    qrels = [
        ir_measures.Qrel(str(q), str(d), int(grade))
        for q, of_query in enumerate(grades)
        for d, grade in enumerate(of_query)
    ]
    # Ranks as scores, all different: what equal scores would do differs from one measure to another.
    run = [
        ir_measures.ScoredDoc(str(q), str(d), float(-rank))
        for q, order in enumerate(orders)
        for rank, d in enumerate(order)
    ]
    found = {metric.query_id: float(metric.value) for metric in ir_measures.iter_calc([measure], qrels, run)}
    return [found.get(str(q), 0.0) for q in range(len(grades))]
