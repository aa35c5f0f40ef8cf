"""VisionBackend against plain forward passes of tiny random LLaVA and Qwen2.5-VL models."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import tiny_vision
import torch
import transformers
from rounding import near

from limrank_plugins import Document, Query, Reranker
from limrank_plugins.backends.local.image_tokens import ImageTokenizer, decode
from limrank_plugins.backends.local.loading import load_processor
from limrank_plugins.backends.protocols import Failed, Generate, Generated, LabelReading, ReadLabels
from limrank_plugins.backends.vision import VisionBackend
from limrank_plugins.errors import BackendError, InputError
from limrank_plugins.images import Image
from limrank_plugins.segments import Prompt, Segment

FAMILIES = ("llava", "qwen2_5_vl")
LABELS = (" true", " false")
RED = tiny_vision.picture((200, 30, 30))
GREEN = tiny_vision.picture((30, 200, 30), (90, 60), seed=1)
BLUE = tiny_vision.picture((30, 30, 200), (60, 90), seed=2)
PASSAGE = "acid curdles milk because the proteins clump together"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {family: tiny_vision.build(root / family, family) for family in FAMILIES}


@pytest.fixture(scope="module")
def made(folders: dict[str, Path]) -> dict[str, VisionBackend]:
    return {family: VisionBackend(str(folder)) for family, folder in folders.items()}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def backend(made: dict[str, VisionBackend], family: str) -> VisionBackend:
    return made[family]


def prompt(
    *images: Image, passage: str = PASSAGE, chat: bool = True, tail: str = " The verdict is"
) -> Prompt:
    role = "user" if chat else ""
    segments = [Segment("Query: why? Passage: ", role=role)]
    segments += [Segment("", False, role=role, image=image) for image in images]
    segments += [Segment(passage, False, cuttable=True, role=role)]
    return Prompt((*segments, Segment(tail, role="assistant" if chat else "")))


def read(backend: VisionBackend, *prompts: Prompt) -> list[Any]:
    return backend.read_labels([ReadLabels(p, LABELS) for p in prompts])


def logits(backend: VisionBackend, one: Prompt) -> tuple[float, ...]:
    (reply,) = read(backend, one)
    assert isinstance(reply, LabelReading)
    return reply.logits


def plain(folder: Path, text: str, images: list[Image], labels: list[int]) -> list[float]:
    """The labels' logits as processor and model give them, nothing of ours in between."""
    processor = load_processor(str(folder))
    model = transformers.AutoModelForImageTextToText.from_pretrained(folder).eval()
    decoded = [decode(image) for image in images] or None
    inputs = processor(text=[text], images=decoded, return_tensors="pt", add_special_tokens=False)
    if not images:
        inputs.pop("mm_token_type_ids", None)
    with torch.inference_mode():
        return model(**inputs).logits[0, -1, labels].tolist()


def written(family: str, images: int, passage: str = PASSAGE) -> str:
    """The prompt as a careful person would write it by hand."""
    if family == "llava":
        seen = "<image>\n" * images
        return f"USER: Query: why? Passage: {seen}{passage} ASSISTANT: The verdict is"
    seen = "<|vision_start|><|image_pad|><|vision_end|>" * images
    return (
        f"<|im_start|>user\nQuery: why? Passage: {seen}{passage}<|im_end|>\n"
        f"<|im_start|>assistant\n The verdict is"
    )


# ---- label logits -------------------------------------------------------------------------------


@pytest.mark.parametrize("images", [[], [RED], [RED, GREEN], [GREEN, RED, BLUE]])
def test_logits_are_those_of_processor_and_model(
    backend: VisionBackend, folders: dict[str, Path], family: str, images: list[Image]
):
    processor = load_processor(str(folders[family]))
    ids = [processor.tokenizer(label, add_special_tokens=False)["input_ids"] for label in LABELS]
    assert [len(i) for i in ids] == [1, 1]
    expected = plain(folders[family], written(family, len(images)), images, [i[0] for i in ids])
    assert logits(backend, prompt(*images)) == pytest.approx(expected, abs=1e-5)


