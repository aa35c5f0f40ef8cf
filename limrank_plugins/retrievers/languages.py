"""Languages of corpora: which stemmer and stop words belong to one, and in which one texts are written.

Stemmers are Snowball's (PyStemmer), stop words those of bm25s. Most languages written without spaces and some
others have neither: their words, or pairs of characters, are compared as they stand.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from itertools import islice

from limrank_plugins.errors import InputError
from limrank_plugins.retrievers.folding import folded_words

DEFAULT = "english"
AUTO = "auto"
"""The name that stands for the language a sample of the corpus is written in."""

_CODES = {
    "am": "amharic", "ar": "arabic", "bg": "bulgarian", "bn": "bengali", "bo": "tibetan", "ca": "catalan",
    "cs": "czech", "da": "danish", "de": "german", "el": "greek", "en": "english", "eo": "esperanto",
    "es": "spanish", "et": "estonian", "eu": "basque", "fa": "persian", "fi": "finnish", "fr": "french",
    "ga": "irish", "gu": "gujarati", "he": "hebrew", "hi": "hindi", "hu": "hungarian", "hy": "armenian",
    "id": "indonesian", "it": "italian", "ja": "japanese", "ka": "georgian", "km": "khmer", "kn": "kannada",
    "ko": "korean", "lo": "lao", "lt": "lithuanian", "ml": "malayalam", "mr": "marathi", "my": "burmese",
    "nb": "norwegian", "ne": "nepali", "nl": "dutch", "nn": "norwegian", "no": "norwegian", "or": "odia",
    "pa": "punjabi", "pl": "polish",
    "pt": "portuguese", "ro": "romanian", "ru": "russian", "si": "sinhala", "sr": "serbian", "st": "sesotho",
    "sv": "swedish", "ta": "tamil", "te": "telugu", "th": "thai", "tr": "turkish", "uk": "ukrainian",
    "ur": "urdu", "vi": "vietnamese", "yi": "yiddish", "zh": "chinese",
}  # fmt: skip
# Bm25s has a list for Chinese, too, but here Chinese is found by pairs of characters, not by words.
_WITH_STOP_WORDS = {
    "danish", "dutch", "english", "french", "german", "italian", "korean", "norwegian", "portuguese",
    "russian", "spanish", "swedish", "turkish",
}  # fmt: skip

# ---- what belongs to a language -----------------------------------------------------------------


def language_names() -> list[str]:
    """The languages that can be named."""
    return sorted(set(_CODES.values()))


def language_named(name: str) -> str:
    """The language of this name or two-letter code (`german`, `German`, `de`).

    Raises:
        InputError: none is known by that name; the message lists those that are.
    """
    written = name.strip().lower() if isinstance(name, str) else ""
    language = _CODES.get(written, written)
    if language not in _CODES.values():
        raise InputError(
            f"language {name!r} is not known; known are {', '.join(language_names())}, their two-letter "
            f"codes, and {AUTO} for the language of the corpus"
        )
    return language


def stemmer_of(language: str) -> str | None:
    """The Snowball algorithm of a language, None where the installed PyStemmer has none."""
    import Stemmer

    return language if language in Stemmer.algorithms() else None


def stopwords_of(language: str) -> str | None:
    """The name of a language's stop words, None where there is no list."""
    return language if language in _WITH_STOP_WORDS else None


def without_stemmer(language: str) -> str:
    """A sentence for whoever chose a language that has no stemmer; empty for one that has."""
    if stemmer_of(language) is not None:
        return ""
    lists = "" if stopwords_of(language) else " and no list of stop words"
    return f"there is no Snowball stemmer for {language}{lists}: its words are compared as they are written"


# ---- in which language texts are written --------------------------------------------------------

