"""Whether an answer has the shape `<think>…</think> <answer>…</answer>` and nothing else."""

from __future__ import annotations

from limrank_plugins.readouts.labels import TAG


def tagged_answer(text: str) -> str | None:
    """What the answer tags hold, where a text is one closed block of reasoning and one answer; else None.

    Stricter than reading at inference, where a malformed answer is repaired: a second answer, an answer
    inside the reasoning, or words beside the two blocks must not be worth anything.
    """
    tags = [(tag[2].lower(), bool(tag[1]), tag.start(), tag.end()) for tag in TAG.finditer(text)]
    if [(name, closes) for name, closes, _, _ in tags] != [
        ("think", False),
        ("think", True),
        ("answer", False),
        ("answer", True),
    ]:
        return None
    before, between, after = text[: tags[0][2]], text[tags[1][3] : tags[2][2]], text[tags[3][3] :]
    if before.strip() or between.strip() or after.strip():
        return None
    return text[tags[2][3] : tags[3][2]].strip()
