"""Documents whose blob is an image: shown to models that see, never dropped silently."""

from __future__ import annotations

import pytest

pytest.importorskip("haystack", reason="needs haystack-ai: pip install 'limrank[haystack]'")

from haystack import Document
from haystack.dataclasses import ByteStream
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


def test_an_image_of_an_unknown_format_is_named() -> None:
    document = Document(id="odd", blob=ByteStream(b"<svg/>", mime_type="image/svg+xml"))
    with pytest.raises(ValueError, match="'odd' cannot be used: an image must be PNG"):
        candidates([document], [], "\n")
