"""The shipped collection is what its README says: counts, kinds, verdicts, reasons."""

from __future__ import annotations

from collections import Counter

from limrank_plugins import samples


def test_enough_of_everything():
    rows = samples.query_rows()
    assert len(samples.documents()) >= 160
    assert len(rows) >= 24
    kinds = Counter(row["kind"] for row in rows)
    assert kinds == {"daily": len(rows) // 2, "expert": len(rows) // 2}
    assert len({row["domain"] for row in rows}) >= 6
    assert all(row["persona"].strip() for row in rows)
    assert len({row["persona"] for row in rows}) == len(rows)


def test_every_query_has_direct_and_indirect_answers_and_hard_negatives():
    known = {document.id for document in samples.documents()}
    grades = samples.qrels()
    assert set(grades) == {query.id for query in samples.queries()}
    for query, judged in grades.items():
        assert set(judged) <= known, query
        count = Counter(judged.values())
        assert count[2] >= 1, query
        assert count[1] >= 1, query
        assert count[0] >= 3, query


def test_every_judgement_has_its_reason_on_one_line():
    reasons = {(row["query_id"], row["document_id"]): row for row in samples.reasons()}
    judged = {
        (query, document): grade for query, row in samples.qrels().items() for document, grade in row.items()
    }
    assert set(reasons) == set(judged)
    for pair, row in reasons.items():
        assert row["grade"] == judged[pair]
        assert row["kind"]
        assert row["reason"].strip()
        assert "\n" not in row["reason"]


def test_no_passage_gives_a_query_away():
    texts = [document.passage.lower() for document in samples.documents()]
    assert len(set(texts)) == len(texts)
    for query in samples.queries():
        assert not any(query.text.lower() in text for text in texts)
