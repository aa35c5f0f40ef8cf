"""`LimRankLuceneRetriever`: BM25 as Anserini and BEIR report it, by pyserini."""

from haystack import component
from haystack_integrations.components.retrievers.limrank.index_retriever import IndexRetriever


@component
class LimRankLuceneRetriever(IndexRetriever):
    """Finds documents by their words with Lucene's BM25 (k1=0.9, b=0.4), through pyserini.

    Needs `pip install 'limrank[pyserini]'`, which brings a Java runtime. The index is built over all
    documents of the store at the first search, and again when they have changed (see `watch`). Or name the
    folder of an index that `limrank index` made (`--retriever lucene`). The arguments are `IndexRetriever`'s.
    """

    engine = "lucene"
