"""RagVL's rows, prompts and losses on a tiny random LLaVA."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_vision
import torch
import transformers
from tokenizers import AddedToken

from limrank_plugins import Document, Query, Reranker
from limrank_plugins.backends.vision import VisionBackend
from limrank_plugins.errors import InputError
from limrank_plugins.images import Image
from limrank_training import ragvl
from limrank_training.losses.diffusion import diffused, kept_share
from limrank_training.losses.next_token import IGNORED, token_loss
from limrank_training.plans import LoraSettings, NoiseSettings, OptimiserSettings, Plan
from limrank_training.training_run import load_base
from limrank_training.training_run import train as run

torch.set_num_threads(1)
RED, GREEN = tiny_vision.picture((200, 30, 30)), tiny_vision.picture((30, 200, 30), seed=1)
STEP = OptimiserSettings(rate=1e-2, schedule="constant", warmup=0.0, steps=1, batch=4, part=4, clip=0.0)


def plan(base: Path, **changes: Any) -> Plan:
    given: dict[str, Any] = {
        "objective": "ragvl", "recipe": "ragvl", "base": str(base), "optimiser": STEP, "precision": "float32",
        "lora": LoraSettings(r=4, alpha=8, targets=r".*language_model.*(q_proj|v_proj)"), "dev": 0.0,
        "reasoning": False, "tokens": (), "end": True, "cutoff": 400, "seed": 5,
    }  # fmt: skip
    return Plan("toy", **(given | changes))


def built(folder: Path, family: str = "llava") -> Path:
    """A tiny model whose labels are one token each."""
    tiny_vision.build(folder, family)
    tokens = transformers.AutoTokenizer.from_pretrained(folder)
    names = ("Yes", "No", " Yes", " No")
    tokens.add_tokens([AddedToken(name, normalized=False, special=False) for name in names])
    tokens.save_pretrained(folder)
    model = transformers.AutoModelForImageTextToText.from_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model.resize_token_embeddings(len(tokens), mean_resizing=False)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("models") / "llava")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("rows")
    for name, image in (("red", RED), ("green", GREEN)):
        (place / f"{name}.png").write_bytes(image.data)
    asked = [("is it red?", "red"), ("is it green and bright?", "green")]
    lines = [
        {
            "query_id": str(i), "query": query, "sources": [],
            "candidates": [
                {"id": name, "image": f"{name}.png", "relevant": name == right, "caption": f"a {name} thing"}
                for name in ("red", "green")
            ],
        }
        for i, (query, right) in enumerate(asked)
    ]  # fmt: skip
    (place / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return place / "rows.jsonl"


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
def test_the_tokens_are_those_that_the_backend_is_asked_with(family: str, rows: Path, tmp_path: Path):
    folder = built(tmp_path / family, family)
    data = ragvl.prepare(plan(folder), rows)
    backend = VisionBackend(str(folder), device="cpu")
    asked: list[Any] = []
    begin = backend._model.held.begin

    def spied(ids: Any, marks: Any, tensors: Any, **how: Any) -> Any:
        asked.append((list(ids), marks))
        return begin(ids, marks, tensors, **how)

    backend._model.held.begin = spied  # type: ignore[method-assign]
    read: list[Any] = []
    known = backend._encoder.label_ids
    backend._encoder.label_ids = lambda *given: read.append(known(*given)) or read[-1]  # type: ignore[method-assign, func-returns-value]
    reranker = Reranker("ragvl", backend=backend)
    documents = [Document(f"a {n} thing", images=(i,)) for n, i in (("red", RED), ("green", GREEN))]
    for query in ("is it red?", "is it green and bright?"):
        reranker.rank(Query(query), documents)
    asked = [one for one in asked if len(one[0]) > 1]
    assert len(asked) == len(data.examples) == 4
    labels = read[-1]
    eos = data.tokenizer.tokenizer.eos_token_id
    for (ids, marks), example, relevant in zip(asked, data.examples, (1, 0, 0, 1), strict=True):
        assert list(example.ids[: example.learned]) == ids
        assert list(example.ids[example.learned :]) == [labels[0 if relevant else 1], eos]
        assert {name: list(row[:-2]) for name, row in example.marks} == marks


def test_one_step_is_the_hand_written_one(base: Path, rows: Path, tmp_path: Path):
    made = plan(base, lora=None, end=False)
    data = ragvl.prepare(made, rows)
    trained = ragvl.train(load_base(made, data.tokenizer), data, made, tmp_path)
    model = transformers.AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    costs = []
    for example in data.examples:
        pixels = data.layout.images.tokenize([Image.open(example.file)]).tensors
        logits = model(input_ids=torch.tensor([example.ids[:-1]]), **pixels).logits[0, -1]
        costs.append(-torch.log_softmax(logits, dim=0)[example.ids[-1]])
    torch.stack(costs).mean().backward()
    optimiser.step()
    others = dict(trained.model.named_parameters())
    compared = 0
    for name, weight in model.named_parameters():
        if weight.grad is not None:
            real = weight.grad.abs() > 1e-5
            assert torch.allclose(weight[real], others[name][real], atol=1e-5), name
            compared += int(real.sum())
    assert compared > 1000


def test_noise_weights_the_loss_and_weights_of_one_leave_it_alone(base: Path, rows: Path):
    made = plan(base)
    data = ragvl.prepare(made, rows)
    model = load_base(made, data.tokenizer).eval()
    plain = ragvl.ImageCriterion(data.layout.images, None, 5)
    batch = plain.batch(data.examples, 0)
    logits = plain.logits(model, batch)
    cross = torch.nn.functional.cross_entropy(
        logits[:, :-1].transpose(1, 2), batch["labels"][:, 1:], ignore_index=IGNORED
    )
    assert torch.allclose(plain.total(logits, batch) / plain.count(batch), cross, rtol=1e-5, atol=1e-5)
    ones = ragvl.ImageCriterion(data.layout.images, NoiseSettings(least=1.0, most=1.0), 5)
    same = ones.batch(data.examples, 0)
    assert torch.allclose(
        ones.total(ones.logits(model, same), same) / ones.count(same), cross, rtol=1e-5, atol=1e-5
    )
    noisy = ragvl.ImageCriterion(data.layout.images, NoiseSettings(least=1e-6, most=50.0), 5)
    other = noisy.batch(data.examples, 0)
    found = noisy.logits(model, other)
    assert torch.equal(found, logits)
    assert found.requires_grad
    assert not other["weights"].requires_grad
    # The label's own logit, with the image and without.
    with torch.no_grad():
        given = {k: v for k, v in other.items() if k in ("input_ids", "attention_mask")}
        pixels = noisy.noised(other["pixel_values"], other["rows"])
        blurred = model(**given, pixel_values=pixels).logits
    changed = 0
    for i, example in enumerate(data.examples):
        for place in range(example.learned, len(example.ids)):
            token = example.ids[place]
            drop = (logits[i, place - 1, token] - blurred[i, place - 1, token]).item()
            assert other["weights"][i, place].item() == pytest.approx(min(max(drop, 1e-6), 50), abs=1e-5)
            changed += drop > 0
    assert changed
    weighted = noisy.total(found, other)
    expected = token_loss(found, other["labels"], other["weights"]) * noisy.count(other)
    assert torch.allclose(weighted, expected)
    assert not torch.allclose(weighted / noisy.count(other), cross)


def test_noise_is_the_ddpm_schedule():
    betas = [1e-4 + (0.02 - 1e-4) * i / 999 for i in range(1000)]
    for step in (1, 2, 500, 1000):
        kept = 1.0
        for beta in betas[:step]:
            kept *= 1 - beta
        assert kept_share(step) == pytest.approx(kept, rel=1e-12)
    assert kept_share(500) == pytest.approx(0.0786, abs=2e-4)
    pixels, noise = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    expected = pixels * kept_share(500) ** 0.5 + noise * (1 - kept_share(500)) ** 0.5
    assert torch.equal(diffused(pixels, noise, 500), expected)
    for bad in (0, 1001):
        with pytest.raises(InputError, match="from 1 to 1000"):
            kept_share(bad)
    with pytest.raises(InputError, match="noise is"):
        diffused(pixels, noise[:1], 500)


def test_projectors_are_trained_at_their_own_rate_and_the_recipe_reads_the_model(
    base: Path, rows: Path, tmp_path: Path
):
    lora = LoraSettings(
        r=4, alpha=8, targets=r".*language_model.*(q_proj|v_proj|down_proj)", whole=("multi_modal_projector",)
    )
    optimiser = replace(STEP, steps=40, rate=1e-2, head=1e-3)
    made = plan(base, lora=lora, optimiser=optimiser, noise=NoiseSettings())
    data = ragvl.prepare(made, rows)
    trained = run(made, data, tmp_path / "run", log_every=1)
    losses = [entry["loss"] for entry in trained.history if "loss" in entry]
    assert losses[-1] < 0.1 * losses[0]
    reranker = Reranker.from_pretrained(str(tmp_path / "run" / "final"), device="cpu")
    documents = [Document("a red thing", images=(RED,)), Document("a green thing", images=(GREEN,))]
    assert reranker.rank(Query("is it red?"), documents).ids == ["0", "1"]
    assert reranker.rank(Query("is it green and bright?"), documents).ids == ["1", "0"]
    folder = str(tmp_path / "run" / "adapter")
    adapted = Reranker("ragvl", model=str(base), adapter=folder, device="cpu")
    adapter = adapted.rank(Query("is it red?"), documents)
    merged = reranker.rank(Query("is it red?"), documents)
    for one, other in zip(adapter, merged, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-4)


def test_what_the_synthesizer_exports_is_read(base: Path, rows: Path, tmp_path: Path):
    from limrank_synth.exports.image_chats import ragvl as layout
    from limrank_synth.exports.image_chats import read_image_queries

    lines = []
    for asked in read_image_queries(rows):
        for made in layout(asked):
            assert not isinstance(made, str)
            example, _ = made
            name = "red.png" if "a red thing" in example["messages"][0]["content"] else "green.png"
            lines.append(example | {"images": [name]})
    file = rows.with_name("chats.jsonl")
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    chats = ragvl.prepare(plan(base), file)
    candidates = ragvl.prepare(plan(base), rows)
    assert [e.ids for e in chats.examples] == [e.ids for e in candidates.examples]


GOOD_CHAT = {
    "id": "a", "images": ["red.png"],
    "messages": [
        {"role": "user", "content": "<image>Image Caption: c\nQuestion: q\nBased on the image and "
         "its caption, is the image relevant to the question? Answer 'Yes' or 'No'."},
        {"role": "assistant", "content": "Yes"},
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"query": "q", "candidates": []}, "line 2: 'candidates'"),
        ({"query": " ", "candidates": [{}]}, "line 2: 'query' is missing"),
        ({"query": "q", "candidates": [{"image": "red.png"}]}, "line 2, candidate 0: 'relevant'"),
        ({"query": "q", "candidates": [{"image": "no.png", "relevant": True}]}, "line 2, .*image 'no.png'"),
        ({"query": "q", "candidates": [{"image": "../red.png", "relevant": True}]}, "line 2, .*folder"),
        ({"query": "q", "other": 1}, "line 2: unknown column 'other'"),
        ({"query": "q", "candidates": [{"image": "bad.png", "relevant": True}]}, "line 2, candidate 0: .*"),
        (GOOD_CHAT | {"images": []}, "line 2: exactly one image"),
        (GOOD_CHAT | {"messages": [GOOD_CHAT["messages"][0], {"role": "assistant", "content": "Perhaps"}]},
         "line 2: the answer must be one of Yes, No"),
        (GOOD_CHAT | {"messages": [{"role": "user", "content": "<image>Is it?"}, GOOD_CHAT["messages"][1]]},
         "line 2: the question is not worded"),
        (GOOD_CHAT | {"messages": [GOOD_CHAT["messages"][1]]}, "line 2: a message of 'user'"),
    ],
)  # fmt: skip
def test_bad_rows_are_named(base: Path, rows: Path, row: Any, said: str):
    file = rows.with_name("bad.jsonl")
    rows.with_name("bad.png").write_bytes(RED.data[:70])
    file.write_text(json.dumps(GOOD_CHAT) + "\n" + json.dumps(row) + "\n")
    with pytest.raises(InputError, match=said):
        ragvl.prepare(plan(base), file)


def test_images_are_never_cut_and_captions_are(base: Path, rows: Path, tmp_path: Path):
    long = [
        {
            "query": "is it red?",
            "candidates": [{"image": "red.png", "relevant": True, "caption": "red " * 200}],
        }
    ]
    file = rows.with_name("long.jsonl")
    file.write_text("".join(json.dumps(line) + "\n" for line in long))
    data = ragvl.prepare(plan(base, cutoff=200), file)
    (example,) = data.examples
    assert len(example.ids) == 200
    assert example.cut_passage > 100
    token = data.layout.images.token
    assert example.ids.count(token) == ragvl.prepare(plan(base), rows).examples[0].ids.count(token)
    with pytest.raises(InputError, match="raise the cutoff"):
        ragvl.prepare(plan(base, cutoff=40), file)
