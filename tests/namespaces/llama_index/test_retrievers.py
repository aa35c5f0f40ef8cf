"""`LimRankBM25Retriever` and `LimRankLuceneRetriever`: nodes in, the same nodes out, also from disk."""

from __future__ import annotations

import copy
import importlib.util
import json
import pickle
import re
import shutil
from datetime import date
from typing import Any

import pytest

pytest.importorskip("llama_index.core", reason="needs llama-index-core: pip install 'limrank[llama-index]'")

from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.instrumentation.events.retrieval import RetrievalEndEvent, RetrievalStartEvent
from llama_index.core.schema import (
    BaseNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeRelationship,
    QueryBundle,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)
from llama_index.retrievers.limrank import LimRankBM25Retriever, LimRankLuceneRetriever

from limrank_plugins.data import Document
from limrank_plugins.retrievers import build_retriever

QUERY = "Why does acid curdle milk?"
lucene = pytest.mark.skipif(
    importlib.util.find_spec("pyserini") is None or shutil.which("java") is None,
    reason="needs pyserini and a Java runtime: pip install 'limrank[pyserini]'",
)
KINDS = [
    LimRankBM25Retriever,
    pytest.param(LimRankLuceneRetriever, marks=[pytest.mark.lucene, lucene]),
]


def corpus() -> list[BaseNode]:
    """Nodes of several kinds; two of them match, the last one by its metadata."""
    related = {
        NodeRelationship.SOURCE: RelatedNodeInfo(node_id="book", metadata={"title": "Milk"}),
        NodeRelationship.CHILD: [RelatedNodeInfo(node_id="c1"), RelatedNodeInfo(node_id="c2")],
    }
    return [
        TextNode(
            id_="acid",
            text="Acid curdles milk, because casein clumps.",
            metadata={"page": 3, "tags": ["a", "b"]},
            relationships=related,
            excluded_llm_metadata_keys=["page"],
            start_char_idx=10,
            end_char_idx=51,
            embedding=[0.5, 1.0],
        ),
        TextNode(id_="bread", text="Bread rises by yeast."),
        IndexNode(id_="index", text="Tea is grown on hills.", index_id="tea"),
        Node(
            id_="meta",
            text_resource=MediaResource(text="About cows."),
            metadata={"title": "milk", "secret": "curdle"},
            excluded_embed_metadata_keys=["secret"],
        ),
    ]


def texts(found: list[Any]) -> list[str]:
    return [node.node.node_id for node in found]


@pytest.mark.parametrize("kind", KINDS)
def test_finds_whole_nodes_by_text_with_embedding_metadata(kind: Any) -> None:
    nodes = corpus()
    found = kind.from_defaults(nodes=nodes, similarity_top_k=10).retrieve(QUERY)
    assert texts(found) == ["acid", "meta"]
    assert [node.node for node in found] == [nodes[0], nodes[3]]
    assert all(type(node.score) is float and node.score > 0 for node in found)
    hidden = kind.from_defaults(nodes=nodes, similarity_top_k=10).retrieve("curdle")
    assert texts(hidden) == ["acid"]  # 'secret' is not part of the text that is embedded


def test_scores_are_the_first_stages_own() -> None:
    nodes = corpus()
    found = LimRankBM25Retriever.from_defaults(nodes=nodes, similarity_top_k=10, k1=1.5, b=0.75).retrieve(
        QUERY
    )
    plain = build_retriever(
        "bm25s", [Document(n.get_content(metadata_mode=MetadataMode.EMBED)) for n in nodes], k1=1.5, b=0.75
    )
    assert [node.score for node in found] == [document.prior for document in plain.search(QUERY)]


def test_exactly_one_source_of_nodes() -> None:
    nodes = corpus()[:2]
    store = SimpleDocumentStore()
    store.add_documents(nodes)
    index = VectorStoreIndex(nodes, embed_model=MockEmbedding(embed_dim=2))
    for source in ({"nodes": nodes}, {"docstore": store}, {"index": index}):
        found = LimRankBM25Retriever.from_defaults(**source).retrieve(QUERY)
        assert texts(found) == ["acid"]
        assert found[0].node.relationships == nodes[0].relationships
    for wrong in (
        {},
        {"nodes": nodes, "docstore": store},
        {"nodes": nodes, "docstore": store, "index": index},
    ):
        with pytest.raises(ValueError, match="exactly one of index, nodes and docstore"):
            LimRankBM25Retriever.from_defaults(**wrong)


