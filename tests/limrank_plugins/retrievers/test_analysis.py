"""Words are found in any script and normal form; of ASCII text they are those of the library."""

from __future__ import annotations

import json
import unicodedata
import warnings
from pathlib import Path

import bm25s
import pytest
import Stemmer
from hypothesis import given
from hypothesis import strategies as st

from limrank_plugins import samples
from limrank_plugins.corpus import read_corpus
from limrank_plugins.corpus_index import index_folder, open_index
from limrank_plugins.errors import InputError
from limrank_plugins.io import read_queries
from limrank_plugins.retrievers import build_retriever, load_retriever
from limrank_plugins.retrievers.analysis import Analyzer
from limrank_plugins.retrievers.folding import folded

PLAIN = Analyzer(stopwords=None, stemmer=None)
SAMPLES = Path(samples.__file__).parent
EVERY_BM25 = pytest.mark.parametrize(
    ("kind", "options"), [("bm25s", {}), ("rank_bm25", {}), ("bm25q", {"analysis": "snowball"})]
)


def test_terms_of_the_sample_collection_are_those_of_the_library() -> None:
    corpus = str(SAMPLES / "corpus.jsonl")
    texts = [document.passage for document in read_corpus(corpus)]
    texts += [query.text for query in read_queries(SAMPLES / "queries.jsonl")]
    theirs = bm25s.tokenize(
        texts, stopwords="en", stemmer=Stemmer.Stemmer("english"), return_ids=False, show_progress=False
    )
    assert len(texts) > 50
    assert [Analyzer().terms(text, document=True) for text in texts] == theirs


@EVERY_BM25
@pytest.mark.parametrize(
    ("passage", "query"),
    [
        ("घी दूध से बनता है", "घी"),
        ("नींबू का रस", "नींबू"),
        ("চা গরম", "চা"),
        ("মেঘ থেকে বৃষ্টি", "বৃষ্টি"),
        ("பூ மலர்கிறது", "பூ"),
        ("నీరు మరిగింది", "నీరు"),
        ("मौसम चिसो छ", "चिसो"),
        ("ಹಾಲು ಒಡೆಯಿತು", "ಹಾಲು"),
        ("പാൽ പിരിഞ്ഞു", "പാൽ"),
        ("दूध 40 डिग्री", "४०"),
        ("لَبَن طازج", "لبن"),
        ("سعر ٢٥ ريال", "25"),
        ("كتـــاب جديد", "كتاب"),
        ("مَلِكٌ", "ملك"),
        ("کتاب‌ها", "کتاب"),
        ("חָלָב חמוץ", "חלב"),
        ("Straße nach Gießen", "GIESSEN"),
        ("DIYARBAKIR ve ısı", "diyarbakır"),
        ("İZMİR", "izmir"),
        ("ΟΔΟΣ", "οδος"),
        ("МОЛОКО киснет", "молоко"),
        ("ﬁne ﬂour", "flour"),
        ("Ｌｉｍ　ｒａｎｋ", "rank"),
        ("the LimRank™ toolkit", "limrank"),
        ("co\u00adop\u00aderate", "cooperate"),
        ("zero\u200dwidth", "zerowidth"),
        ("牛奶为什么会变酸", "牛奶"),
        ("我喜欢喝茶", "茶"),
        ("なぜ牛乳は固まるのか", "牛乳"),
        ("ﾐﾙｸ が", "ミルク"),
        ("น้ำนมเปรี้ยว", "นม"),
        ("ນ້ຳນົມ", "ນົມ"),
        ("ទឹកដោះគោ", "ដោះ"),
        ("နို့ချဉ်", "ချဉ်"),
        ("模型LimRank很好", "limrank"),
        ("우유가 굳는다", "굳는다"),
    ],
)
def test_the_word_is_found(kind: str, options: dict[str, str], passage: str, query: str) -> None:
    retriever = build_retriever(kind, ["zzz yyy", passage], **options)
    for form in ("NFC", "NFD"):
        found = retriever.search(unicodedata.normalize(form, query))
        assert [document.id for document in found] == ["1"]
    decomposed = build_retriever(kind, ["zzz yyy", unicodedata.normalize("NFD", passage)], **options)
    assert [document.id for document in decomposed.search(query)] == ["1"]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("दूध फटता", ["दूध", "फटता"]),
        ("don´t x", ["don"]),
        ("snake_case é", ["snake_case"]),
        ("喝茶吧 ok", ["喝茶", "茶吧", "ok"]),
        ("茶", ["茶"]),
        ("2024年", ["2024", "年"]),
    ],
)
def test_words_of_a_query(text: str, terms: list[str]) -> None:
    assert PLAIN.terms(text) == terms


