"""`Reranker.from_pretrained`: the card in a checkpoint's folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scripts import full_backend

from limrank_plugins import Reranker
from limrank_plugins.card import card_arguments, check_card, read_card
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import load_template


def put(folder: Path, content: object) -> str:
    (folder / "limrank.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return str(folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{broken", "not a whole JSON file"),
        ("[]", "names its 'recipe'"),
        ({"labels": []}, "names its 'recipe'"),
    ],
)
def test_a_bad_card_is_named(tmp_path: Path, content: object, said: str):
    with pytest.raises(InputError, match=said):
        read_card(put(tmp_path, content))


def test_no_card(tmp_path: Path):
    with pytest.raises(InputError, match=r"has no limrank\.json: name the recipe yourself"):
        Reranker.from_pretrained(str(tmp_path))


def test_a_card_for_other_labels_or_another_wording_is_refused():
    template = load_template("limrank")
    check_card(
        {"recipe": "limrank", "labels": [" true", " false"], "prompt_sha256": template.digest}, template, "x"
    )
    with pytest.raises(InputError, match="labels"):
        check_card({"recipe": "limrank", "labels": ["yes", "no"]}, template, "x")
    with pytest.raises(InputError, match="another text of template"):
        check_card({"recipe": "limrank", "prompt_sha256": "0" * 64}, template, "x")


def test_a_card_gives_the_arguments(tmp_path: Path):
    card = {"recipe": "rank1", "reasoning": "none", "max_reasoning_tokens": 5, "base": "ignored"}
    assert card_arguments(read_card(put(tmp_path, card))) == {
        "recipe": "rank1",
        "reasoning": "none",
        "max_reasoning_tokens": 5,
    }


def test_a_ready_backend_cannot_be_given_a_model():
    with pytest.raises(InputError, match="model, device"):
        Reranker("limrank", "some-model", full_backend(), device="cpu")


def test_a_gguf_file_has_no_card(tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(b"GGUF")
    for name in (str(file), "nobody/nothing:tiny.gguf"):
        with pytest.raises(InputError, match=r"tiny\.gguf has no limrank\.json: name the recipe yourself"):
            Reranker.from_pretrained(name)