def test_a_source_without_nodes_is_named() -> None:
    empty = VectorStoreIndex([], embed_model=MockEmbedding(embed_dim=2))
    for name, source in (("nodes", []), ("docstore", SimpleDocumentStore()), ("index", empty)):
        with pytest.raises(ValueError, match=f"{name} holds no nodes"):
            LimRankBM25Retriever.from_defaults(**{name: source})


def test_a_small_corpus_does_not_change_top_k() -> None:
    retriever = LimRankBM25Retriever.from_defaults(nodes=corpus(), similarity_top_k=50)
    assert len(retriever) == 4
    assert len(retriever.retrieve("milk bread tea acid")) == 4
    assert retriever.similarity_top_k == 50
    retriever.similarity_top_k = 1
    assert texts(retriever.retrieve(QUERY)) == ["acid"]
    for wrong in (0, -1, True, 1.5):
        with pytest.raises(
            ValueError, match=re.escape(f"similarity_top_k must be a whole number > 0, but got {wrong!r}")
        ):
            retriever.similarity_top_k = wrong
    assert LimRankBM25Retriever.from_defaults(nodes=corpus()).similarity_top_k == 2


def test_the_language_reaches_queries_too() -> None:
    nodes = [TextNode(id_="of", text="Die Milch gerinnt."), TextNode(id_="the", text="Der Tee und das Brot.")]
    german = LimRankBM25Retriever.from_defaults(
        nodes=nodes, similarity_top_k=9, stopwords="german", stemmer="german"
    )
    assert texts(german.retrieve("das gerinnen der Milch")) == ["of"]
    with pytest.raises(ValueError, match="klingon"):
        LimRankBM25Retriever.from_defaults(nodes=nodes, stemmer="klingon")


def test_the_language_is_kept_and_checked(tmp_path: Any) -> None:
    nodes = [TextNode(id_="h", text="Die Häuser der Altstadt."), TextNode(id_="f", text="Der Fluss.")]
    for language in ("german", "auto"):
        german = LimRankBM25Retriever.from_defaults(nodes=nodes, language=language)
        assert texts(german.retrieve("ein Haus")) == ["h"]
    german.persist(tmp_path / "i")
    assert texts(LimRankBM25Retriever.from_persist_dir(tmp_path / "i").retrieve("ein Haus")) == ["h"]
    assert len(LimRankBM25Retriever.from_persist_dir(tmp_path / "i", language="de", mmap=True)) == 2
    with pytest.raises(ValueError, match="holds words of german, but french was asked for"):
        LimRankBM25Retriever.from_persist_dir(tmp_path / "i", language="fr")
    with pytest.raises(ValueError, match="language 'klingon' is not known"):
        LimRankBM25Retriever.from_defaults(nodes=nodes, language="klingon")


def pages(*numbers: int, **metadata: Any) -> list[BaseNode]:
    return [
        TextNode(id_=f"p{n}", text=f"milk {'tea ' * n}", metadata={"page": n, **metadata}) for n in numbers
    ]


def where(key: str, value: Any, operator: str = "==") -> MetadataFilter:
    return MetadataFilter(key=key, value=value, operator=FilterOperator(operator))


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ([where("page", 2)], ["p2"]),
        ([where("page", 2, ">=")], ["p2", "p3", "p4"]),
        ([where("page", 2, ">="), where("page", 4, "!=")], ["p2", "p3"]),
        ([where("page", [1, 4], "in")], ["p1", "p4"]),
        ([where("kind", "book"), where("page", 9)], []),
        ([where("none", "x")], []),
        ([], ["p1", "p2", "p3", "p4"]),
    ],
)
def test_filters_choose_by_metadata(filters: Any, found: list[str]) -> None:
    retriever = LimRankBM25Retriever.from_defaults(
        nodes=pages(1, 2, 3, 4, kind="book"), similarity_top_k=9, filters=MetadataFilters(filters=filters)
    )
    assert sorted(texts(retriever.retrieve("milk"))) == found
    retriever.filters = None
    assert len(retriever.retrieve("milk")) == 4


