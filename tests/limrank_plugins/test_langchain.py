"""`LimRankCompressor`: LangChain documents in, reranked copies out."""

from __future__ import annotations

import asyncio
import base64
import copy
import logging
import pickle
import subprocess
import sys
import threading
import warnings
from typing import Any

import pytest

pytest.importorskip("langchain_core", reason="needs langchain-core: pip install 'limrank[langchain]'")

from langchain_core.documents import Document
from langchain_core.load import dumps
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from scripts import full_backend, passage_of, reranker

from limrank_plugins import Reranker, ScriptedBackend, ScriptedFailure
from limrank_plugins.errors import LimRankError
from limrank_plugins.langchain import LimRankCompressor

QUERY = "why does milk go lumpy in tea"
KEY = "sk-planted-0123456789"


def relevance(prompt: Any) -> tuple[float, float]:
    text = passage_of(prompt)
    if "bad" in text:
        raise ScriptedFailure("the model said nothing")
    return (2.0, 0.0) if "acid" in text else (0.0, 1.0 + text.count("!"))


def compressor(**options: Any) -> LimRankCompressor:
    backend = ScriptedBackend(read_labels=relevance)
    return LimRankCompressor(reranker=Reranker("limrank", backend=backend, reasoning="none"), **options)


def documents(*texts: str) -> list[Document]:
    return [Document(text, id=f"d{i}", metadata={"page": i}) for i, text in enumerate(texts)]


def test_reranked_copies_carry_score_and_failure() -> None:
    originals = documents("bread!", "bad", "bread", "acid")
    before = [document.model_copy(deep=True) for document in originals]
    reranked = compressor().compress_documents(originals, QUERY)
    assert originals == before
    assert [document.id for document in reranked] == ["d3", "d1", "d2", "d0"]
    scores = [document.metadata["relevance_score"] for document in reranked]
    assert scores == [
        pytest.approx(0.8808, abs=1e-4),
        None,
        pytest.approx(0.2689, abs=1e-4),
        pytest.approx(0.1192, abs=1e-4),
    ]
    assert reranked[0].metadata["page"] == 3
    assert [d.metadata.get("limrank_failure") for d in reranked] == [
        None,
        "the model said nothing",
        None,
        None,
    ]


def test_explanations_and_cuts() -> None:
    compressing = LimRankCompressor(reranker=reranker(), top_n=1)
    reranked = compressing.compress_documents(documents("a", "b"), QUERY)
    assert len(reranked) == 1
    assert reranked[0].metadata["limrank_explanation"].startswith("A thought")
    kept = compressor(threshold=0.5).compress_documents(documents("bread", "acid"), QUERY)
    assert [document.id for document in kept] == ["d1"]
    assert compressor().compress_documents([], QUERY) == []


def test_marks_of_an_earlier_stage_do_not_survive() -> None:
    first = compressor().compress_documents(documents("bad"), QUERY)
    fine = Reranker("limrank", backend=ScriptedBackend(read_labels=lambda p: (1, 0)), reasoning="none")
    second = LimRankCompressor(reranker=fine).compress_documents(first, QUERY)
    assert set(second[0].metadata) == {"page", "relevance_score"}


async def test_async_gives_the_same_natively() -> None:
    originals = documents("bread!", "bad", "bread", "acid")
    for asynchronous in (False, True):
        compressing = LimRankCompressor(reranker=reranker(asynchronous=asynchronous))
        reranked = await compressing.acompress_documents(originals, QUERY)
        assert reranked == await asyncio.to_thread(compressing.compress_documents, originals, QUERY)
    assert await compressor().acompress_documents([], QUERY) == []


async def test_nothing_blocks_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()

    def wait() -> None:
        opened = threading.Event()
        loop.call_soon_threadsafe(opened.set)
        if not opened.wait(20):
            raise AssertionError("the event loop was blocked")

    def loads(model: str, **options: Any) -> ScriptedBackend:
        wait()
        return full_backend(read_labels=lambda prompt: wait() or (1.0, 0.0))

    monkeypatch.setattr("limrank_plugins.arguments.backend_class", lambda name: loads)
    assert len(await LimRankCompressor().acompress_documents(documents("a", "b"), QUERY)) == 2


