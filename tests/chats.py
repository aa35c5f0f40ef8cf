"""A tiny tokenizer and model that can chat, and rows of groups, for tests of training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tiny

CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# What limrank-chat answers with.
YES_NO = "answer yes, answer no, yes or no, yes and no, a yes, a no"
TEXTS = ("acid curdles milk", "bread rises", "light bends in water", "iron rusts in moist air")


def tokenizer() -> Any:
    """The tiny Qwen tokenizer with Qwen's chat template."""
    made = tiny.qwen_tokenizer(words=YES_NO)
    made.chat_template = CHAT
    return made


def build(folder: Path, seed: int = 0, **shape: Any) -> Path:
    """Write a tiny chat model into a folder, and return the folder; prompts of 2,048 tokens fit."""
    return tiny.build(folder, seed=seed, tokens=tokenizer(), **({"max_position_embeddings": 4096} | shape))


def group(best: int = 0, **more: object) -> dict[str, Any]:
    """A row: four passages, one of them relevant."""
    passages = [{"id": f"p{i}", "text": text, "relevance": int(i == best)} for i, text in enumerate(TEXTS)]
    return {"query": f"why {TEXTS[best].split()[0]}", "passages": passages} | more


def written(path: Path, *rows: object) -> Path:
    """Write rows (or lines as they are) into a file, and return it."""
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path
