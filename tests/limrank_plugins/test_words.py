"""What counts as a word, in scripts with and without spaces."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limrank_plugins import Document, Reranker, ScriptedBackend
from limrank_plugins.prompts.passages import PassageLayout, PassageLimit
from limrank_plugins.words import word_ends, words_of

SPACED = st.text(
    st.one_of(st.sampled_from("ab1.,-\n \u00a0\x1céяक\u0301\u093f한"), st.characters(max_codepoint=0x0E00)),
    max_size=60,
)
UNSPACED = ["牛乳は酸で固まる。", "水在压力下沸腾。", "นมจับตัวเป็นก้อน ", "ទឹកដោះគោ", "နို့ခဲသည်", "འོ་མ་འཁྱགས་", "ﾐﾙｸ"]


@given(SPACED)
def test_where_there_are_spaces_words_are_what_stands_between_them(text: str):
    assert words_of(text) == len(text.split())
    assert word_ends(text) == [word.end() for word in re.finditer(r"\S+", text)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("猫が好き。", ["猫", "が", "好", "き。"]),
        ("水 boils 在100度", ["水", "boils", "在", "100", "度"]),
        ("กินข้าว", ["กิ", "น", "ข้", "า", "ว"]),  # marks stay with their letter
        ("か\u3099く", ["か\u3099", "く"]),
    ],
)
def test_every_character_of_a_script_without_spaces_is_a_word(text: str, words: list[str]):
    ends = word_ends(text)
    starts = [0, *ends[:-1]]
    assert [text[start:end].strip() for start, end in zip(starts, ends, strict=True)] == words


@pytest.mark.parametrize("sentence", UNSPACED)
def test_limits_and_pieces_agree_in_any_script(sentence: str):
    """What a limit leaves of a passage is as long as a piece may be, and nothing is longer."""
    layout = PassageLayout(limit=PassageLimit(50, "words"))
    document = Document(sentence * 200)
    assert words_of(layout.written(document)) == 50
    assert layout.words_cut(document) == words_of(document.text) - 50
    pytest.importorskip("semantic_text_splitter", reason="needs the extra chunks")
    read: list[str] = []

    def score(query: str, passage: str) -> float:
        read.append(passage)
        return float(len(read))

    backend = ScriptedBackend(score_pairs=score)
    (hit,) = Reranker("cross-encoder", backend=backend, chunks="max:50 words").rank("q", [document])
    assert hit.piece is not None
    assert hit.piece.of > 10
    assert max(map(words_of, read)) <= 50
