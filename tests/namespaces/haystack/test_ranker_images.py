"""Documents whose blob is an image: shown to models that see, never dropped silently."""

from __future__ import annotations

import pytest

pytest.importorskip("haystack", reason="needs haystack-ai: pip install 'limrank[haystack]'")

from haystack import Document
from haystack.dataclasses import ByteStream
from haystack_helpers import both, ids, ranker, stating
from haystack_integrations.components.rankers.limrank.documents import candidates

from limrank_plugins.images import Image

PNG = b"\x89PNG\r\n\x1a\n" + b"red"


def test_a_blob_of_an_image_type_is_an_image_and_nothing_else_is() -> None:
    documents = [
        Document(content="caption", blob=ByteStream(PNG, mime_type="image/png")),
        Document(blob=ByteStream(PNG, mime_type="image/x-whatever")),
        Document(content="pdf", blob=ByteStream(b"%PDF", mime_type="application/pdf")),
        Document(content="unnamed", blob=ByteStream(PNG)),
        Document(content="none", meta={"file_path": "a.png"}),
    ]
    found = candidates(documents, [], "\n")
    assert [c.images for c in found] == [(Image(PNG),), (Image(PNG),), (), (), ()]
    assert [c.text for c in found] == ["caption", "", "pdf", "unnamed", "none"]


async def test_a_broken_image_is_one_failed_document(scripted, caplog) -> None:
    broken = Document(id="odd", content="x", blob=ByteStream(b"<svg/>", mime_type="image/svg+xml"))
    low, high = stating(0.2, 0.9)
    output = await both(ranker(recipe="ragvl"), query="why?", documents=[low, broken, high])
    assert ids(output) == ["d1", "odd", "d0"]
    assert output["documents"][1].score is None
    (failure,) = output["meta"]["failures"]
    assert failure["id"] == "odd"
    assert "the image cannot be used: an image must be PNG" in failure["reason"]
    assert "1 of 3 documents" in caplog.text


async def test_a_caption_is_judged_and_what_has_no_text_fails(scripted) -> None:
    given = [
        Document(id="bare", blob=ByteStream(PNG, mime_type="image/png")),
        Document(id="pdf", blob=ByteStream(b"%PDF", mime_type="application/pdf")),
        Document(id="captioned", content="relevance 0.9", blob=ByteStream(PNG, mime_type="image/png")),
    ]
    scripted.sees = False
    output = await both(ranker(), query="why?", documents=given)
    assert {document.id: document.score for document in output["documents"]} == {
        "bare": None,
        "pdf": None,
        "captioned": pytest.approx(0.9),
    }
    reasons = {failure["id"]: failure["reason"] for failure in output["meta"]["failures"]}
    assert "cannot see, and no caption" in reasons["bare"]
    assert "there is no text, and a blob of type 'application/pdf' is not read" in reasons["pdf"]