def test_filters_join_and_nest_as_their_condition_says() -> None:
    retriever = LimRankBM25Retriever.from_defaults(nodes=pages(1, 2, 3, 4), similarity_top_k=9)
    one, two = where("page", 1), where("page", 2)
    for condition, found in (("and", []), ("or", ["p1", "p2"]), ("not", ["p3", "p4"])):
        joined = MetadataFilters(filters=[one, two], condition=FilterCondition(condition))
        retriever.filters = joined
        assert sorted(texts(retriever.retrieve("milk"))) == found
        retriever.filters = MetadataFilters(filters=[joined, where("page", 4, "<")])
        assert sorted(texts(retriever.retrieve("milk"))) == [name for name in found if name != "p4"]


def test_a_filter_looks_as_deep_as_it_must() -> None:
    nodes = pages(*range(1, 400))
    retriever = LimRankBM25Retriever.from_defaults(
        nodes=nodes, similarity_top_k=2, filters=MetadataFilters(filters=[where("page", 397, ">")])
    )
    unfiltered = LimRankBM25Retriever.from_defaults(nodes=nodes, similarity_top_k=399).retrieve("milk")
    assert sorted(texts(unfiltered)[-2:]) == ["p398", "p399"]  # the longest come last
    assert retriever.retrieve("milk") == unfiltered[-2:]


def test_filters_survive_the_folder_and_what_cannot_be_compared_is_said(tmp_path: Any) -> None:
    LimRankBM25Retriever.from_defaults(nodes=pages(1, 2)).persist(tmp_path / "i")
    filters = MetadataFilters(filters=[where("page", 1, ">")])
    opened = LimRankBM25Retriever.from_persist_dir(tmp_path / "i", filters=filters, mmap=True)
    assert texts(opened.retrieve("milk")) == ["p2"]
    opened.filters = MetadataFilters(filters=[where("page", "x", ">")])
    with pytest.raises(ValueError, match="filter 'page' > 'x' does not fit the metadata value"):
        opened.retrieve("milk")


def test_copies_and_pickles_find_the_same(tmp_path: Any) -> None:
    filters = MetadataFilters(filters=[where("page", 1, ">")])
    held = LimRankBM25Retriever.from_defaults(nodes=pages(1, 2, 3), filters=filters, language="german")
    held.persist(tmp_path / "i")
    mapped = LimRankBM25Retriever.from_persist_dir(tmp_path / "i", filters=filters, mmap=True)
    for retriever in (held, mapped):
        for again in (copy.deepcopy(retriever), copy.copy(retriever), pickle.loads(pickle.dumps(retriever))):
            assert again.retrieve("milk") == retriever.retrieve("milk")
            again.similarity_top_k, again.filters = 1, None
            assert (retriever.similarity_top_k, retriever.filters) == (2, filters)


def test_words_that_are_nowhere_find_nothing() -> None:
    assert LimRankBM25Retriever.from_defaults(nodes=corpus()).retrieve("zeppelin") == []
    assert LimRankBM25Retriever.from_defaults(nodes=[TextNode(text="")]).retrieve(QUERY) == []
    with pytest.raises(ValueError, match="query is empty"):
        LimRankBM25Retriever.from_defaults(nodes=corpus()).retrieve(" ")


def test_repeated_node_ids_and_objects_behind_index_nodes() -> None:
    behind = TextNode(id_="behind", text="What stands behind.")
    nodes = [TextNode(id_="x", text="milk"), TextNode(id_="x", text="milk milk")]
    nodes.append(IndexNode(id_="i", text="milk", index_id="tea", obj=behind))
    found = LimRankBM25Retriever.from_defaults(nodes=nodes, similarity_top_k=3).retrieve("milk")
    assert sorted(texts(found)) == ["behind", "x"]  # LlamaIndex drops repeated ids and follows objects
    mapped = [IndexNode(id_="i", text="milk", index_id="tea")]
    found = LimRankBM25Retriever.from_defaults(nodes=mapped, object_map={"tea": behind}).retrieve("milk")
    assert texts(found) == ["behind"]


