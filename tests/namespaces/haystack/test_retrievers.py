"""The Haystack retrievers: what they find, when they look again, what survives."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
from dataclasses import replace

import pytest

pytest.importorskip("haystack", reason="haystack is not installed: pip install 'limrank[haystack]'")

from haystack import Document, Pipeline
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.document_stores.types import DuplicatePolicy, FilterPolicy
from haystack_integrations.components.retrievers.limrank import LimRankBM25Retriever, LimRankLuceneRetriever
from haystack_integrations.components.retrievers.limrank import index_retriever as core

from limrank_plugins import Document as Passage
from limrank_plugins.retrievers import build_retriever

TEXTS = {
    "milk": "Acid makes the proteins of milk curdle.",
    "bread": "Yeast makes bread rise in the oven.",
    "tea": "Black tea holds tannins and a little acid.",
    "moon": "The moon pulls the oceans and makes tides.",
}
BOTH = [LimRankBM25Retriever, LimRankLuceneRetriever]


def store_of(texts=TEXTS, **fields) -> InMemoryDocumentStore:
    store = InMemoryDocumentStore()
    store.write_documents(
        [Document(id=i, content=t, meta={"kind": i[0]}, **fields) for i, t in texts.items()]
    )
    return store


def ids(documents) -> list[str]:
    return [document.id for document in documents]


async def found(retriever, *args, **inputs) -> list[Document]:
    plain = retriever.run(*args, **inputs)
    assert await retriever.run_async(*args, **inputs) == plain
    return plain["documents"]


# ---- what is found ------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["bm25s", "rank_bm25"])
async def test_finds_by_words_best_first(engine):
    if engine == "rank_bm25":
        pytest.importorskip("rank_bm25", reason="pip install 'limrank[rank-bm25]'")
    documents = await found(LimRankBM25Retriever(store_of(), engine=engine), "acid in milk curdles")
    assert ids(documents)[0] == "milk"
    assert "moon" not in ids(documents), "a document without a matching word is not a result"
    scores = [document.score for document in documents]
    assert scores == sorted(scores, reverse=True)
    assert all(type(score) is float for score in scores)


async def test_scores_and_order_are_those_of_the_retriever_itself():
    own = build_retriever("bm25s", [Passage(text, id=i) for i, text in TEXTS.items()]).search(
        "acid milk tea", 4
    )
    documents = await found(LimRankBM25Retriever(store_of()), "acid milk tea")
    assert [(d.id, d.score) for d in documents] == [(p.id, p.prior) for p in own]


async def test_index_kwargs_reach_the_index():
    options = {"k1": 0.1, "b": 0.0}
    passages = [Passage(text, id=i) for i, text in TEXTS.items()]
    own = build_retriever("bm25s", passages, **options).search("acid milk tea", 4)
    documents = await found(LimRankBM25Retriever(store_of(), index_kwargs=options), "acid milk tea")
    assert [d.score for d in documents] == [p.prior for p in own]
    assert own[0].prior != build_retriever("bm25s", passages).search("acid milk tea", 4)[0].prior


GERMAN = {"h": "Die Häuser der Altstadt.", "f": "Der Fluss und die Berge."}


@pytest.mark.parametrize("engine", ["bm25s", "rank_bm25"])
async def test_the_language_decides_about_stems(engine, tmp_path):
    if engine == "rank_bm25":
        pytest.importorskip("rank_bm25", reason="pip install 'limrank[rank-bm25]'")
    assert await found(LimRankBM25Retriever(store_of(GERMAN), engine=engine), "ein Haus") == []
    for language in ("german", "de", "auto"):
        retriever = LimRankBM25Retriever(store_of(GERMAN), engine=engine, language=language)
        assert ids(await found(retriever, "ein Haus und die")) == ["h"]
        assert ids(await found(LimRankBM25Retriever.from_dict(retriever.to_dict()), "ein Haus")) == ["h"]
    passages = [Passage(text, id=i) for i, text in GERMAN.items()]
    build_retriever(engine, passages, language="german").save(tmp_path / "i")
    for language in (None, "german", "auto"):
        opened = LimRankBM25Retriever(index_path=str(tmp_path / "i"), language=language)
        assert ids(await found(opened, "ein Haus")) == ["h"]
    with pytest.raises(ValueError, match="holds words of german, but english was asked for"):
        LimRankBM25Retriever(index_path=str(tmp_path / "i"), language="english").warm_up()
    with pytest.raises(ValueError, match="language 'klingon' is not known"):
        LimRankBM25Retriever(store_of(), language="klingon")


@pytest.mark.parametrize("query", ["", " \n", "xylophone", "?!"])
async def test_no_known_word_finds_nothing(query):
    assert await found(LimRankBM25Retriever(store_of()), query) == []


async def test_more_than_there_is_is_all_that_matches():
    retriever = LimRankBM25Retriever(store_of(), top_k=1000)
    assert len(await found(retriever, "acid milk tea bread moon")) == 4
    assert retriever.top_k == 1000


async def test_top_k_zero_is_none_and_negative_is_an_error():
    retriever = LimRankBM25Retriever(store_of(), top_k=1)
    assert len(await found(retriever, "makes")) == 1
    assert len(await found(retriever, "makes", top_k=3)) == 3
    assert await found(retriever, "makes", top_k=0) == []
    with pytest.raises(ValueError, match="top_k must be >= 0, but got -1"):
        retriever.run("makes", top_k=-1)
    with pytest.raises(ValueError, match="top_k must be >= 0, but got -1"):
        await retriever.run_async("makes", top_k=-1)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("top_k", [0, -1])
def test_the_initial_top_k_must_be_positive(kind, top_k):
    with pytest.raises(ValueError, match=f"top_k must be > 0, but got {top_k}"):
        kind(store_of(), top_k=top_k)


async def test_an_empty_store_finds_nothing():
    assert await found(LimRankBM25Retriever(InMemoryDocumentStore()), "milk") == []


async def test_documents_without_words_are_no_trouble():
    store = InMemoryDocumentStore()
    store.write_documents([Document(id="a", content=None), Document(id="b", content="?!"), Document(id="c")])
    assert await found(LimRankBM25Retriever(store), "milk") == []


async def test_meta_fields_are_indexed_with_the_content():
    store = InMemoryDocumentStore()
    meta = {"title": "Casein", "none": None, "year": 0}
    store.write_documents([Document(id="a", content="White.", meta=meta), Document(id="b", content="Black.")])
    retriever = LimRankBM25Retriever(store, meta_fields_to_embed=["title", "none", "gone", "year"])
    (document,) = await found(retriever, "casein")
    assert (document.content, document.meta) == ("White.", meta)
    assert await found(LimRankBM25Retriever(store), "casein") == []


async def test_stored_documents_are_not_changed():
    store = store_of(score=0.5)
    before = copy.deepcopy(store.filter_documents())
    for document in await found(LimRankBM25Retriever(store), "makes"):
        document.meta["later"] = "component"
    assert store.filter_documents() == before


# ---- filters --------------------------------------------------------------------------------------------


def kind_is(value: str) -> dict:
    return {"field": "meta.kind", "operator": "==", "value": value}


async def test_filters_are_replaced_or_merged():
    replacing = LimRankBM25Retriever(store_of(), filters=kind_is("b"))
    assert ids(await found(replacing, "makes")) == ["bread"]
    assert ids(await found(replacing, "makes", filters=kind_is("m"))) in (["milk", "moon"], ["moon", "milk"])
    merging = LimRankBM25Retriever(store_of(), filters=kind_is("b"), filter_policy=FilterPolicy.MERGE)
    other = {"field": "meta.other", "operator": "==", "value": 1}
    assert ids(await found(merging, "makes", filters=other)) == []
    assert ids(await found(merging, "makes")) == ["bread"]


@pytest.mark.parametrize("wanted", [1, 3, 50])
async def test_a_filter_that_leaves_little_still_finds_it(wanted):
    """The matching documents stand behind 3,000 better ones: more than the first look takes."""
    texts = {f"a{i}": "milk " * 5 for i in range(3000)} | {
        f"z{i}": "milk and more words here" for i in range(5)
    }
    retriever = LimRankBM25Retriever(store_of(texts), top_k=wanted)
    assert ids(await found(retriever, "milk", filters=kind_is("z"))) == [
        f"z{i}" for i in range(min(wanted, 5))
    ]


# ---- sources, and looking again ---------------------------------------------------------------------------


async def test_new_and_deleted_documents_are_seen():
    store = store_of()
    retriever = LimRankBM25Retriever(store)
    assert ids(await found(retriever, "tides")) == ["moon"]
    store.write_documents([Document(id="sea", content="The sea has tides, tides and tides.")])
    assert set(ids(await found(retriever, "tides"))) == {"sea", "moon"}
    store.delete_documents(["moon"])
    assert ids(await found(retriever, "tides")) == ["sea"]
    store.delete_documents([document.id for document in store.filter_documents()])
    assert await found(retriever, "tides") == []


async def test_as_many_new_documents_as_deleted_ones_are_seen():
    store = store_of()
    retriever = LimRankBM25Retriever(store)
    assert ids(await found(retriever, "tides")) == ["moon"]
    store.delete_documents(["moon"])
    store.write_documents([Document(id="sea", content="The sea has tides.")])
    assert ids(await found(retriever, "tides")) == ["sea"]
    store.write_documents([Document(id="sea", content="Cheese.")], policy=DuplicatePolicy.OVERWRITE)
    assert await found(retriever, "tides") == []
    assert ids(await found(retriever, "cheese")) == ["sea"]
    changed = Document(id="sea", content="Cheese.", meta={"kind": ["soft"]})
    store.write_documents([changed], policy=DuplicatePolicy.OVERWRITE)
    assert (await found(retriever, "cheese"))[0].meta == {"kind": ["soft"]}


class Listed:
    """A document store with nothing but what a retriever needs, unlike the one in memory."""

    def __init__(self, documents: list[Document]) -> None:
        self.documents = documents

    def count_documents(self) -> int:
        return len(self.documents)

    def filter_documents(self, filters=None) -> list[Document]:
        return list(self.documents)

    def to_dict(self):
        return {}


async def test_any_store_is_watched_for_replaced_documents():
    store = Listed([Document(id="old", content="old price list"), Document(id="x", content="bread")])
    retriever = LimRankBM25Retriever(store)
    assert ids(await found(retriever, "price")) == ["old"]
    store.documents[0] = Document(id="new", content="fresh price list")
    assert ids(await found(retriever, "price")) == ["new"]


async def test_replaced_documents_are_seen_after_refresh_where_only_the_number_is_watched():
    store = store_of()
    retriever = LimRankBM25Retriever(store, watch="count")
    retriever.warm_up()
    store.write_documents([Document(id="moon", content="Cheese.")], policy=DuplicatePolicy.OVERWRITE)
    assert ids(await found(retriever, "tides")) == ["moon"]
    retriever.refresh()
    assert ids(await found(retriever, "cheese")) == ["moon"]
    assert await found(retriever, "tides") == []


async def test_an_index_is_built_once(monkeypatch):
    built = []
    monkeypatch.setattr(core, "build_retriever", lambda *a, **k: built.append(1) or build_retriever(*a, **k))
    retriever = LimRankBM25Retriever(store_of())
    retriever.warm_up()
    await retriever.warm_up_async()
    await found(retriever, "milk")
    assert len(built) == 1
    await retriever.close_async()
    retriever.close()
    assert ids(await found(retriever, "tides")) == ["moon"]
    assert len(built) == 2


async def test_an_index_folder_holds_its_own_documents(tmp_path):
    passages = [
        Passage("Acid curdles milk.", id="a", title="Milk", meta={"year": 1}),
        Passage("Bread rises.", id="b", meta={"year": 2}),
    ]
    build_retriever("bm25s", passages).save(tmp_path / "index")
    retriever = LimRankBM25Retriever(index_path=str(tmp_path / "index"))
    (document,) = await found(retriever, "curdled milk")
    assert (document.id, document.content) == ("a", "Acid curdles milk.")
    assert document.meta == {"title": "Milk", "year": 1}
    assert type(document.score) is float
    later = {"field": "meta.year", "operator": ">", "value": 1}
    assert await found(retriever, "milk", filters=later) == []
    assert ids(await found(retriever, "bread", filters=later)) == ["b"]


@pytest.mark.parametrize("kind", BOTH)
def test_exactly_one_source_is_wanted(kind):
    with pytest.raises(ValueError, match="either document_store or index_path"):
        kind()
    with pytest.raises(ValueError, match="either document_store or index_path"):
        kind(store_of(), index_path="here")
    with pytest.raises(TypeError, match="document_store must be a DocumentStore, but got list"):
        kind([Document(content="x")])


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("top_k", [True, "5", 2.0, None])
def test_a_top_k_that_is_no_whole_number_is_refused(kind, top_k):
    with pytest.raises(ValueError, match=f"top_k must be a whole number, but got {top_k!r}"):
        kind(store_of(), top_k=top_k)
    if top_k is not None:
        with pytest.raises(ValueError, match=f"top_k must be a whole number, but got {top_k!r}"):
            kind(store_of()).run("milk", top_k=top_k)


def test_an_unknown_way_to_watch_is_refused():
    with pytest.raises(ValueError, match="watch must be 'documents' or 'count', but got 'time'"):
        LimRankBM25Retriever(store_of(), watch="time")


def test_an_unknown_engine_is_refused_at_once():
    with pytest.raises(ValueError, match="engine must be 'bm25s' or 'rank_bm25', but got 'lucene'"):
        LimRankBM25Retriever(store_of(), engine="lucene")


# ---- async -------------------------------------------------------------------------------------------------


async def test_nothing_blocks_the_event_loop(loop_must_run, monkeypatch):
    """Counting, reading, building and searching each wait for the loop to run."""
    loop_must_run.watch(asyncio.get_running_loop())

    def waiting(function):
        return lambda *args, **kwargs: (loop_must_run(), function(*args, **kwargs))[1]

    store = store_of()
    for name in ("count_documents", "filter_documents"):
        monkeypatch.setattr(store, name, waiting(getattr(store, name)))
    monkeypatch.setattr(core, "build_retriever", waiting(build_retriever))
    monkeypatch.setattr(core.Index, "search", waiting(core.Index.search))
    assert ids((await LimRankBM25Retriever(store).run_async("tides"))["documents"]) == ["moon"]
    assert loop_must_run.calls == 4
    await LimRankBM25Retriever(store).warm_up_async()
    assert loop_must_run.calls == 7


# ---- copies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("searched", [False, True])
async def test_a_retriever_can_be_pickled_and_copied(searched):
    store = InMemoryDocumentStore(shared=False)
    store.write_documents([Document(id=i, content=t) for i, t in TEXTS.items()])
    retriever = LimRankBM25Retriever(store, index_kwargs={"k1": 1.2})
    if searched:
        retriever.run("milk")
    there = pickle.loads(pickle.dumps(retriever))
    assert ids(await found(there, "tides")) == ["moon"]
    assert there.document_store is not store
    for copied in (copy.copy(retriever), copy.deepcopy(retriever)):
        assert copied.document_store is store
        assert ids(await found(copied, "tides")) == ["moon"]
    deep = copy.deepcopy(retriever)
    deep.index_kwargs["k1"] = 0.5
    assert retriever.index_kwargs == there.index_kwargs == {"k1": 1.2}


async def test_a_pickled_retriever_finds_the_shared_store_of_its_process():
    store = store_of()
    there = pickle.loads(pickle.dumps(LimRankBM25Retriever(store)))
    store.delete_documents(["moon"])
    assert await found(there, "tides") == []


async def test_documents_deleted_since_do_not_come_back_with_a_pickle():
    store = store_of()
    data = pickle.dumps(LimRankBM25Retriever(store))
    store.delete_documents([document.id for document in store.filter_documents()])
    assert await found(pickle.loads(data), "tides") == []
    assert store.count_documents() == 0


@pytest.mark.parametrize(
    "travel", [lambda kept: kept, copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))]
)
@pytest.mark.parametrize("shared", [True, False])
async def test_filters_see_deleted_and_new_documents_wherever_the_retriever_went(travel, shared):
    store = InMemoryDocumentStore(shared=shared)
    old = [Document(id="old", content="old price list"), Document(id="other", content="price of bread")]
    store.write_documents([replace(document, meta={"kind": "list"}) for document in old[:1]] + old[1:])
    retriever = LimRankBM25Retriever(store)
    lists = {"field": "meta.kind", "operator": "==", "value": "list"}
    assert ids(await found(retriever, "price", filters=lists)) == ["old"]
    retriever = travel(retriever)
    store = retriever.document_store
    store.delete_documents(["old"])
    store.write_documents([Document(id="new", content="fresh price list", meta={"kind": "list"})])
    assert ids(await found(retriever, "price", filters=lists)) == ["new"]
    assert set(ids(await found(retriever, "price"))) == {"new", "other"}
    store.write_documents(
        [Document(id="new", content="fresh price list", meta={"kind": "none"})],
        policy=DuplicatePolicy.OVERWRITE,
    )
    assert await found(retriever, "price", filters=lists) == []


def test_a_copy_is_a_component_of_its_own():
    pipeline = Pipeline()
    pipeline.add_component("retriever", LimRankBM25Retriever(store_of()))
    for again in (copy.deepcopy(pipeline), pickle.loads(pickle.dumps(pipeline))):
        component = again.get_component("retriever")
        assert component is not pipeline.get_component("retriever")
        assert component.__haystack_input__._component is component
        assert ids(again.run({"retriever": {"query": "tides"}})["retriever"]["documents"]) == ["moon"]


def test_a_store_that_cannot_be_pickled_is_named():
    class Hidden(Listed):
        def to_dict(self):
            raise ValueError("it holds a key")

    with pytest.raises(TypeError, match=r"its Hidden can neither be pickled .* nor described .it holds a"):
        pickle.dumps(LimRankBM25Retriever(Hidden([])))


# ---- serialisation -----------------------------------------------------------------------------------

OTHER = {
    "document_store": InMemoryDocumentStore(index="other", bm25_algorithm="BM25Plus"),
    "filters": kind_is("x"),
    "top_k": 3,
    "filter_policy": FilterPolicy.MERGE,
    "meta_fields_to_embed": ["title"],
    "engine": "rank_bm25",
    "index_kwargs": {"k1": 1.0},
    "watch": "count",
    "language": "german",
}


@pytest.mark.parametrize("yaml", [False, True])
@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("source", ["document_store", "index_path"])
def test_every_parameter_survives_a_round_trip(kind, source, yaml):
    parameters = inspect.signature(kind.__init__).parameters
    values = {name: value for name, value in OTHER.items() if name in parameters}
    if source == "index_path":
        values = values | {"document_store": None, "index_path": "some/folder"}
    assert set(values) | {"index_path"} == set(parameters) - {"self"}
    made = kind(**values)
    assert set(made.to_dict()["init_parameters"]) == set(parameters) - {"self"}
    if yaml:
        pipeline = Pipeline()
        pipeline.add_component("retriever", made)
        again = Pipeline.loads(pipeline.dumps()).get_component("retriever")
    else:
        data = made.to_dict()
        before = copy.deepcopy(data)
        again = kind.from_dict(data)
        assert data == before
    for name, value in values.items():
        if name == "document_store" and value is not None:
            assert again.document_store.to_dict() == value.to_dict()
        else:
            assert getattr(again, name) == value
    assert again.to_dict() == made.to_dict()


def test_a_reloaded_pipeline_finds_what_the_shared_store_holds():
    store = InMemoryDocumentStore(index="test_a_reloaded_pipeline")
    store.write_documents([Document(id="moon", content=TEXTS["moon"])])
    pipeline = Pipeline()
    pipeline.add_component("retriever", LimRankBM25Retriever(store))
    again = Pipeline.loads(pipeline.dumps())
    assert ids(again.run({"retriever": {"query": "tides"}})["retriever"]["documents"]) == ["moon"]


@pytest.mark.parametrize("kind", BOTH)
def test_run_and_run_async_are_twins_and_the_class_is_defined_here(kind):
    assert inspect.signature(kind.run) == inspect.signature(kind.run_async)
    assert kind.__module__.startswith("haystack_integrations.components.retrievers.limrank.")


# ---- lucene -----------------------------------------------------------------------------------------------


@pytest.mark.lucene
async def test_lucene_finds_by_words_best_first():
    pytest.importorskip("pyserini", reason="pip install 'limrank[pyserini]'")
    retriever = LimRankLuceneRetriever(store_of())
    assert ids(await found(retriever, "acid in milk curdles"))[0] == "milk"
    assert ids(await found(retriever, "makes", filters=kind_is("b"))) == ["bread"]


def test_lucene_without_pyserini_says_how_to_get_it():
    try:
        import pyserini  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match=r"pip install 'limrank\[pyserini\]'"):
            LimRankLuceneRetriever(store_of()).warm_up()
    else:
        pytest.skip("pyserini is installed")
