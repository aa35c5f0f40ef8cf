"""MultimodalEncoderBackend against the plain models: a tiny CLIP, and a model with an encode of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_vision
import torch
import transformers

from limrank_plugins import Document, Query, Reranker
from limrank_plugins.backends.encoder import EncoderBackend
from limrank_plugins.backends.local.image_tokens import decode
from limrank_plugins.backends.multimodal_encoder import MultimodalEncoderBackend
from limrank_plugins.backends.protocols import Embedded, Encode, Failed
from limrank_plugins.errors import BackendError, InputError
from limrank_plugins.images import Image
from limrank_plugins.retrievers import load_retriever
from limrank_plugins.retrievers.dense import DenseRetriever

RED = tiny_vision.picture((200, 30, 30))
GREEN = tiny_vision.picture((30, 200, 30), (60, 40), seed=1)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vision.build_clip(tmp_path_factory.mktemp("clip") / "clip")


@pytest.fixture(scope="module")
def encoder(clip: Path) -> MultimodalEncoderBackend:
    return MultimodalEncoderBackend(str(clip), device="cpu")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> MultimodalEncoderBackend:
    folder = tiny_vision.build_own(tmp_path_factory.mktemp("own") / "own")
    return MultimodalEncoderBackend(
        str(folder),
        own_encode=True,
        trust_remote_code=True,
        device="cpu",
        query_instruction="Find it.",
        max_length=77,
    )


def vectors(backend: MultimodalEncoderBackend, *requests: Encode) -> list[Any]:
    replies = backend.encode(requests)
    assert all(isinstance(reply, Embedded) for reply in replies), replies
    return [reply.vector for reply in replies]


def test_texts_and_images_are_encoded_as_the_model_does(encoder: MultimodalEncoderBackend, clip: Path):
    model = transformers.CLIPModel.from_pretrained(clip).eval()
    processor = transformers.CLIPProcessor.from_pretrained(clip)
    with torch.inference_mode():
        words = processor(text=["acid curdles milk"], return_tensors="pt")
        seen = processor(images=[decode(GREEN)], return_tensors="pt")
        expected = [
            getattr(out, "pooler_output", out)[0].numpy()
            for out in (model.get_text_features(**words), model.get_image_features(**seen))
        ]
    found = vectors(encoder, Encode("acid curdles milk"), Encode("", images=(GREEN,)))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_no_vector_depends_on_what_else_is_encoded(encoder: MultimodalEncoderBackend):
    asked = [Encode("one"), Encode("", images=(RED,)), Encode("two words"), Encode("", images=(GREEN,))]
    together = vectors(encoder, *asked)
    for request, vector in zip(asked, together, strict=True):
        np.testing.assert_allclose(vectors(encoder, request)[0], vector, rtol=1e-5, atol=1e-5)
    assert (together[1] != together[3]).any(), "another image, another vector"


def test_what_reads_as_an_image_is_text(encoder: MultimodalEncoderBackend, tmp_path: Path):
    file = tmp_path / "red.png"
    file.write_bytes(RED.data)
    (seen,) = vectors(encoder, Encode("", images=(RED,)))
    for trap in (str(file), RED.url, "https://example.invalid/red.png"):
        (read,) = vectors(encoder, Encode(trap))
        assert (read != seen).any(), trap
    (marked,) = vectors(encoder, Encode("a <image> b"))
    (broken,) = vectors(encoder, Encode("a < image> b"))
    assert (marked == broken).all(), "a marker in a text is broken"


def test_what_a_model_does_not_take_together_fails_alone_or_is_averaged(clip: Path):
    strict = MultimodalEncoderBackend(str(clip), device="cpu")
    fine, failed = strict.encode([Encode("cow"), Encode("cow", images=(RED,))])
    assert isinstance(fine, Embedded)
    assert isinstance(failed, Failed)
    assert "fusion='mean'" in failed.reason
    fused = MultimodalEncoderBackend(str(clip), device="cpu", fusion="mean")
    both, word, red, green, three = vectors(
        fused,
        Encode("cow", images=(RED,)),
        Encode("cow"),
        Encode("", images=(RED,)),
        Encode("", images=(GREEN,)),
        Encode("cow", images=(RED, GREEN)),
    )
    unit = [v / np.linalg.norm(v) for v in (word, red, green)]
    np.testing.assert_allclose(both, (unit[0] + unit[1]) / 2, atol=1e-5)
    np.testing.assert_allclose(three, sum(unit) / 3, atol=1e-5)
    assert strict.identity != fused.identity


def test_what_a_text_loses_at_its_end_is_reported(clip: Path):
    encoder = MultimodalEncoderBackend(str(clip), device="cpu", fusion="mean")
    limit = encoder._model.held.limit
    short, long, both = encoder.encode(
        [Encode("cow"), Encode("cow " * limit), Encode("cow " * limit, images=(RED,))]
    )
    size = len(encoder._model.held._tokenizer("cow " * limit, verbose=False)["input_ids"])
    assert [reply.cut_tokens for reply in (short, long, both)] == [0, size - limit, size - limit]
    assert size > limit


def test_a_model_with_an_encode_of_its_own(own: MultimodalEncoderBackend):
    query, passage, both = vectors(
        own, Encode("why?", "query"), Encode("milk"), Encode("milk", images=(RED,))
    )
    assert query.tolist() == [4, 1, len("Find it."), 77, 0, 0, 0]
    assert passage.tolist() == [4, 0, 0, 77, 0, 0, 0]
    assert both.tolist()[:4] == [4, 0, 0, 77]
    assert both[4] > 150 > both[5]
    (failed,) = own.encode([Encode("milk", images=(RED, GREEN))])
    assert isinstance(failed, Failed), "one image at most"


def test_code_is_not_run_unasked(own: MultimodalEncoderBackend):
    with pytest.raises(InputError, match="trust_remote_code=True"):
        MultimodalEncoderBackend(own.model, own_encode=True)


def test_damaged_images_fail_alone(encoder: MultimodalEncoderBackend):
    broken = Image(RED.data[:60])
    fine, failed = encoder.encode([Encode("", images=(RED,)), Encode("", images=(broken,))])
    assert isinstance(fine, Embedded)
    assert isinstance(failed, Failed)
    assert "cannot be read" in failed.reason


@pytest.mark.parametrize(
    "bad", [{"fusion": "sum"}, {"dtype": "int8"}, {"max_length": 0}, {"max_length": True}]
)
def test_bad_values_are_named(bad: dict[str, Any]):
    with pytest.raises(InputError, match=next(iter(bad))):
        MultimodalEncoderBackend("m", **bad)


def test_closing(clip: Path):
    backend = MultimodalEncoderBackend(str(clip), device="cpu")
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.encode([Encode("x")])


# ---- as a first stage ---------------------------------------------------------------------------


def test_an_index_of_texts_and_images_is_searched_saved_and_opened(
    encoder: MultimodalEncoderBackend, tmp_path: Path
):
    corpus = [
        Document("", id="red", images=(RED,)),
        Document("", id="green", images=(GREEN,)),
        Document("acid curdles milk", id="text", title="milk", meta={"k": 1}),
    ]
    index = DenseRetriever.build(corpus, backend=encoder)
    found = index.search(Query("a", images=()), 3)
    assert {d.id for d in found} == {"red", "green", "text"}
    fused = MultimodalEncoderBackend(str(encoder.model), device="cpu", fusion="mean")
    seeing = DenseRetriever.build(corpus, backend=fused)
    best = seeing.search(Query("it", images=(GREEN, GREEN, GREEN)), 1)[0]
    assert (best.id, best.images) == ("green", (GREEN,))
    seeing.save(tmp_path / "index")
    for mmap in (False, True):
        opened = DenseRetriever.load(tmp_path / "index", mmap=mmap)
        assert isinstance(opened.backend, MultimodalEncoderBackend)
        again = opened.search(Query("it", images=(GREEN, GREEN, GREEN)), 3)
        assert again == seeing.search(Query("it", images=(GREEN, GREEN, GREEN)), 3)
        assert next(d for d in again if d.id == "text").meta == {"k": 1}
        opened.close()
    with pytest.raises(InputError, match="vectors of"):
        load_retriever(tmp_path / "index", backend=encoder)


def test_an_encoder_of_texts_refuses_images(tmp_path: Path):
    backend = EncoderBackend("mini")
    fine, failed = backend.encode([Encode("milk"), Encode("milk", images=(RED,))])
    assert isinstance(fine, Embedded)
    assert isinstance(failed, Failed)
    assert "multimodal-encoder" in failed.reason
    ranking = Reranker("mini", backend=backend).rank("why", ["a", Document("b", images=(RED,)), "c"])
    assert [failure.id for failure in ranking.failures] == ["1"]
    with pytest.raises(BackendError, match="document 'x' could not be embedded"):
        DenseRetriever.build([Document("b", id="x", images=(RED,))], backend=backend)