# ---- disk -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_nodes_survive_being_persisted(kind: Any, tmp_path: Any) -> None:
    nodes = corpus()
    first = kind.from_defaults(nodes=nodes, similarity_top_k=10)
    first.persist(tmp_path / "index")
    again = kind.from_persist_dir(tmp_path / "index", similarity_top_k=10)
    found = again.retrieve(f"{QUERY} bread tea")
    assert {node.node.node_id: node.node for node in found} == {node.node_id: node for node in nodes}
    assert [type(node.node) for node in sorted(found, key=lambda n: n.node.node_id)] == [
        TextNode,
        TextNode,
        IndexNode,
        Node,
    ]
    assert [node.score for node in found] == [node.score for node in first.retrieve(f"{QUERY} bread tea")]


def test_an_index_can_stay_on_disk_and_be_written_again(tmp_path: Any) -> None:
    LimRankBM25Retriever.from_defaults(nodes=corpus()).persist(tmp_path / "one")
    mapped = LimRankBM25Retriever.from_persist_dir(tmp_path / "one", mmap=True)
    mapped.persist(tmp_path / "two")
    for place in ("one", "two"):
        found = LimRankBM25Retriever.from_persist_dir(tmp_path / place).retrieve(QUERY)
        assert found == mapped.retrieve(QUERY)


def test_what_cannot_be_persisted_or_opened(tmp_path: Any) -> None:
    dated = [TextNode(text="milk", metadata={"day": date(2026, 1, 1)})]
    with pytest.raises(ValueError, match="cannot be saved as JSON"):
        LimRankBM25Retriever.from_defaults(nodes=dated).persist(tmp_path / "dated")
    assert not (tmp_path / "dated").exists()
    with pytest.raises(ValueError, match="no index at"):
        LimRankBM25Retriever.from_persist_dir(tmp_path / "nowhere")
    build_retriever("bm25s", ["Acid curdles milk."]).save(tmp_path / "plain")
    with pytest.raises(ValueError, match="carries no node"):
        LimRankBM25Retriever.from_persist_dir(tmp_path / "plain").retrieve(QUERY)
    manifest = tmp_path / "plain" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"kind": "lucene"}))
    with pytest.raises(ValueError, match="kind 'lucene'"):
        LimRankBM25Retriever.from_persist_dir(tmp_path / "plain")


# ---- async and observers ----------------------------------------------------------------------------


async def test_searching_does_not_block_the_event_loop(gate_class: Any) -> None:
    gate = gate_class()
    retriever = LimRankBM25Retriever.from_defaults(nodes=corpus())
    inner = retriever._retriever

    class Slow:
        def search(self, query: str, k: int) -> list[Document]:
            gate.wait()
            return inner.search(query, k)

    retriever._retriever = Slow()  # type: ignore[assignment]
    assert texts(await retriever.aretrieve(QUERY)) == ["acid", "meta"]


@pytest.mark.parametrize("path", ["sync", "async"])
async def test_events_and_spans(path: str, observed: Any) -> None:
    retriever = LimRankBM25Retriever.from_defaults(nodes=corpus())
    query = QueryBundle(QUERY)
    found = await retriever.aretrieve(query) if path == "async" else retriever.retrieve(query)
    start, end = [e for e in observed.events if isinstance(e, RetrievalStartEvent | RetrievalEndEvent)]
    assert (start.str_or_query_bundle, end.nodes) == (query, found)
    outer = "LimRankBM25Retriever.aretrieve" if path == "async" else "LimRankBM25Retriever.retrieve"
    assert [id_.rsplit("-", 5)[0] for id_ in observed.entered] == [outer, "LimRankBM25Retriever._retrieve"]
    assert sorted(observed.left) == sorted(observed.entered)


def test_lucene_without_pyserini_says_how_to_get_it() -> None:
    if importlib.util.find_spec("pyserini") is not None:
        pytest.skip("pyserini is installed here")
    with pytest.raises(ImportError, match=r"pip install 'limrank\[pyserini\]'"):
        LimRankLuceneRetriever.from_defaults(nodes=corpus())