def test_another_image_is_another_score(backend: VisionBackend):
    found = [logits(backend, prompt(*images)) for images in ([], [RED], [GREEN], [RED, GREEN], [GREEN, RED])]
    assert len(set(found)) == 5
    assert logits(backend, prompt(RED)) == logits(backend, prompt(Image(RED.data))), "equal bytes"


def test_a_text_is_read_as_the_language_model_reads_it(
    backend: VisionBackend, folders: dict[str, Path], family: str
):
    whole = transformers.AutoModelForImageTextToText.from_pretrained(folders[family]).eval()
    tokenizer = load_processor(str(folders[family])).tokenizer
    ids = tokenizer(written(family, 0), return_tensors="pt", add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        states = whole.model.language_model(input_ids=ids).last_hidden_state[0, -1]
        labels = [tokenizer(label, add_special_tokens=False)["input_ids"][0] for label in LABELS]
        expected = (states @ whole.lm_head.weight.T)[labels].tolist()
    assert logits(backend, prompt()) == pytest.approx(expected, abs=1e-5)


def test_neither_order_nor_company_changes_anything(backend: VisionBackend):
    prompts = [
        prompt(),
        prompt(RED),
        prompt(GREEN),
        prompt(RED, BLUE),
        prompt(passage="rivers"),
        prompt(BLUE),
    ]
    together = [reply.logits for reply in read(backend, *prompts)]
    alone = [logits(backend, one) for one in prompts]
    assert [list(one) for one in together] == [near(list(one)) for one in alone]
    order = list(range(len(prompts)))
    random.Random(3).shuffle(order)
    shuffled = [list(reply.logits) for reply in read(backend, *(prompts[i] for i in order))]
    assert shuffled == [near(list(alone[i])) for i in order]


def test_raw_completions_hold_images_too(backend: VisionBackend, folders: dict[str, Path], family: str):
    seen = "<image>\n" if family == "llava" else "<|vision_start|><|image_pad|><|vision_end|>"
    text = f"Query: why? Passage: {seen}{PASSAGE} The verdict is"
    tokenizer = load_processor(str(folders[family])).tokenizer
    labels = [tokenizer(label, add_special_tokens=False)["input_ids"][0] for label in LABELS]
    expected = plain(folders[family], text, [RED], labels)
    assert logits(backend, prompt(RED, chat=False)) == pytest.approx(expected, abs=1e-5)


def test_a_label_behind_a_colon_has_its_space(made: dict[str, VisionBackend]):
    bare = Prompt((Segment("Is it?", role="user"), Segment("", role="assistant")))
    words = made["llava"].read_labels([ReadLabels(bare, ("true", "false"))])
    assert words == made["llava"].read_labels([ReadLabels(bare, LABELS)]), "ASSISTANT: true"


# ---- untrusted text -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "attack", ["<image>", "<image><image>", "<|image_pad|>", "<|vision_start|><|image_pad|><|vision_end|>"]
)
@pytest.mark.parametrize("images", [0, 1, 2])
def test_a_passage_cannot_write_a_placeholder(
    backend: VisionBackend, folders: dict[str, Path], family: str, attack: str, images: int
):
    shown = prompt(*[RED, GREEN][:images], passage=f"rivers {attack} carve valleys")
    (reply,) = read(backend, shown)
    assert isinstance(reply, LabelReading), "it stays text, and is no failure"
    processor = load_processor(str(folders[family]))
    token = processor.tokenizer.convert_tokens_to_ids(ImageTokenizer(processor, ()).placeholder)
    ids = backend._image_prompt(shown, 512).ids
    sizes = {"llava": [4, 4], "qwen2_5_vl": [1, 6]}[family]
    assert ids.count(token) == sum(sizes[:images]), "no placeholder but those of the images"
    assert backend._encoder.markers.isdisjoint(set(ids) - set(backend._image_prompt(prompt(RED), 512).ids))
    text = backend._encoder.decode([i for i in ids if i != token])
    assert "carve valleys" in text


def test_a_query_cannot_either(backend: VisionBackend):
    made = Reranker("limrank", backend=backend, reasoning="none", template="limrank")
    found = made.rank("<image> <|image_pad|> why?", [Document("milk", images=(RED,)), "rivers"])
    assert found.failures == ()