def test_behind_a_retriever_in_a_chain() -> None:
    class Pages(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            return documents("bread", "acid")

    compressing = compressor(top_n=1)
    chain = {"query": RunnableLambda(str), "documents": Pages()} | RunnableLambda(
        lambda originals: compressing.compress_documents(originals["documents"], originals["query"])
    )
    assert [document.page_content for document in chain.invoke(QUERY)] == ["acid"]


PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(60)).decode()


@pytest.mark.parametrize("path", ["sync", "async"])
@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (Document("x", metadata={"image_base64": "no base64!"}), "base64 cannot be read"),
        (Document("x", metadata={"image_base64": base64.b64encode(b"BM no").decode()}), "must be PNG"),
        (Document("x", metadata={"image_url": "https://example.invalid/a.png?sig=secret"}), "not fetched"),
        (Document("data:image/png;base64,no!"), "base64 cannot be read"),
        (Document(PNG[:80] + "!"), "base64 cannot be read"),
    ],
)
def test_a_broken_image_is_one_failed_document(
    path: str, broken: Document, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    compressing = LimRankCompressor(
        reranker=Reranker("ragvl", backend=ScriptedBackend(read_labels=relevance))
    )
    given = [Document("bread"), broken, Document("acid")]
    if path == "sync":
        found = compressing.compress_documents(given, QUERY)
    else:
        found = asyncio.run(compressing.acompress_documents(given, QUERY))
    assert [document.page_content for document in found] == ["acid", broken.page_content, "bread"]
    assert found[1].metadata["relevance_score"] is None
    assert reason in found[1].metadata["limrank_failure"]
    assert "1 of 3 documents could not be judged" in caplog.text
    assert "secret" not in caplog.text + found[1].metadata["limrank_failure"]


def test_images_are_shown_or_judged_by_their_captions() -> None:
    given = [
        Document("acid", metadata={"image_base64": PNG, "image_mime_type": "image/png"}),
        Document("acid", metadata={"image_url": f"data:image/png;base64,{PNG}"}),
        Document(PNG),
        Document(f"data:image/png;base64,{PNG}"),
    ]
    backend = ScriptedBackend(read_labels=lambda prompt: (float(len(prompt.images)), 0.0))
    LimRankCompressor(reranker=Reranker("ragvl", backend=backend)).compress_documents(given, QUERY)
    assert [len(request.prompt.images) for request in backend.requests] == [1, 1]  # equal ones once
    found = compressor().compress_documents(given, QUERY)
    scores = [document.metadata["relevance_score"] for document in found]
    assert scores[:2] == [pytest.approx(0.8808, abs=1e-4)] * 2
    assert scores[2:] == [None, None]
    assert "no caption" in found[2].metadata["limrank_failure"]


def test_the_model_is_loaded_once_at_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[dict[str, Any]] = []

    def loads(model: str, **options: Any) -> ScriptedBackend:
        built.append({"model": model, **options})
        return full_backend()

    monkeypatch.setattr("limrank_plugins.arguments.backend_class", lambda name: loads)
    compressing = LimRankCompressor(model="m", api_key=KEY, options={"device": "cpu", "samples": 2})
    assert built == []
    for _ in range(2):
        compressing.compress_documents(documents("a"), QUERY)
    assert built == [{"model": "m", "device": "cpu", "api_key": KEY}]


def test_fields_survive_serialisation_and_keys_are_not_told() -> None:
    originals = {
        "recipe": "rank1",
        "model": "m",
        "backend": "openai",
        "top_n": 3,
        "threshold": 0.5,
        "options": {"seed": 1},
    }
    compressing = LimRankCompressor(**originals, api_key=KEY)
    assert compressing.model_dump() == originals
    assert LimRankCompressor.model_validate_json(compressing.model_dump_json()).model_dump() == originals
    assert not [
        text
        for text in (
            repr(compressing),
            str(compressing),
            repr(list(compressing)),
            compressing.model_dump_json(),
        )
        if KEY in text
    ]
    assert set(originals) | {"api_key", "reranker"} == set(LimRankCompressor.model_fields)


def test_a_pickle_has_no_key_and_a_copy_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made = LimRankCompressor(backend="openai", model="m", top_n=3, api_key=KEY)
    data = pickle.dumps(made)
    assert KEY.encode() not in data
    again = pickle.loads(data)
    assert again.api_key is None
    assert again.model_dump() == made.model_dump()
    for copied in (copy.copy(made), copy.deepcopy(made), made.model_copy(deep=True)):
        assert copied.api_key.get_secret_value() == KEY
    assert KEY not in dumps(made)


def test_a_used_compressor_and_one_with_a_ready_reranker_travel() -> None:
    for made in (LimRankCompressor(recipe="prior"), LimRankCompressor(reranker=Reranker("prior"))):
        first = made.compress_documents(documents("bread", "acid"), QUERY)
        for again in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
            assert again.compress_documents(documents("bread", "acid"), QUERY) == first


@pytest.mark.parametrize("path", ["sync", "async"])
@pytest.mark.parametrize("behaviour", ["fails", "raises", "raises ours", "cannot be made"])
def test_a_key_that_a_server_quotes_goes_no_further(
    path: str, behaviour: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Quotes(ScriptedBackend):
        def __init__(self, model: str, api_key: str) -> None:
            if behaviour == "cannot be made":
                raise OSError(f"refused {api_key}")
            super().__init__(read_labels=self.quote)
            self.key = api_key

        def quote(self, prompt: Any) -> tuple[float, float]:
            kinds = {"fails": ScriptedFailure, "raises": RuntimeError, "raises ours": LimRankError}
            raise kinds[behaviour](f"401 Incorrect API key provided: {self.key}")

    monkeypatch.setattr("limrank_plugins.arguments.backend_class", lambda name: Quotes)
    compressing = LimRankCompressor(api_key=KEY, options={"reasoning": "none"})
    caplog.set_level(logging.DEBUG)

    def call() -> list[Document]:
        if path == "async":
            return asyncio.run(compressing.acompress_documents(documents("a"), QUERY))
        return compressing.compress_documents(documents("a"), QUERY)

    if behaviour == "fails":
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            (document,) = call()
        assert document.metadata["limrank_failure"] == "401 Incorrect API key provided: ***"
        shown = repr(document) + repr([str(warning.message) for warning in warned])
    else:
        with pytest.raises(LimRankError, match=r"\*{3}") as caught:
            call()
        logging.getLogger().error("as an application would", exc_info=caught.value)
        shown = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
        assert "***" in caplog.text
    assert KEY not in shown + caplog.text + repr(compressing)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"apikey": KEY}, "apikey"),
        ({"top_n": 0}, "top_n must be"),
        (
            {"recipe": "mini", "threshold": 0.5},
            "threshold=0.5 has no meaning here: .*'mini'",
        ),
        ({"reranker": Reranker("prior"), "threshold": 0.5}, "has no meaning here: scores of recipe 'prior'"),
        ({"recipe": "limrnk"}, "no recipe 'limrnk'"),
        ({"options": {"api_key": KEY}}, "argument of its own"),
        ({"options": {"base_url": f"http://localhost:1/v1?key={KEY}"}}, "OPENAI_BASE_URL"),
        ({"options": {"adaptor": KEY}}, "backend 'transformers' has no such option: .*'adaptor'"),
        ({"options": {"sample": 2}}, "has no such option: .*'sample'"),
        ({"backend": "openai", "options": {"dtype": "x"}}, "backend 'openai' has no such option: .*'dtype'"),
        ({"recipe": "cascade", "options": {"adaptor": "x"}}, "has no such option: .*'adaptor'"),
        ({"options": {"model": "m"}}, "model must be given as an argument of its own"),
        ({"backend": "opanai"}, "there is no backend 'opanai'"),
        ({"options": {"device": "gpu"}}, "device 'gpu' cannot be used here"),
        ({"options": {"device": "cuda:999"}}, "device 'cuda:999' cannot be used here"),
        ({"reranker": reranker(), "model": "m"}, "model: the reranker that was passed"),
    ],
)
def test_values_that_cannot_be_used(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        LimRankCompressor(**wrong)
    assert KEY not in str(caught.value)


def test_without_langchain_one_sentence_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['langchain_core'] = None\n"
        "try: import limrank_plugins.langchain\n"
        "except ImportError as error: sys.exit(str(error))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "pip install 'limrank[langchain]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_misspelt_argument_is_told_with_those_that_there_are():
    with pytest.raises(ValueError, match=r"LimRankCompressor has no argument 'topn'; did you mean top_n\?"):
        LimRankCompressor(topn=3)
