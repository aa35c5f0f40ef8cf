"""BM25 retrievers that keep whole nodes: by bm25s in this process, or by Lucene through pyserini."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Self

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks import CallbackManager
from llama_index.core.constants import DEFAULT_SIMILARITY_TOP_K
from llama_index.core.indices.base import BaseIndex
from llama_index.core.schema import BaseNode, IndexNode, MetadataMode, NodeWithScore, QueryBundle
from llama_index.core.storage.docstore import BaseDocumentStore
from llama_index.core.storage.docstore.utils import doc_to_json, json_to_doc
from llama_index.core.vector_stores import MetadataFilters
from llama_index.retrievers.limrank.filters import node_filter

from limrank_plugins.data import Document
from limrank_plugins.errors import InputError
from limrank_plugins.retrievers import Retriever, build_retriever, check_k, retriever_class
from limrank_plugins.retrievers.filtered import best_matching

_NODE = "llama_index_node"


class LimRankRetriever(BaseRetriever):
    """What both retrievers share. A node is found by its text with embedding metadata, and comes back whole.

    Args:
        retriever: an index over documents that carry nodes; made by `from_defaults` or
            `from_persist_dir`.
        similarity_top_k: how many nodes at most; default 2, LlamaIndex's own.
        filters: which nodes may be found, by their metadata; default: all.
        callback_manager: for legacy observers; default: a new one.
        object_map: what stands behind the index ids of `IndexNode`s.
        objects: `IndexNode`s with their objects.
        verbose: LlamaIndex then says what it retrieves from; default False.

    Raises:
        ValueError: a `similarity_top_k` that is not a whole number > 0.
    """

    kind: ClassVar[str]

    def __init__(
        self,
        retriever: Retriever,
        *,
        similarity_top_k: int = DEFAULT_SIMILARITY_TOP_K,
        filters: MetadataFilters | None = None,
        callback_manager: CallbackManager | None = None,
        object_map: dict[str, Any] | None = None,
        objects: list[IndexNode] | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(callback_manager, object_map, objects, verbose)
        self.similarity_top_k = similarity_top_k
        self.filters = filters
        self._retriever = retriever

    @classmethod
    def from_defaults(
        cls,
        index: BaseIndex[Any] | None = None,
        nodes: Sequence[BaseNode] | None = None,
        docstore: BaseDocumentStore | None = None,
        *,
        similarity_top_k: int = DEFAULT_SIMILARITY_TOP_K,
        filters: MetadataFilters | None = None,
        callback_manager: CallbackManager | None = None,
        object_map: dict[str, Any] | None = None,
        objects: list[IndexNode] | None = None,
        verbose: bool = False,
        **options: Any,
    ) -> Self:
        """Index nodes, given in exactly one of three ways.

        Args:
            index: an index that keeps its nodes in its docstore.
            nodes: the nodes themselves.
            docstore: a docstore with the nodes.
            similarity_top_k: how many nodes at most; default 2.
            filters: see the class.
            callback_manager: see the class.
            object_map: see the class.
            objects: see the class.
            verbose: see the class.
            options: of the index: `k1` (.9) and `b` (.4), and for bm25s `language` (`"german"`, `"de"`, …,
                `"auto"`; default English), `stemmer`, `stopwords` and `token_pattern`.

        Raises:
            ValueError: none or several of the three, no nodes, or an option that cannot be used.
            MissingExtra: pyserini or Java is not installed (Lucene).
        """
        check_k(similarity_top_k, "similarity_top_k")  # before the nodes are indexed
        sources = [name for name, value in _named(index, nodes, docstore) if value is not None]
        if len(sources) != 1:
            raise InputError(f"give exactly one of index, nodes and docstore, but got {sources or 'none'}")
        if nodes is None:
            store = docstore if docstore is not None else index.docstore if index is not None else None
            nodes = [] if store is None else list(store.docs.values())
        if not nodes:
            raise InputError(
                f"{sources[0]} holds no nodes (an index over a vector store that keeps the texts itself has "
                "none in its docstore): pass nodes=…"
            )
        return cls(
            build_retriever(cls.kind, [_document(node) for node in nodes], **options),
            similarity_top_k=similarity_top_k,
            filters=filters,
            callback_manager=callback_manager,
            object_map=object_map,
            objects=objects,
            verbose=verbose,
        )

    def persist(self, path: str | os.PathLike[str]) -> None:
        """Write index and nodes to a folder, whole or not at all; an index that is there is replaced.

        Raises:
            ValueError: the folder holds something else, or a node's metadata is not JSON.
        """
        self._retriever.save(path)

    @classmethod
    def from_persist_dir(
        cls,
        path: str | os.PathLike[str],
        *,
        similarity_top_k: int = DEFAULT_SIMILARITY_TOP_K,
        filters: MetadataFilters | None = None,
        **options: Any,
    ) -> Self:
        """Open what `persist` wrote.

        Args:
            path: the folder.
            similarity_top_k: how many nodes at most; default 2.
            filters: see the class.
            options: of opening the index; for bm25s `mmap=True` leaves index and nodes on disk, and an index
                of another `language` than the one named is an error.

        Raises:
            ValueError: the folder is not there, of another kind, incomplete, corrupt, or an index
                that was made elsewhere and holds no nodes.
        """
        retriever = retriever_class(cls.kind).load(path, **options)
        return cls(retriever, similarity_top_k=similarity_top_k, filters=filters)

    @property
    def similarity_top_k(self) -> int:
        """How many nodes at most. A smaller corpus gives fewer and does not change it."""
        return self._similarity_top_k

    @similarity_top_k.setter
    def similarity_top_k(self, value: int) -> None:
        self._similarity_top_k = check_k(value, "similarity_top_k")

    def __len__(self) -> int:
        return len(self._retriever)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        search = partial(self._search, query_bundle.query_str)
        if self.filters is None or not self.filters.filters:
            return search(self.similarity_top_k)
        matches = node_filter(self.filters)
        return best_matching(search, lambda match: matches(match.node), self.similarity_top_k, len(self))

    def _search(self, query: str, k: int) -> list[NodeWithScore]:
        documents = self._retriever.search(query, k)
        return [NodeWithScore(node=_node(document), score=document.prior) for document in documents]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        # The base class would search on the event loop.
        return await asyncio.to_thread(self._retrieve, query_bundle)


class LimRankBM25Retriever(LimRankRetriever):
    """BM25 by bm25s: numpy only, no Java. The arguments are `LimRankRetriever`'s.

    Example:
        >>> from llama_index.core.schema import TextNode
        >>> from llama_index.retrievers.limrank import LimRankBM25Retriever
        >>> nodes = [TextNode(text="Bread rises."), TextNode(text="Acid curdles milk.")]
        >>> retriever = LimRankBM25Retriever.from_defaults(nodes=nodes, similarity_top_k=10)
        >>> [node.node.text for node in retriever.retrieve("curdled milk")]
        ['Acid curdles milk.']
    """

    kind = "bm25s"


class LimRankLuceneRetriever(LimRankRetriever):
    """BM25 by Lucene, through pyserini and Java. The arguments are `LimRankRetriever`'s."""

    kind = "lucene"


class _NodeMeta(Mapping[str, Any]):
    """A node in a document's `meta`; it is turned into JSON when it is saved, not before."""

    def __init__(self, node: BaseNode) -> None:
        self.node = node

    def __getitem__(self, key: str) -> Any:
        if key != _NODE:
            raise KeyError(key)
        return doc_to_json(self.node)

    def __iter__(self) -> Iterator[str]:
        return iter((_NODE,))

    def __len__(self) -> int:
        return 1


def _document(node: BaseNode) -> Document:
    # Without an id of its own: node ids may repeat, positions do not.
    return Document(node.get_content(metadata_mode=MetadataMode.EMBED), meta=_NodeMeta(node))


def _node(document: Document) -> BaseNode:
    if isinstance(document.meta, _NodeMeta):
        return document.meta.node
    if _NODE not in document.meta:
        raise InputError(
            f"document {document.id!r} of this index carries no node: make the index with from_defaults"
        )
    return json_to_doc(document.meta[_NODE])


def _named(*three: object) -> Iterator[tuple[str, object]]:
    return zip(("index", "nodes", "docstore"), three, strict=True)
