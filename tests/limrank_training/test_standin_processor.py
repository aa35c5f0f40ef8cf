"""Images in a dry run: as many tokens as the real processors make, and the question of inference."""

from __future__ import annotations

import io
import json
from pathlib import Path

import chats
import PIL.Image
import pytest
import transformers
import typer
from typer.testing import CliRunner

from limrank_training.cli import register
from limrank_training.standin_processor import image_tokens

APP = typer.Typer()
register(APP)
APP.callback()(lambda: None)
SIZES = [(28, 28), (640, 480), (1, 150), (300, 37), (1240, 1754), (9000, 7000), (57, 4000)]


@pytest.mark.parametrize("size", SIZES)
def test_images_take_as_many_tokens_as_in_qwen2_vl(size: tuple[int, int]):
    kinds = ("Qwen2VLImageProcessorPil", "Qwen2VLImageProcessor")  # the first since transformers 5
    kind = next(getattr(transformers, name) for name in kinds if hasattr(transformers, name))
    real = kind(min_pixels=4 * 28 * 28, max_pixels=16384 * 28 * 28)
    try:
        grid = real(images=[PIL.Image.new("RGB", size)], return_tensors="pt")["image_grid_thw"]
    except ValueError:  # no such aspect ratio
        assert max(size) / min(size) > 200 or min(size) < 28
        return
    assert image_tokens("Qwen/Qwen2.5-VL-7B-Instruct", *size) == int(grid.prod()) // 4


def test_every_image_takes_the_same_in_llava():
    assert {image_tokens("llava-hf/llava-1.5-13b-hf", *size) for size in SIZES} == {576}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name, size in (("a.png", (84, 56)), ("b.png", (280, 140))):
        stream = io.BytesIO()
        PIL.Image.new("RGB", size, (200, 90, 20)).save(stream, "PNG")
        (tmp_path / name).write_bytes(stream.getvalue())
    return tmp_path


def rows(folder: Path, name: str) -> Path:
    if name == "mm-r5":
        passages = [{"images": [file], "relevance": i} for i, file in enumerate(("a.png", "b.png"))]
        row: dict[str, object] = {"query": "which page shows it", "passages": passages}
    else:
        shown = [("a.png", True), ("b.png", False)]
        candidates = [{"id": f, "image": f, "relevant": r, "caption": "A table."} for f, r in shown]
        row = {"query_id": "q", "query": "which image shows it", "candidates": candidates}
    return chats.written(folder / "rows.jsonl", row)


@pytest.mark.parametrize(("name", "tokens"), [("mm-r5", 6 + 50), ("ragvl", 576), ("ragvl-noise", 576)])
def test_a_dry_run_and_an_example_without_the_base(name: str, tokens: int, images: Path):
    file = rows(images, name)
    runner, common = CliRunner(), ["train", name, "--rows", str(file), "--set", "dev=0.0"]
    done = runner.invoke(APP, [*common, "--dry-run", "--json"])
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)["data"]["train"]
    assert found["examples"] == (1 if name == "mm-r5" else 2)
    assert found["longest"] > tokens
    shown = runner.invoke(APP, [*common, "--show-example", "--set", "lists.shuffle=false"])
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout.count("<|image|>") == tokens
    assert "shows it" in shown.stdout


def test_a_marker_in_a_question_is_refused_by_its_line(images: Path):
    row = {"query": "which <|image|>", "passages": [{"images": ["a.png"], "relevance": i} for i in (0, 1)]}
    file = chats.written(images / "rows.jsonl", row)
    done = CliRunner().invoke(APP, ["train", "mm-r5", "--rows", str(file), "--dry-run"])
    assert done.exit_code == 2
    assert "line 1" in done.stderr
