"""BM25 by the library bm25s, the default first stage: numpy only, memory-mapped where asked.

Lucene's formula without its rounding of lengths: for a query term t that comes f times in a document
of length d (average a) and is in n of N documents,

    score += ln(1 + (N - n + .5) / (n + .5)) · f / (f + k1 · (1 - b + b · d / a))

The terms that every document lacks are ignored, repeated query terms count repeatedly, unless the query is
weighted by BM25 as well: `limrank_plugins.retrievers.query_weighting`.
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, Self

import numpy as np

from limrank_plugins.checks import check_options
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import InputError
from limrank_plugins.files import DAMAGE
from limrank_plugins.retrievers import (
    DEFAULT_B,
    DEFAULT_K1,
    best,
    check_bm25,
    check_k,
    each_document,
    query_text,
    with_scores,
)
from limrank_plugins.retrievers.analysis import (
    LANGUAGES_OWN,
    TOKEN_PATTERN,
    Analyzer,
    analyzed_language,
    check_language,
    check_words,
    library,
)
from limrank_plugins.retrievers.folder import (
    ImmutableIndex,
    check_numbers,
    corrupt,
    new_folder,
    read_array,
    read_corpus,
    read_manifest,
)
from limrank_plugins.retrievers.languages import AUTO, DEFAULT, SAMPLE
from limrank_plugins.retrievers.lucene_analysis import LuceneAnalyzer
from limrank_plugins.retrievers.postings import Postings
from limrank_plugins.retrievers.query_weighting import WEIGHTINGS, check_weighting, weighted_scores

_INDEX = "bm25s"
_WEIGHTS, _PLACES, _STARTS = (f"{name}.csc.index.npy" for name in ("data", "indices", "indptr"))


class BM25sRetriever(ImmutableIndex):
    """See `Retriever`. Make one with `build` or `load`.

    What the library does otherwise, and this does not: it raises for `k` above the corpus size and
    for a corpus without any term, returns documents of score 0, and orders equal scores by chance.
    """

    name = "bm25s"

    def __init__(
        self,
        corpus: Sequence[Document],
        index: Any,
        analyzer: Analyzer | LuceneAnalyzer,
        *,
        k1: float,
        b: float,
        query_weighting: str = "count",
        average: float = 0.0,
    ) -> None:
        self._corpus = corpus
        self._index = index  # None where no document has any term
        self.analyzer = analyzer
        self.k1 = k1
        self.b = b
        self.query_weighting = query_weighting
        self._average = average  # length of a document in terms, which the library does not keep

    @classmethod
    def build(
        cls,
        documents: Iterable[str | Document],
        *,
        k1: float = DEFAULT_K1,
        b: float = DEFAULT_B,
        language: str = DEFAULT,
        stopwords: str | Iterable[str] | None = LANGUAGES_OWN,
        stemmer: str | None = LANGUAGES_OWN,
        token_pattern: str = TOKEN_PATTERN,
        analysis: str = "snowball",
        query_weighting: str = "count",
    ) -> Self:
        r"""Index a corpus.

        Args:
            documents: what can be found; their `prior` is not kept.
            k1: how slowly a term's repetitions saturate, at least 0; default .9.
            b: how much long documents are held back, in [0, 1]; default .4.
            language: decides about stop words and stemmer: a name (`"german"`) or code (`"de"`); or `"auto"`,
                see `languages.detected_language`; default English.
            stopwords: see `Analyzer`; default: the language's, in English 33 words.
            stemmer: a Snowball algorithm or None; default: the language's.
            token_pattern: see `Analyzer`; the default drops words of one letter ("C", "R"), as the
                library's does; `r"(?u)\b\w+\b"` keeps them.
            analysis: `"snowball"`, or `"lucene"` for Lucene's words (`LuceneAnalyzer`), which are English
                and have none of the four options before.
            query_weighting: `"count"`: a term counts as often as it comes in the query; or `"bm25"`, as on
                BRIGHT's leaderboard: `limrank_plugins.retrievers.query_weighting`.

        Raises:
            InputError: no documents, repeated identifiers, or an option that cannot be used.
            MissingExtra: Lucene's words without pyserini or Java.
        """
        check_bm25(k1, b)
        check_weighting(query_weighting)
        coming = each_document(documents)
        analyzer, coming = _analyzer(analysis, stopwords, stemmer, token_pattern, language, coming)
        vocabulary: dict[str, int] = {}
        postings = Postings(analyzer.numbering(vocabulary))
        corpus = list(postings.counted(coming))
        return cls(
            corpus,
            _index(postings, vocabulary, float(k1), float(b)),
            analyzer,
            k1=float(k1),
            b=float(b),
            query_weighting=query_weighting,
            average=postings.average,
        )

    @classmethod
    def build_saved(
        cls, documents: Iterable[str | Document], folder: str | os.PathLike[str], **options: Any
    ) -> Self:
        """Index a corpus into a folder and open it there, mapped: of its texts, one is in memory at a time.

        Args:
            documents: as for `build`.
            folder: as for `save`.
            options: those of `build`.

        Raises:
            InputError: as for `build` and `save`.
            MissingExtra: as for `build`.
        """
        check_options(f"retriever {cls.name!r}", cls.build, documents, **options)
        usual = {name: option.default for name, option in inspect.signature(cls.build).parameters.items()}
        chosen = {**usual, **options}
        k1, b, weighting = chosen["k1"], chosen["b"], check_weighting(chosen["query_weighting"])
        check_bm25(k1, b)
        names = ("analysis", "stopwords", "stemmer", "token_pattern", "language")
        words = {name: chosen[name] for name in names}
        analyzer, coming = _analyzer(documents=each_document(documents), **words)
        vocabulary: dict[str, int] = {}
        postings = Postings(analyzer.numbering(vocabulary))
        parameters: dict[str, Any] = {}
        with new_folder(folder, cls.name, postings.counted(coming), parameters) as place:
            index = _index(postings, vocabulary, float(k1), float(b))
            built = cls((), index, analyzer, k1=k1, b=b, query_weighting=weighting, average=postings.average)
            built._write(place, parameters)
        del postings, index, built
        return cls.load(folder, mmap=True)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], *, mmap: bool = False, language: str | None = None) -> Self:
        """Open what `save` wrote; with `mmap`, index and texts stay on disk until they are needed.

        Args:
            folder: the index.
            mmap: see above.
            language: what its words must be of; default: whatever they are.

        Raises:
            InputError: the folder is not there, of another kind, incomplete or corrupt, of another language,
                or its words were found by another version's analysis.
        """
        manifest = read_manifest(folder, cls.name)
        check_words(manifest.parameters, str(folder))
        corpus = read_corpus(folder, manifest.count, lazily=mmap)
        place = Path(folder) / _INDEX
        try:
            parameters = manifest.parameters
            k1, b, empty = float(parameters["k1"]), float(parameters["b"]), bool(parameters["empty"])
            check_bm25(k1, b)
            lucene = parameters.get("analysis") == "lucene"
            analyzer: Analyzer | LuceneAnalyzer = LuceneAnalyzer() if lucene else Analyzer.saved(parameters)
            # Indexes of before have neither, and count.
            weighting = parameters.get("query_weighting", "count")
            average = float(parameters.get("average_length", 0))
            if weighting not in WEIGHTINGS or (
                weighting == "bm25" and not empty and not 0 < average < math.inf
            ):
                raise ValueError(f"query_weighting {weighting!r} with an average length of {average}")
            index = None if empty else library().BM25.load(place, mmap=mmap, show_progress=False)
        except (OSError, EOFError, *DAMAGE) as error:
            raise corrupt(place, error) from error
        if index is not None:
            _check(place, index, manifest.count)
        check_language(language, analyzer, folder)
        retriever = cls(corpus, index, analyzer, k1=k1, b=b, query_weighting=weighting, average=average)
        retriever.opened = (os.path.abspath(folder), {"mmap": True}) if mmap else None
        return retriever

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the index, whole or not at all; see `Retriever.save`."""
        parameters: dict[str, Any] = {}
        with new_folder(folder, self.name, self._corpus, parameters) as place:
            self._write(place, parameters)

    def _write(self, place: Path, parameters: dict[str, Any]) -> None:
        """Into the folder what comes to the documents, and into the manifest's parameters what is known."""
        parameters |= {"k1": self.k1, "b": self.b, "empty": self._index is None, **self.analyzer.parameters}
        parameters |= {"query_weighting": self.query_weighting, "average_length": self._average}
        parameters["bm25s"] = library().__version__
        if self._index is not None:
            self._index.save(place / _INDEX, show_progress=False)

    @property
    def language(self) -> str:
        """What its words are of."""
        return self.analyzer.language

    def search(self, query: str | Query, k: int = 100) -> list[Document]:
        """The best documents, best first; see `Retriever.search`."""
        depth, text = check_k(k), query_text(query)
        if self._index is None:
            return []
        numbers = self._index.get_tokens_ids(self.analyzer.terms(text))
        if not numbers:
            return []
        scores = self._scores(numbers)
        return with_scores(self._corpus, best(scores, depth, np.flatnonzero(scores > 0)))

    def search_many(self, queries: Sequence[str | Query], k: int = 100) -> list[list[Document]]:
        """`search` for each query."""
        return [self.search(query, k) for query in queries]

    def _scores(self, numbers: list[int]) -> Any:
        if self.opened is not None:
            self._check_postings(Path(self.opened[0]) / _INDEX, numbers)
        if self.query_weighting == "count":
            return self._index.get_scores_from_ids(numbers)
        return weighted_scores(self._index.scores, numbers, len(self._corpus), self._average, self.k1, self.b)

    def _check_postings(self, place: Path, numbers: Iterable[int]) -> None:
        """What stays on disk was not read when it was opened: what is scored with is looked at now."""
        matrix = self._index.scores
        for number in set(numbers):
            postings = slice(int(matrix["indptr"][number]), int(matrix["indptr"][number + 1]))
            check_numbers(place / _WEIGHTS, np.asarray(matrix["data"][postings]))
            check_numbers(place / _PLACES, np.asarray(matrix["indices"][postings]), most=len(self) - 1)

    def __len__(self) -> int:
        return len(self._corpus)