SAMPLE = 1_000
"""How many passages are looked at, from the first one on."""
_CHARACTERS = 400  # of each of them
# Below this share of words no list fits: names and numbers hold a function word of some language, too.
_LEAST = 0.02
_SCRIPTS = {
    "ARMENIAN": "armenian", "BENGALI": "bengali", "CJK": "chinese", "ETHIOPIC": "amharic",
    "GEORGIAN": "georgian", "GREEK": "greek", "GUJARATI": "gujarati", "GURMUKHI": "punjabi",
    "HANGUL": "korean", "KANNADA": "kannada", "KHMER": "khmer", "LAO": "lao",
    "MALAYALAM": "malayalam", "MYANMAR": "burmese", "ORIYA": "odia",
    "SINHALA": "sinhala", "TAMIL": "tamil", "TELUGU": "telugu", "THAI": "thai", "TIBETAN": "tibetan",
}  # fmt: skip
# The most frequent function words, about as many for each language that shares its script with another.
_FUNCTION_WORDS = {
    "LATIN": {
        "english": "the of and to in is that for it with as was are this be on by not or from which",
        "german": "der die und das ist in den von zu mit nicht ein eine es dem des sich auf für auch wird",
        "dutch": "de het een van en is dat niet op te zijn met voor er aan die door ook wordt bij in",
        "french": "le la les de des et est un une dans que qui pour pas sur au par du ne avec en",
        "spanish": "el la los las de que y en un una es por con del para se no como más lo al",
        "portuguese": "o os as de que e do da em um uma para com não se por no na mais dos é",
        "italian": "il di che la e un una per non sono del della in con si gli le dei è più nel",
        "catalan": "el la els les de que i un una amb per és del en no dels als més seva aquest són",
        "romanian": "și de la în un o care nu este cu pe din că mai se sunt pentru lui al ale prin",
        "swedish": "och att det som en är av för på med ett den till inte om har de från kan vid i",
        "norwegian": "og det som en er av for på med et den til ikke om har de fra kan blir ble å",
        "danish": "og det som en er af for på med et den til ikke om har de fra kan bliver blev at",
        "finnish": "ja on ei se että ovat oli kun mutta myös tai jos niin voi ole kuin sen hän joka ne",
        "hungarian": "a az és hogy nem is egy van meg de mint vagy ez csak ha már még azt volt el ki",
        "estonian": "ja on ei et see ka kui oli või mis ning aga seda siis mida nii oma selle kes saab ta",
        "lithuanian": "ir yra kad į iš su tai ne kaip buvo o bet ar nuo dėl taip jo už per jau kurie",
        "polish": "i w na z się nie jest do to że o jak po od przez ale za są dla czy oraz",
        "czech": "a v na se je to že s z do o i k by ale po jako jsou pro nebo při",
        "basque": "eta da ez bat du dira ere izan zen bere edo baina dute hau hori egin dituzte batean beste",
        "irish": "an na agus a ar go is i ag le do bhí sé atá leis mar ní tá sin ó den",
        "indonesian": "yang dan di dari untuk dengan ini itu pada tidak adalah dalam ke akan oleh atau juga",
        "turkish": "ve bir bu da de için ile olarak çok daha en gibi olan ne o kadar ama değil sonra var ise",
        "esperanto": "la kaj de en estas ke ne al por kun li ĝi el sed mi pri tiu oni aŭ pli ili",
        "vietnamese": "và của là có không được cho trong một các với người này khi những để từ đã như ở bị",
        "sesotho": "le ho ya ka ha ba ke e mo tsa hore oa ea hae la bona se sa ne tse kapa",
        "serbian": "i u je da se na za su od sa kao koji nije ili što koja ne po kako iz bi",
    },
    "CYRILLIC": {
        "russian": "и в не на что с как это по из для к от за но при у или его все если",
        "ukrainian": "і в не на що з як це та до для у від за або є при про його які якщо",
        "bulgarian": "и на се да от за не са е като че по с при има в или което който това може",
        "serbian": "и у је да се на за су од са као који није или што која не по како из би",
    },
    "DEVANAGARI": {
        "hindi": "के में है की से और का को हैं पर यह कि ने नहीं भी एक जाता होता तो लिए हो",
        "nepali": "छ र को मा हो पनि भएको यो गर्न छन् लागि हुन्छ एक गरेको तथा हुन् छैन यस गर्छ भने ले",
        "marathi": "आहे आणि या हे व मध्ये आहेत ते एक होते असे करून काही होता नाही जाते हा ती येते की तर",
    },
    "ARABIC": {
        "arabic": "في من على إلى أن التي هذا عن مع ما لا هذه كان الذي هو أو هي و ذلك كل لم",
        "persian": "و در به از که این را با است برای آن یک می تا بر های شود کند هم اگر نیست",
        "urdu": "کے کی میں ہے اور سے کا کو اس کہ پر نے ہیں ایک نہیں یہ بھی جو تو کر تھا",
    },
    "HEBREW": {
        "hebrew": "של את על לא הוא עם זה כי או גם היא אם יש כל אבל זו הם אל עד בין אינו",
        "yiddish": "און די דער פון איז צו דאָס מיט ניט אַ אין אויף װאָס נישט האָט זיך אַז ער זי עס",
    },
}


def detected_language(texts: Iterable[str]) -> str:
    """The language most of a sample is written in: by its script and its most frequent function words.

    The first `SAMPLE` texts are looked at, the beginning of each. English where nothing fits.
    """
    sample = [text[:_CHARACTERS] for text in islice(texts, SAMPLE)]
    scripts = _scripts("".join(sample))
    if not scripts:
        return DEFAULT
    kana = scripts.pop("HIRAGANA", 0) + scripts.pop("KATAKANA", 0)
    ideographs = scripts["CJK"]
    scripts["CJK"] = 2 * (ideographs + kana)  # half a word each, and technical terms between them are Latin
    script = scripts.most_common(1)[0][0]
    if script == "CJK" and 10 * kana > ideographs:
        return "japanese"
    if script not in _FUNCTION_WORDS:
        return _SCRIPTS.get(script, DEFAULT)
    words = Counter(word for text in sample for word in folded_words(text))
    shares = {
        language: sum(words[word] for word in set(folded_words(listed)))
        for language, listed in _FUNCTION_WORDS[script].items()
    }
    language = max(shares, key=shares.__getitem__)
    if shares[language] < _LEAST * words.total() and script == "LATIN":
        return DEFAULT
    return language


def _scripts(text: str) -> Counter[str]:
    """How many letters of a text belong to each script, as Unicode names it."""
    scripts: Counter[str] = Counter()
    for character, count in Counter(text).items():
        if character.isalpha():
            scripts[unicodedata.name(character, "").partition(" ")[0]] += count
    return scripts
