"""Modality-aware hard negatives against brute force, and vectors of a tiny random CLIP."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_vision
import torch
from encoder_rows import STEP
from hypothesis import given, settings
from hypothesis import strategies as st

from limrank_plugins.backends.multimodal_encoder import MultimodalEncoderBackend
from limrank_plugins.backends.protocols import Embedded, Encode
from limrank_plugins.errors import BackendError, InputError
from limrank_plugins.images import Image
from limrank_training.data.hard_negatives import draw, mine
from limrank_training.encoders import mm_embed
from limrank_training.encoders.vector_module import vector_module
from limrank_training.plans import ContrastSettings, Plan
from limrank_training.training_run import train as run

torch.set_num_threads(1)
COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200), "yellow": (220, 220, 30)}


@given(
    st.lists(st.sampled_from(["text", "image", "image,text"]), max_size=60),
    st.sampled_from(["text", "image"]),
    st.data(),
    st.integers(1, 50),
)
@settings(max_examples=150, deadline=None)
def test_the_miner_is_brute_force(kinds: list[str], wanted: str, data: Any, near: int):
    places = list(range(len(kinds)))
    positives = data.draw(st.lists(st.sampled_from(places), unique=True, max_size=3)) if places else []
    found = mine(kinds, wanted, positives, near=near)
    wrong, far = [], []
    for place, kind in enumerate(kinds):
        rank = place + 1
        above = all(rank < positive + 1 for positive in positives)
        if kind != wanted and above:
            wrong.append(place)
        if kind == wanted and rank > near and place not in positives:
            far.append(place)
    assert (list(found.wrong_kind), list(found.far)) == (wrong, far)
    one, other = draw(found, 3, "q")
    assert (one in wrong) if wrong else one is None
    assert (other in far) if far else other is None
    assert draw(found, 3, "q") == (one, other)


def test_draws_depend_on_seed_and_query():
    found = mine(["image"] * 40 + ["text"] * 40, "text", [79])
    drawn = {draw(found, seed, name) for seed in range(5) for name in "abcde"}
    assert len(drawn) > 15
    assert all(one is not None and two is not None and 45 <= two < 79 for one, two in drawn)
    for bad in ({"near": 0}, {"positives": [99]}):
        with pytest.raises(InputError):
            mine(["text"], "text", **({"positives": []} | bad))  # type: ignore[arg-type]


def plan(base: Path, **changes: Any) -> Plan:
    given: dict[str, Any] = {
        "objective": "mm-embed", "recipe": "mm-embed", "base": str(base), "lora": None, "optimiser": STEP,
        "contrast": ContrastSettings(group=3, temperature=0.1, near=2), "precision": "float32", "dev": 0.0,
        "reasoning": False, "seed": 5,
    }  # fmt: skip
    return Plan("toy", **(given | changes))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vision.build_clip(tmp_path_factory.mktemp("clip") / "clip")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("rows")
    for number, (name, colour) in enumerate(COLOURS.items()):
        (place / f"{name}.png").write_bytes(tiny_vision.picture(colour, seed=number).data)
    lines = []
    for name in COLOURS:
        others = [other for other in COLOURS if other != name]
        # The tiny CLIP reads a text at its first token.
        candidates = [
            {"text": f"{name} is a word", "relevant": False},
            {"images": [f"{name}.png"], "relevant": True},
            *({"images": [f"{other}.png"], "relevant": False} for other in others),
        ]
        lines.append({"query": f"{name} thing", "wants": "image", "candidates": candidates})
    (place / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return place / "rows.jsonl"


def test_one_of_each_sort_is_drawn(clip: Path, rows: Path):
    data = mm_embed.prepare(plan(clip), rows)
    assert len(data.examples) == 4
    for example in data.examples:
        positive, wrong, far = example.documents
        assert (positive.kind, wrong.kind, far.kind) == ("image", "text", "image")
        assert far not in example.known
    assert data.report["train"]["wrong_kind"] == data.report["train"]["far"] == 4
    assert mm_embed.prepare(plan(clip), rows).examples == data.examples
    less = mm_embed.prepare(plan(clip, contrast=ContrastSettings(group=3, near=45)), rows)
    assert {len(example.documents) for example in less.examples} == {2}


def test_vectors_are_those_of_the_backend(clip: Path, rows: Path):
    model = vector_module(str(clip))
    backend = MultimodalEncoderBackend(str(clip), device="cpu", fusion="mean")
    item = mm_embed.Content
    red = rows.with_name("red.png")
    items = [item("a <image> thing"), item("", (red,)), item("red", (red,))]
    with torch.no_grad():
        found = model(*model.features(items)).numpy()
    replies = backend.encode([Encode(i.text, images=tuple(map(Image.open, i.files))) for i in items])
    for one, reply in zip(found, replies, strict=True):
        assert isinstance(reply, Embedded)
        np.testing.assert_allclose(one, reply.vector / np.linalg.norm(reply.vector), atol=1e-5)


def test_one_step_is_the_hand_written_one(clip: Path, rows: Path, tmp_path: Path):
    made = plan(clip, optimiser=replace(STEP, rate=1e-3))
    data = mm_embed.prepare(made, rows)
    model = mm_embed.load(made, None)
    by_hand = copy.deepcopy(model.model)
    mm_embed.train(model, data, made, tmp_path)
    optimiser = torch.optim.AdamW(by_hand.parameters(), lr=1e-3, weight_decay=0.0)

    def vector(one: Any) -> torch.Tensor:
        given = {"text": one.text} if one.text else {"image": _opened(one.files[0])}
        return torch.nn.functional.normalize(by_hand(by_hand.preprocess([given]))["sentence_embedding"])[0]

    documents = [one for example in data.examples for one in example.documents]
    encoded = [vector(one) for one in documents]
    costs = []
    for i, example in enumerate(data.examples):
        asked = vector(example.content)
        left = [j for j, one in enumerate(documents) if j == 3 * i or one not in example.known]
        scores = torch.stack([asked @ encoded[j] / 0.1 for j in left])
        costs.append(-torch.log_softmax(scores, dim=0)[left.index(3 * i)])
    torch.stack(costs).mean().backward()
    optimiser.step()
    others = dict(model.model.named_parameters())
    compared = 0
    for name, weight in by_hand.named_parameters():
        if weight.grad is not None:
            real = weight.grad.abs() > 1e-4
            assert torch.allclose(weight[real], others[name][real], atol=1e-5), name
            compared += int(real.sum())
    assert compared > 1000


def _opened(file: Path) -> Any:
    import PIL.Image

    return PIL.Image.open(file).convert("RGB")


def test_it_learns_and_the_backend_reads_it(clip: Path, rows: Path, tmp_path: Path):
    made = plan(clip, optimiser=replace(STEP, steps=40, rate=1e-3))
    data = mm_embed.prepare(made, rows)
    trained = run(made, data, tmp_path / "run", log_every=1)
    losses = [entry["loss"] for entry in trained.history if "loss" in entry]
    assert losses[-1] < 0.3 * losses[0]
    backend = MultimodalEncoderBackend(str(tmp_path / "run" / "final"), device="cpu")
    names = list(COLOURS)
    replies = backend.encode(
        [Encode(f"{name} thing", "query") for name in names]
        + [Encode("", images=(Image.open(rows.with_name(f"{name}.png")),)) for name in names]
    )
    found = np.stack([reply.vector / np.linalg.norm(reply.vector) for reply in replies])  # type: ignore[union-attr]
    assert (found[:4] @ found[4:].T).argmax(axis=1).tolist() == [0, 1, 2, 3]


FINE: dict[str, Any] = {"query": "q", "wants": "text", "candidates": [{"text": "t", "relevant": True}]}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (FINE | {"wants": "video"}, "line 2: 'wants'"),
        (FINE | {"other": 1}, "line 2: unknown column"),
        (FINE | {"query": ""}, "line 2: there is neither a text 'query'"),
        (FINE | {"candidates": []}, "line 2: 'candidates'"),
        (FINE | {"candidates": [{"text": "t"}]}, "line 2, candidate 0: 'relevant'"),
        (FINE | {"candidates": [{"text": " ", "relevant": False}]}, "line 2, candidate 0: there is neither"),
        (FINE | {"wants": "image"}, "line 2, candidate 0: it is relevant, but its kind is text"),
        (
            FINE | {"candidates": [{"images": ["no.png"], "relevant": False}]},
            "candidate 0: there is no image",
        ),
        (FINE | {"candidates": [FINE["candidates"][0]] * 2}, "line 2: one candidate comes twice"),
    ],
)
def test_bad_rows_are_named(clip: Path, tmp_path: Path, row: Any, said: str):
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(FINE) + "\n" + json.dumps(row) + "\n")
    with pytest.raises(InputError, match=said):
        mm_embed.prepare(plan(clip), file)


def test_an_encoder_of_texts_is_refused(tmp_path: Path):
    import tiny_encoders

    with pytest.raises(BackendError, match="takes no images"):
        vector_module(str(tiny_encoders.encoder(tmp_path / "bert")))
    with pytest.raises(InputError, match=r"contrast.group is 3"):
        mm_embed.prepare(plan(tmp_path, contrast=ContrastSettings(group=4)), tmp_path / "none.jsonl")
