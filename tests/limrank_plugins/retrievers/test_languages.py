"""A language decides about stems and stop words, is kept in the index, and can be found out."""

from __future__ import annotations

import json
import math
import pickle
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import Stemmer

from limrank_plugins import Document, samples
from limrank_plugins.corpus_index import index_folder, open_index
from limrank_plugins.errors import InputError
from limrank_plugins.io import read_documents, read_queries
from limrank_plugins.ndcg import ndcg
from limrank_plugins.qrels import read_qrels
from limrank_plugins.retrievers import build_retriever, build_saved, load_retriever, takes_language
from limrank_plugins.retrievers.analysis import Analyzer
from limrank_plugins.retrievers.languages import (
    SAMPLE,
    detected_language,
    language_named,
    language_names,
    stemmer_of,
    stopwords_of,
    without_stemmer,
)

# A sentence or two each, written for this test; the same thing is said in all of them.
SENTENCES = {
    "english": "Bread rises because the yeast in the dough makes a gas which cannot escape from it.",
    "german": "Das Brot geht auf, weil die Hefe im Teig ein Gas bildet, das nicht aus ihm entweichen kann.",
    "dutch": "Het brood rijst omdat de gist in het deeg een gas maakt dat er niet uit kan.",
    "french": "Le pain lève parce que la levure dans la pâte produit un gaz qui ne peut pas en sortir.",
    "spanish": "El pan sube porque la levadura de la masa produce un gas que no puede salir de ella.",
    "portuguese": "O pão cresce porque o fermento na massa produz um gás que não consegue sair dela.",
    "italian": "Il pane lievita perché il lievito nella pasta produce un gas che non può uscire dalla massa.",
    "swedish": "Brödet jäser för att jästen i degen bildar en gas som inte kan komma ut.",
    "finnish": "Leipä nousee, koska hiiva tekee taikinassa kaasua, joka ei voi päästä pois, ja se on ilmaa.",
    "hungarian": "A kenyér megkel, mert az élesztő a tésztában gázt termel, ami nem tud kijönni, és ez jó.",
    "polish": "Chleb rośnie, bo drożdże w cieście wytwarzają gaz, który nie może się z niego wydostać.",
    "czech": "Chléb kyne, protože kvasnice v těstě tvoří plyn, který se z něj nemůže dostat, a to je vše.",
    "romanian": "Pâinea crește pentru că drojdia din aluat produce un gaz care nu poate să iasă din el.",
    "turkish": "Ekmek kabarır, çünkü hamurdaki maya bir gaz üretir ve bu gaz dışarı çıkamaz.",
    "indonesian": "Roti mengembang karena ragi dalam adonan menghasilkan gas yang tidak dapat keluar.",
    "vietnamese": "Bánh mì nở vì men trong bột tạo ra khí và khí đó không thể thoát ra được.",
    "russian": "Хлеб поднимается, потому что дрожжи в тесте выделяют газ, который не может из него выйти.",
    "ukrainian": "Хліб підходить, бо дріжджі в тісті виділяють газ, який не може з нього вийти, і це видно.",
    "bulgarian": "Хлябът се надига, защото маята в тестото образува газ, който не може да излезе от него.",
    "greek": "Το ψωμί φουσκώνει επειδή η μαγιά στο ζυμάρι βγάζει αέριο που δεν μπορεί να φύγει.",
    "hindi": "रोटी फूलती है क्योंकि आटे में खमीर गैस बनाता है और वह बाहर नहीं निकल सकती।",
    "nepali": "रोटी फुल्छ किनभने पिठोमा भएको खमिरले ग्यास बनाउँछ र यो बाहिर निस्कन सक्दैन, यो राम्रो छ।",
    "marathi": "पाव फुगतो कारण पिठातील यीस्ट वायू तयार करते आणि तो बाहेर पडू शकत नाही, हे चांगले आहे.",
    "tamil": "மாவில் உள்ள ஈஸ்ட் வாயுவை உருவாக்குவதால் ரொட்டி உப்புகிறது.",
    "bengali": "ময়দার খামিরের ইস্ট গ্যাস তৈরি করে বলে রুটি ফুলে ওঠে।",
    "arabic": "يرتفع الخبز لأن الخميرة في العجين تنتج غازا لا يمكن أن يخرج من العجين.",
    "persian": "نان ور می‌آید، زیرا مخمر در خمیر گازی تولید می‌کند که نمی‌تواند از آن خارج شود.",
    "hebrew": "הלחם תופח כי השמרים בבצק יוצרים גז, והוא לא יכול לצאת, וזה כל הסוד של הבצק.",
    "japanese": "パンがふくらむのは、生地の中の酵母がガスを作り、それが外に出られないからです。",
    "chinese": "面包发起来，是因为面团里的酵母产生气体，而气体出不去。",
    "korean": "빵이 부푸는 것은 반죽 속의 효모가 기체를 만들고 그 기체가 빠져나가지 못하기 때문이다.",
    "thai": "ขนมปังขึ้นฟูเพราะยีสต์ในแป้งสร้างก๊าซที่ออกไปไม่ได้",
}


