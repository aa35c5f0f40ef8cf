"""What `chunks=` may say, and where texts are split."""

from __future__ import annotations

import re

import pytest
import tiny
from hypothesis import example, given
from hypothesis import strategies as st

from limrank_plugins.errors import InputError, MissingExtra
from limrank_plugins.pieces import PieceRule, piece_rule, split, whole_words
from limrank_plugins.words import words_of

TEXTS = st.text(
    st.one_of(
        st.sampled_from("ab.!? \n\t。！？です語é\u0301👩\u200d🔬🇨🇭ไทย\ud800"),
        st.characters(exclude_categories=[]),
    ),
    max_size=80,
)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("max", PieceRule("max")),
        ("first", PieceRule("first")),
        ("mean-top-2", PieceRule("mean-top-2")),
        ("max:300 words", PieceRule("max", 300)),
        ("mean-top-2:20-words", PieceRule("mean-top-2", 20)),
    ],
)
def test_rules(text: str, rule: PieceRule):
    assert piece_rule(text) == rule


@pytest.mark.parametrize(
    "text", ["", "best", "max:", "max:0 words", "max:10 tokens", "max 10 words", 3, None]
)
def test_what_is_no_rule(text: object):
    with pytest.raises(InputError, match="chunks must be 'max', 'first' or 'mean-top-2', perhaps with"):
        piece_rule(text)


def test_the_splitter_is_an_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "semantic_text_splitter", None)
    assert split("whole", lambda piece: True) == [(0, 5)]
    with pytest.raises(MissingExtra, match=r"pip install 'limrank\[chunks\]'"):
        split("One. Two.", lambda piece: False)


class TestSplitting:
    """With semantic-text-splitter itself."""

    @pytest.fixture(autouse=True)
    def _splitter(self):
        pytest.importorskip("semantic_text_splitter", reason="needs the extra chunks")

    @given(TEXTS, st.integers(1, 12), st.sampled_from(["characters", "words", "bytes"]))
    @example("\x80\x800", 1, "bytes")  # a character that is too long alone, and one that is not
    def test_pieces_are_the_text_in_order_and_each_fits(self, text: str, most: int, unit: str):
        sizes = {
            "characters": len,
            "words": words_of,
            "bytes": lambda piece: len(piece.encode("utf-8", "replace")),
        }
        spans = split(text, lambda piece: sizes[unit](piece) <= most)
        assert "".join(text[start:end] for start, end in spans) == text
        assert [start for start, _ in spans] == [0, *(end for _, end in spans[:-1])]
        for start, end in spans:
            assert sizes[unit](text[start:end]) <= most or end - start == 1

    def test_by_the_tokens_of_a_tokenizer(self):
        tokenizer = tiny.tokenizer("qwen")
        text = "Acid curdles milk because the proteins clump. Bread rises when yeast makes gas! Why? " * 6

        def tokens(piece: str) -> int:
            return len(tokenizer(piece)["input_ids"])

        spans = split(text, lambda piece: tokens(piece) <= 60)
        pieces = [text[start:end] for start, end in spans]
        assert "".join(pieces) == text
        assert all(tokens(piece) <= 60 for piece in pieces)
        assert all(re.search(r"[.!?]\s*$", piece) for piece in pieces), "they end where sentences do"
        assert len(pieces) < tokens(text) / 20, "and are as long as they may be"

    @pytest.mark.parametrize(
        ("text", "most", "wanted"),
        [
            ("One two. Three four. Five.", 13, ["One two. ", "Three four. ", "Five."]),
            ("猫が好き。犬も好き。鳥は飛ぶ。", 7, ["猫が好き。", "犬も好き。", "鳥は飛ぶ。"]),
            ("यह सच है। हाँ। नहीं।", 9, ["यह सच है। ", "हाँ। ", "नहीं।"]),
            ("A b\n\nC d\n\nE f", 6, ["A b\n\n", "C d\n\n", "E f"]),
        ],
    )
    def test_where_sentences_end(self, text: str, most: int, wanted: list[str]):
        spans = split(text, lambda piece: len(piece.strip()) <= most)
        assert [text[start:end] for start, end in spans] == wanted


# ---- words that are shown whole -----------------------------------------------------------------


@given(TEXTS, st.integers(0, 60), st.integers(0, 60))
def test_a_part_grows_to_whole_words_and_no_further(text: str, start: int, end: int):
    start, end = sorted((min(start, len(text)), min(end, len(text))))
    first, last = whole_words(text, start, end)
    assert max(0, start - 20) <= first <= start <= end <= last <= min(len(text), end + 20)
    assert text[first:start].isalnum() or first == start
    assert text[end:last].isalnum() or last == end


def test_what_a_whole_word_is():
    text = "one two-three four"
    assert [text[slice(*whole_words(text, *span))] for span in ((5, 9), (4, 7), (0, 18))] == [
        "two-three",
        "two",
        text,
    ]
    assert whole_words("漢" * 100, 50, 60) == (30, 80), "a script without spaces"