# ---- fitting ------------------------------------------------------------------------------------


def test_documents_are_cut_and_images_never(folders: dict[str, Path], family: str):
    small = VisionBackend(str(folders[family]), max_length=60)
    long = prompt(RED, GREEN, passage="acid curdles milk " * 60)
    (reply,) = read(small, long)
    assert isinstance(reply, LabelReading)
    assert reply.cut_tokens > 0
    assert reply.usage.prompt_tokens == 60
    whole = VisionBackend(str(folders[family]))
    kept, full = small._image_prompt(long, 60), whole._image_prompt(long, 512)
    token = small._image_tokenizer.token
    assert kept.ids.count(token) == full.ids.count(token) > 0
    assert all(len(row) == len(kept.ids) for row in kept.marks.values())
    for row in kept.marks.values():
        assert [mark > 0 for mark in row] == [number == token for number in kept.ids]
    words = whole._encoder.encode_completion(Prompt((Segment("acid curdles milk " * 60),)), with_prefix=False)
    left = whole._encoder.decode(words.ids[: len(words.ids) - reply.cut_tokens])
    assert reply.logits == near(logits(whole, prompt(RED, GREEN, passage=left)))


def test_too_many_images_fail_alone_and_say_so(folders: dict[str, Path], family: str):
    small = VisionBackend(str(folders[family]), max_length=50)
    many = prompt(*[GREEN, BLUE, RED] * 8)
    fine, failed = read(small, prompt(RED), many)
    assert isinstance(fine, LabelReading)
    assert isinstance(failed, Failed)
    assert "24 images" in failed.reason
    assert "max_pixels" in failed.reason


def test_fewer_pixels_are_fewer_tokens(folders: dict[str, Path]):
    big = tiny_vision.picture(size=(112, 112))
    counts = [
        read(VisionBackend(str(folders["qwen2_5_vl"]), max_pixels=pixels), prompt(big))[0].usage.prompt_tokens
        for pixels in (None, 60 * 60, 28 * 28)
    ]
    assert counts[0] > counts[1] > counts[2]
    with pytest.raises(InputError, match="max_pixels"):
        VisionBackend(str(folders["qwen2_5_vl"]), max_pixels=0)


# ---- writing ------------------------------------------------------------------------------------


def write(backend: VisionBackend, *prompts: Prompt, **changes: Any) -> list[Any]:
    given = {"stop": (), "max_tokens": 16} | changes
    return backend.generate([Generate(p, **given) for p in prompts])


@pytest.mark.parametrize("images", [[], [RED], [GREEN, RED]])
def test_greedy_text_is_that_of_generate(
    backend: VisionBackend, folders: dict[str, Path], family: str, images: list[Image]
):
    write(backend, prompt(BLUE, GREEN))  # what was seen before must be forgotten
    (reply,) = write(backend, prompt(*images))
    processor = load_processor(str(folders[family]))
    model = transformers.AutoModelForImageTextToText.from_pretrained(folders[family]).eval()
    decoded = [decode(image) for image in images] or None
    inputs = processor(text=[written(family, len(images))], images=decoded, return_tensors="pt")
    out = model.generate(**inputs, do_sample=False, max_new_tokens=16)[0, inputs["input_ids"].shape[1] :]
    end = model.generation_config.eos_token_id
    tokens = out.tolist()[: out.tolist().index(end)] if end in out.tolist() else out.tolist()
    assert reply.text == processor.tokenizer.decode(tokens, skip_special_tokens=False)


def test_a_drawn_text_depends_on_seed_and_sample_alone(backend: VisionBackend):
    one = write(backend, prompt(RED), temperature=0.9, seed=1)[0].text
    again = write(backend, prompt(GREEN), prompt(RED), temperature=0.9, seed=1)[1].text
    assert one == again
    others = {write(backend, prompt(RED), temperature=0.9, seed=1, sample=i)[0].text for i in range(4)}
    assert len(others) > 1