def test_documents_hold_single_characters_too() -> None:
    assert PLAIN.terms("喝茶吧", document=True) == ["喝", "茶", "吧", "喝茶", "茶吧"]
    vocabulary: dict[str, int] = {}
    assert PLAIN.numbering(vocabulary)("喝茶吧") == [0, 1, 2, 3, 4]
    assert list(vocabulary) == ["喝", "茶", "吧", "喝茶", "茶吧"]


def test_a_query_of_two_characters_is_not_found_by_one() -> None:
    retriever = build_retriever("bm25s", ["蜗牛很慢", "牛奶很酸"])
    assert [document.id for document in retriever.search("牛奶")] == ["1"]


def test_a_pattern_that_names_characters_is_taken_as_it_stands() -> None:
    hindi = Analyzer(None, None, r"[\u0900-\u097F]+")
    assert hindi.terms("दूध and चाय") == ["दूध", "चाय"]
    assert Analyzer(None, None, "[一-龥]+").terms("牛奶很酸") == ["牛奶很酸"]
    assert Analyzer(None, None, r"(?u)\b\w+\b").terms("é दूध") == ["é", "दूध"]


def test_stop_words_are_folded_as_texts_are() -> None:
    assert Analyzer(["STRASSE", "é"], None, r"\w+").terms("Straße e\u0301 Weg") == ["weg"]


@given(st.text(max_size=60))
def test_equal_text_has_equal_words(text: str) -> None:
    words = PLAIN.terms(text)
    for form in ("NFC", "NFD"):
        assert PLAIN.terms(unicodedata.normalize(form, text)) == words
    once = folded(text)
    assert folded(once) == once


@given(st.text(st.characters(codec="ascii"), max_size=60))
def test_ascii_is_put_into_lower_case_and_nothing_else(text: str) -> None:
    assert folded(text) == text.lower()


@EVERY_BM25
def test_a_saved_index_finds_them(tmp_path: Path, kind: str, options: dict[str, str]) -> None:
    build_retriever(kind, ["दूध फटता", "喝茶"], **options).save(tmp_path / "i")
    loaded = load_retriever(tmp_path / "i")
    assert [document.id for document in loaded.search("दूध")] == ["0"]
    assert [document.id for document in loaded.search("茶")] == ["1"]


@pytest.mark.parametrize("version", [None, 1, 99, "x"])
def test_an_index_of_another_analysis_is_refused(tmp_path: Path, version: object) -> None:
    build_retriever("bm25s", ["acid curdles milk"]).save(tmp_path / "i")
    _change_version(tmp_path / "i", version)
    with pytest.raises(InputError, match=r"version .* of the analysis .* version 2: build the index again"):
        load_retriever(tmp_path / "i")


def test_a_cached_index_of_another_analysis_is_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMRANK_CACHE", str(tmp_path / "cache"))
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"_id": "d1", "text": "acid curdles milk"}\n')
    open_index(str(corpus), "bm25s")
    _change_version(index_folder(str(corpus), "bm25s"), None)
    with pytest.warns(UserWarning, match="build the index again; it is built anew"):
        index = open_index(str(corpus), "bm25s")
    assert [document.id for document in index.search("acid")] == ["d1"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_index(str(corpus), "bm25s")


def _change_version(index: Path, version: object) -> None:
    manifest = json.loads((index / "manifest.json").read_text())
    del manifest["parameters"]["words"]
    if version is not None:
        manifest["parameters"]["words"] = version
    (index / "manifest.json").write_text(json.dumps(manifest))