@pytest.mark.parametrize(("language", "text"), SENTENCES.items())
def test_one_sentence_tells_its_language(language: str, text: str) -> None:
    assert detected_language([text]) == language


def test_most_of_the_sample_decides() -> None:
    texts = [SENTENCES["german"], SENTENCES["german"], SENTENCES["english"]]
    assert detected_language(texts) == "german"
    assert detected_language(document.passage for document in samples.documents()) == "english"
    seen: list[int] = []
    detected_language(seen.append(i) or "x" for i in range(SAMPLE + 500))  # type: ignore[func-returns-value]
    assert len(seen) == SAMPLE


@pytest.mark.parametrize("texts", [[], [""], ["1 2 3 !"], ["Xylit Gazpacho Zeppelin Kwanza Blini Vroom"]])
def test_what_tells_nothing_is_english(texts: list[str]) -> None:
    assert detected_language(texts) == "english"


def test_names_and_codes() -> None:
    assert language_named("German") == language_named(" de ") == language_named("german") == "german"
    assert "auto" not in language_names()
    for wrong in ("klingon", "", "auto", "porter"):
        with pytest.raises(InputError, match=f"language {wrong!r} is not known; known are amharic, arabic"):
            language_named(wrong)


def test_every_language_has_the_stemmer_and_the_stop_words_that_there_are() -> None:
    assert set(Stemmer.algorithms()) - set(language_names()) <= {"porter", "dutch_porter", "lovins"}
    for language in language_names():
        analyzer = Analyzer(language=language)
        assert analyzer.stemmer == stemmer_of(language)
        assert bool(analyzer.stopwords) == (stopwords_of(language) is not None)
        assert bool(without_stemmer(language)) == (stemmer_of(language) is None)
    assert "no Snowball stemmer for thai and no list" in without_stemmer("thai")
    assert without_stemmer("german") == ""


def test_english_is_as_it_was() -> None:
    usual = Analyzer()
    assert usual.parameters == Analyzer("english", "english").parameters
    assert usual.language == usual.stemmer == "english"
    assert len(usual.stopwords) == 33


@pytest.mark.parametrize("kind", ["bm25s", "rank_bm25"])
def test_words_are_found_in_their_inflections(tmp_path: Path, kind: str) -> None:
    passages = ["Die Häuser der Altstadt.", "Der Fluss und die Berge."]
    assert build_retriever(kind, passages).search("Haus") == []
    for language in ("german", "de", "auto"):
        index = build_retriever(kind, passages, language=language)
        assert [hit.id for hit in index.search("Haus")] == ["0"]
        assert index.search("die der und") == []
        index.save(tmp_path / language)
        again = load_retriever(tmp_path / language)
        assert again.language == "german"  # type: ignore[attr-defined]
        assert again.search("Haus") == index.search("Haus")


def test_what_is_said_besides_goes_before_the_language() -> None:
    analyzer = Analyzer(None, "porter", language="german")
    assert (analyzer.language, analyzer.stemmer, analyzer.stopwords) == ("german", "porter", frozenset())
    assert Analyzer(stemmer=None, language="german").terms("und die Häuser") == ["häuser"]