def test_labels_are_read_behind_the_stop_string(backend: VisionBackend):
    text = write(backend, prompt(RED), max_tokens=40)[0].text
    # Stop at a character the model writes by itself.
    stop = next(c for c in text if c.isascii() and c.isalpha())
    (reply,) = write(backend, prompt(RED), max_tokens=40, stop=(stop,), labels=LABELS)
    assert isinstance(reply, Generated)
    assert (reply.finish, reply.text) == ("stop", text[: text.index(stop)])
    whole = prompt(RED).then(Segment(reply.text, trusted=False), Segment(stop))
    if reply.reading is not None and "\ufffd" not in reply.text:
        tokens = backend._encoder.encode_completion(Prompt((Segment(reply.text + stop),)), with_prefix=False)
        if len(tokens.ids) == reply.usage.generated_tokens:  # the same tokens, so the same logits
            assert reply.reading.logits == pytest.approx(logits(backend, whole), abs=1e-4)


# ---- images that are none ---------------------------------------------------------------------


def test_a_damaged_image_fails_alone(backend: VisionBackend):
    broken = Image(RED.data[: len(RED.data) // 2])
    fine, failed = read(backend, prompt(RED), prompt(broken))
    assert isinstance(fine, LabelReading)
    assert isinstance(failed, Failed)
    assert "image 1 of the prompt (image/png) cannot be read" in failed.reason


def test_a_list_of_damaged_images_fails_and_is_not_raised(made: dict[str, VisionBackend]):
    page = Document("page", id="p", images=[Image(b"\x89PNG\r\n\x1a\n" + b"damage")])
    for recipe in ("limrank", "mm-r5"):
        asked = Reranker(recipe, backend=made["llava"], reasoning="none", template=recipe)
        (hit,) = asked.rank("why", [page])
        assert "image 1" in (hit.failure or ""), recipe


def test_an_image_that_decodes_to_gigabytes_is_refused(
    backend: VisionBackend, monkeypatch: pytest.MonkeyPatch
):
    import PIL.Image

    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 100)
    fine, failed = read(backend, prompt(), prompt(GREEN))
    assert isinstance(fine, LabelReading)
    assert isinstance(failed, Failed)
    assert "cannot be read" in failed.reason


def test_transparency_palettes_and_greys_become_rgb(backend: VisionBackend):
    import io

    import PIL.Image

    for mode in ("RGBA", "P", "L", "1", "LA", "CMYK"):
        stream = io.BytesIO()
        kind = "JPEG" if mode == "CMYK" else "PNG"
        PIL.Image.new("RGB", (30, 30), (10, 120, 200)).convert(mode).save(stream, kind)
        assert isinstance(read(backend, prompt(Image(stream.getvalue())))[0], LabelReading), mode


# ---- life ---------------------------------------------------------------------------------------


def test_rankings_mix_images_and_text(backend: VisionBackend):
    documents = [
        Document("a cow", images=(RED,)),
        Document("a cow", images=(GREEN,)),
        Document("a cow"),
        Document("", images=(BLUE,)),
        Document("", images=(BLUE, RED)),
    ]
    made = Reranker("limrank", backend=backend, reasoning="none", template="limrank")
    found = made.rank("why?", documents)
    assert found.failures == ()
    scores = {hit.index: hit.score for hit in found}
    assert len(set(scores.values())) == 5
    order = [3, 1, 4, 0, 2]
    again = made.rank("why?", [documents[i] for i in order])
    assert {order[hit.index]: hit.score for hit in again} == scores
    seeing = made.rank(Query("why?", images=(GREEN,)), documents)
    assert {hit.index: hit.score for hit in seeing} != scores


def test_identity_and_closing(folders: dict[str, Path], family: str):
    one = VisionBackend(str(folders[family]))
    assert one.identity.startswith(f"vision:{family}@")
    assert one.identity != VisionBackend(str(folders[family]), max_length=99).identity
    one.close()
    one.close()
    with pytest.raises(BackendError, match="closed"):
        read(one, prompt(RED))


def test_a_language_model_alone_is_refused(tmp_path: Path):
    import tiny

    with pytest.raises(BackendError):
        VisionBackend(str(tiny.build(tmp_path / "text")))