def _analyzer(
    analysis: str,
    stopwords: str | Iterable[str] | None,
    stemmer: str | None,
    token_pattern: str,
    language: str,
    documents: Iterator[Document],
) -> tuple[Analyzer | LuceneAnalyzer, Iterator[Document]]:
    """The analyzer, and the documents, of which some may have been looked at for their language."""
    if analysis == "snowball":
        sample = list(islice(documents, SAMPLE)) if language == AUTO else []
        analyzer = Analyzer(stopwords, stemmer, token_pattern, language=analyzed_language(language, sample))
        return analyzer, chain(sample, documents)
    if analysis != "lucene":
        raise InputError(f"analysis must be 'snowball' or 'lucene', but is {analysis!r}")
    if language != DEFAULT:
        raise InputError(
            f"Lucene's words are English, but language is {language!r}: leave it out, or take "
            "analysis='snowball' (on the command line: --retriever bm25s)"
        )
    usual = (LANGUAGES_OWN, DEFAULT)
    if not (stopwords in usual and stemmer in usual and token_pattern == TOKEN_PATTERN):
        raise InputError("Lucene's words have no options: leave out stopwords, stemmer and token_pattern")
    return LuceneAnalyzer(), documents


def _index(postings: Postings, vocabulary: dict[str, int], k1: float, b: float) -> Any:
    """The library's index, filled; None where no document has any term."""
    if not vocabulary:
        return None
    index = library().BM25(k1=k1, b=b, method="lucene", backend="numpy")
    index.scores = postings.matrix(len(vocabulary), k1, b)
    index.vocab_dict = vocabulary
    index.unique_token_ids_set = set(vocabulary.values())
    index.nonoccurrence_array = None  # only other methods than Lucene's have one
    return index


def _check(place: Path, index: Any, count: int) -> None:
    """The library reads what it finds; a wrong array would score, but wrongly."""
    terms = len(index.vocab_dict)
    starts = read_array(place / _STARTS, index.scores["indptr"].dtype, (terms + 1,))
    size = len(index.scores["data"])
    sound = index.scores["num_docs"] == count and int(starts[0]) == 0 and int(starts[-1]) == size
    sound = sound and len(index.scores["indices"]) == size and not (np.diff(starts) < 0).any()
    if not sound:
        raise corrupt(place, "its files do not fit each other")
    check_numbers(place / _WEIGHTS, index.scores["data"])
    check_numbers(place / _PLACES, index.scores["indices"], most=count - 1)