def test_lucenes_words_have_no_language() -> None:
    with pytest.raises(InputError, match="Lucene's words are English, but language is 'german'"):
        build_retriever("bm25q", ["Haus"], language="german")
    index = build_retriever("bm25q", ["Häuser", "Maus"], language="german", analysis="snowball")
    assert [hit.id for hit in index.search("Haus")] == ["0"]
    assert [name for name in ("bm25s", "rank_bm25", "bm25q", "lucene", "dense") if takes_language(name)] == [
        "bm25s",
        "rank_bm25",
        "bm25q",
    ]


@pytest.mark.parametrize("kind", ["bm25s", "rank_bm25"])
def test_an_index_of_another_language_is_refused(tmp_path: Path, kind: str) -> None:
    build_retriever(kind, ["Die Häuser"], language="german").save(tmp_path / "i")
    for language in (None, "german", "de", "auto"):
        assert len(load_retriever(tmp_path / "i", language=language)) == 1
    message = "holds words of german, but english was asked for: leave language out, or build the index again"
    with pytest.raises(InputError, match=message):
        load_retriever(tmp_path / "i", language="english")
    with pytest.raises(InputError, match="language 'klingon' is not known"):
        load_retriever(tmp_path / "i", language="klingon")


def test_an_index_of_before_is_of_its_stemmers_language(tmp_path: Path) -> None:
    for stemmer, language in (("english", "english"), ("porter", "english"), ("german", "german")):
        place = tmp_path / stemmer
        build_retriever("bm25s", ["Häuser"], stemmer=stemmer, stopwords=None).save(place)
        manifest = json.loads((place / "manifest.json").read_text())
        del manifest["parameters"]["language"]
        (place / "manifest.json").write_text(json.dumps(manifest))
        opened = load_retriever(place)
        assert opened.language == language  # type: ignore[attr-defined]
        assert opened.analyzer.stemmer == stemmer  # type: ignore[attr-defined]


# ---- into a folder, and the corpora of the command line ---------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("bm25s", {}),
        ("bm25s", {"k1": 1.2, "language": "auto", "query_weighting": "bm25"}),
        ("bm25q", {"analysis": "snowball"}),
        ("rank_bm25", {"language": "german"}),
    ],
)
def test_what_is_built_in_a_folder_is_what_is_saved_there(
    tmp_path: Path, kind: str, options: dict[str, object]
) -> None:
    documents = [*samples.documents(), Document("", id="empty"), Document("a \ud800 surrogate", title="t")]
    straight = build_saved(kind, iter(documents), tmp_path / "straight", **options)
    saved = build_retriever(kind, documents, **options)
    saved.save(tmp_path / "saved")
    files = sorted(p.relative_to(tmp_path / "saved") for p in (tmp_path / "saved").rglob("*") if p.is_file())
    for file in files:
        assert (tmp_path / "straight" / file).read_bytes() == (tmp_path / "saved" / file).read_bytes(), file
    for query in ("why does milk curdle in tea", "surrogate"):
        assert straight.search(query) == saved.search(query)
        assert pickle.loads(pickle.dumps(straight)).search(query) == saved.search(query)


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([], "the corpus is empty"),
        ([Document("a", id="x"), Document("b", id="x")], "these repeat: 'x'"),
        ([Document("a", meta={"x": object()})], "cannot be saved as JSON"),
    ],
)
def test_what_cannot_be_built_leaves_nothing(tmp_path: Path, documents: list[Document], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_saved("bm25s", documents, tmp_path / "i")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match=r"retriever 'bm25s' has no such option: .*'colour'"):
        build_saved("bm25s", ["a"], tmp_path / "i", colour="red")


def test_texts_do_not_pile_up_in_memory(tmp_path: Path) -> None:
    class Held(Document):
        """A document that can be looked after: without slots."""

    passed: list[weakref.ref[Held]] = []

    def coming() -> Iterator[Document]:
        for i in range(200):
            document = Held(f"passage {i}", id=str(i))
            passed.append(weakref.ref(document))
            yield document
            del document
            assert sum(other() is not None for other in passed) <= 2

    index = build_saved("bm25s", coming(), tmp_path / "i", language="english")
    assert [hit.id for hit in index.search("passage 123", 1)] == ["123"]
    assert len(passed) == len(index) == 200


