"""The words that the filters compare: in any script and normal form."""

from __future__ import annotations

import unicodedata

import pytest

from limrank_synth.filters.words import normalised, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("हिन्दी की किताबें", ["हिन्दी", "की", "किताबें"]),
        ("தமிழ் மொழி.", ["தமிழ்", "மொழி"]),
        ("বাংলা ভাষা", ["বাংলা", "ভাষা"]),
        ("Straße_und Ｗｅｇ", ["strasse", "und", "weg"]),
        ("co\u00adoperate, don't", ["cooperate", "don", "t"]),
        ("مُحَمَّد ١٢", ["محمد", "12"]),
        ("…—!", []),
    ],
)
def test_words(text: str, expected: list[str]):
    for form in ("NFC", "NFD"):
        given = unicodedata.normalize(form, text)
        assert [unicodedata.normalize("NFC", word) for word in words(given)] == [
            unicodedata.normalize("NFC", word) for word in expected
        ]
    assert normalised(unicodedata.normalize("NFD", text)) == normalised(text)


def test_words_that_differ_in_a_vowel_sign_alone_are_different():
    assert words("की") != words("का")