def test_a_corpus_without_terms_has_an_index(tmp_path: Path) -> None:
    assert build_saved("bm25s", ["the", "?"], tmp_path / "i").search("the acid") == []


def test_each_language_of_a_corpus_has_an_index_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMRANK_CACHE", str(tmp_path / "cache"))
    corpus = tmp_path / "corpus.jsonl"
    texts = {"h": "Die Häuser der Altstadt.", "b": "Der Fluss und die Berge."}
    corpus.write_text("".join(json.dumps({"_id": i, "text": text}) + "\n\n" for i, text in texts.items()))
    asked: list[int | None] = []
    steps: list[tuple[int, int | None]] = []

    def found(language: str) -> list[str | None]:
        index = open_index(
            str(corpus),
            "bm25s",
            language=language,
            building=asked.append,
            progress=lambda done, total: steps.append((done, total)),
        )
        return [hit.id for hit in index.search("Haus")]

    assert (found("english"), found("german"), found("auto")) == ([], ["h"], ["h"])
    assert (asked, steps) == ([2] * 3, [(2, 2)] * 3)
    assert (found("english"), found("de"), found("auto")) == ([], ["h"], ["h"])
    assert len(asked) == 3, "an index that is there is opened"
    folders = {index_folder(str(corpus), "bm25s", language) for language in ("english", "de", "auto")}
    assert set((tmp_path / "cache" / "indexes").iterdir()) == folders
    with pytest.raises(InputError, match="dense has no language to choose, but language is 'german'"):
        open_index(str(corpus), "dense", language="german")


def test_an_index_folder_of_another_language_is_built_anew(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"_id": "h", "text": "Die Häuser der Altstadt."}\n')
    open_index(str(corpus), "bm25s", folder=tmp_path / "i")
    with pytest.warns(UserWarning, match="holds words of english, but german was asked for.*built anew"):
        index = open_index(str(corpus), "bm25s", language="german", folder=tmp_path / "i")
    assert [hit.id for hit in index.search("Haus")] == ["h"]


# ---- what it is worth: the table of docs/first-stages.md ---------------------------------------------

COLLECTIONS = Path(__file__).parents[2] / "languages"
FIGURES = {  # nDCG@10 with the stems and stop words of English, and of the language
    "english": (0.9431, 0.9431),
    "french": (0.9306, 0.971),
    "german": (0.5214, 0.9591),
    "hindi": (0.8249, 1.0),
    "russian": (0.3272, 0.9591),
    "spanish": (0.8762, 0.95),
}


def measured(language: str, of: str) -> float:
    place = COLLECTIONS / language
    index = build_retriever("bm25s", read_documents(place / "corpus.jsonl"), language=of)
    qrels = read_qrels(place / "qrels.trec")
    values = []
    for query in read_queries(place / "queries.jsonl"):
        hits = [hit.id or "" for hit in index.search(query, 10)]
        gains = [float(qrels[query.id].get(hit, 0)) for hit in hits] + [0.0] * (10 - len(hits))
        values.append(ndcg([*gains, *(1.0 for document in qrels[query.id] if document not in hits)]))
    return round(math.fsum(values) / len(values), 4)


@pytest.mark.parametrize("language", FIGURES)
def test_a_small_collection_in_its_language(language: str) -> None:
    assert (measured(language, "english"), measured(language, language)) == FIGURES[language]
    assert measured(language, "auto") == FIGURES[language][1]


def test_the_collections_are_one_in_several_languages() -> None:
    assert {place.name for place in COLLECTIONS.iterdir() if place.is_dir()} == set(FIGURES)
    judgements = {(COLLECTIONS / language / "qrels.trec").read_text() for language in FIGURES}
    assert len(judgements) == 1
    table = (Path(__file__).parents[3] / "docs" / "first-stages.md").read_text()
    for language, (english, own) in FIGURES.items():
        row = f"| {language.capitalize()} | {english:.4f} | {own:.4f} |".replace("| 0.", "| .")
        assert row in table
