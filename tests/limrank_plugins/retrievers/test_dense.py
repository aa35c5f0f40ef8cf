"""Exact search: the cosines written out, whatever the backend, and never a failure as a number."""

from __future__ import annotations

import inspect
import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from bm25_reference import PASSAGES, WORDS
from hypothesis import given
from hypothesis import strategies as st

from limrank_plugins import AsyncScriptedBackend, Document, ScriptedBackend, ScriptedFailure
from limrank_plugins.backends import backend_class
from limrank_plugins.backends.protocols import Embedded, Encode
from limrank_plugins.errors import BackendError, CapabilityError, InputError
from limrank_plugins.retrievers import dense, embedding, encoders
from limrank_plugins.retrievers.dense import DenseRetriever


def counts(text: str, role: str = "passage") -> list[float]:
    """How often each word comes: a vector that can be checked by hand."""
    words = text.split(" ")
    return [float(words.count(word)) for word in WORDS]


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0


def backend() -> ScriptedBackend:
    return ScriptedBackend(encode=counts, identity="counts")


corpora = st.lists(st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join), min_size=1, max_size=10)


@given(corpora, st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join))
def test_scores_are_cosines(passages: list[str], query: str) -> None:
    hits = DenseRetriever.build(passages, backend=backend()).search(query)
    assert len(hits) == len(passages)
    for hit in hits:
        assert hit.prior == pytest.approx(cosine(counts(query), counts(hit.text)), abs=1e-6)


@given(corpora, st.randoms(use_true_random=False))
def test_the_order_of_the_corpus_decides_ties_only(passages: list[str], chance: random.Random) -> None:
    documents = [Document(passage, id=f"d{i}") for i, passage in enumerate(passages)]
    shuffled = documents[:]
    chance.shuffle(shuffled)
    one = DenseRetriever.build(documents, backend=backend()).search("acid milk tea")
    other = DenseRetriever.build(shuffled, backend=backend()).search("acid milk tea")
    assert {hit.id: hit.prior for hit in one} == {hit.id: hit.prior for hit in other}
    position = {document.id: i for i, document in enumerate(shuffled)}
    assert [hit.id for hit in other] == sorted(
        position, key=lambda i: (-next(h.prior or 0.0 for h in other if h.id == i), position[i])
    )


def test_equal_passages_have_equal_scores_wherever_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(0)
    table = {f"text {i}": chance.standard_normal(37).tolist() for i in range(50)}
    table["q"] = chance.standard_normal(37).tolist()
    script = ScriptedBackend(encode=lambda text, role: table[text], identity="random")
    documents = [Document(f"text {i % 50}", id=str(i)) for i in range(203)]
    monkeypatch.setattr(dense, "_SEARCHED_AT_ONCE", 64)
    monkeypatch.setattr(embedding, "_ENCODED_AT_ONCE", 7)
    index = DenseRetriever.build(documents, backend=script)
    scores: dict[str, set[float | None]] = {}
    for hit in index.search("q", 1000):
        scores.setdefault(hit.text, set()).add(hit.prior)
    assert len(scores) == 50
    assert all(len(found) == 1 for found in scores.values())
    assert index.search_many(["q", "text 3"], 9) == [index.search("q", 9), index.search("text 3", 9)]


def test_roles_and_progress() -> None:
    script = backend()
    seen: list[tuple[int, int]] = []
    index = DenseRetriever.build(PASSAGES, backend=script, on_progress=lambda *at: seen.append(at))
    index.search("acid")
    assert [getattr(request, "role", None) for request in script.requests] == ["passage"] * 6 + ["query"]
    assert seen == [(6, 6)]


def test_titles_are_embedded_with_the_text() -> None:
    script = backend()
    DenseRetriever.build([Document("milk", title="acid")], backend=script)
    assert [getattr(request, "text", None) for request in script.requests] == ["acid milk"]


def test_a_document_that_cannot_be_embedded_is_named() -> None:
    def script(text: str, role: str) -> list[float]:
        if "tea" in text:
            raise ScriptedFailure("no tea")
        return [math.nan] if "milk" in text else [1.0]

    failing = ScriptedBackend(encode=script, identity="x")
    with pytest.raises(BackendError, match="document 'b' could not be embedded: no tea"):
        DenseRetriever.build([Document("a", id="a"), Document("tea", id="b")], backend=failing)
    with pytest.raises(BackendError, match=r"document '0' could not be embedded: .*not finite"):
        DenseRetriever.build(["milk"], backend=failing)
    with pytest.raises(BackendError, match="query 'tea' could not be embedded"):
        DenseRetriever.build(["a"], backend=failing).search("tea")


def test_backends_that_cannot_be_used() -> None:
    with pytest.raises(CapabilityError, match="is async; DenseRetriever needs a plain one"):
        DenseRetriever.build(PASSAGES, backend=AsyncScriptedBackend(encode=counts))
    with pytest.raises(CapabilityError, match="cannot turn texts into vectors"):
        DenseRetriever.build(PASSAGES, backend=ScriptedBackend(read_labels=lambda prompt: (0.0, 0.0)))


def test_an_async_backend_that_does_not_say_so() -> None:
    class Late(ScriptedBackend):
        def encode(self, requests: object) -> object:  # type: ignore[override]
            async def later() -> list[object]:
                return []

            return later()

    with pytest.raises(CapabilityError, match="is async"):
        DenseRetriever.build(PASSAGES, backend=Late(identity="late"))


def test_vectors_of_another_size() -> None:
    index = DenseRetriever.build(
        PASSAGES, backend=ScriptedBackend(encode=lambda t, r: [1.0, 2.0] if r == "query" else [1.0])
    )
    with pytest.raises(InputError, match="gives 2 dimensions, but the index has 1"):
        index.search("acid")


def test_bad_input() -> None:
    with pytest.raises(InputError, match="the corpus is empty"):
        DenseRetriever.build([], backend=backend())
    index = DenseRetriever.build(PASSAGES, backend=backend())
    with pytest.raises(InputError, match="the query is empty"):
        index.search(" ")
    with pytest.raises(InputError, match="k must be"):
        index.search("acid", 0)
    assert index.search_many([]) == []
    assert len(index) == 6


def test_a_backend_that_was_given_is_not_closed() -> None:
    class Closing(ScriptedBackend):
        closed = 0

        def close(self) -> None:
            self.closed += 1

    script = Closing(encode=counts)
    index = DenseRetriever.build(PASSAGES, backend=script)
    index.close()
    assert script.closed == 0
    owned = DenseRetriever(["x"], np.ones((1, 1), np.float32), script, owns=True)  # type: ignore[list-item]
    owned.close()
    assert script.closed == 1


# ---- by vector ----------------------------------------------------------------------------------


def test_searching_by_the_querys_vector_is_searching_by_the_query() -> None:
    index = DenseRetriever.build(PASSAGES, backend=backend())
    (vector,) = index.query_vectors(["acid milk"])
    assert float(np.linalg.norm(vector)) == pytest.approx(1.0, abs=1e-6)
    assert index.search_vector(vector, 3) == index.search("acid milk", 3)
    doubled = [(hit.id, (hit.prior or 0.0) / 2) for hit in index.search_vector(2 * vector)]
    assert doubled == [(hit.id, hit.prior) for hit in index.search("acid milk")]


def test_stored_vectors_by_identifier(tmp_path: Path) -> None:
    documents = [Document(passage, id=f"d{i}") for i, passage in enumerate(PASSAGES)]
    built = DenseRetriever.build(documents, backend=backend())
    built.save(tmp_path / "index")
    for index in (built, DenseRetriever.load(tmp_path / "index", backend=backend(), mmap=True)):
        found = index.document_vectors(["d2", "d0", "d2"])
        for row, place in zip(found, (2, 0, 2), strict=True):
            counted = np.array(counts(PASSAGES[place]))
            assert row == pytest.approx(counted / max(float(np.linalg.norm(counted)), 1e-9), abs=1e-6)
        assert index.document_vectors([]).shape == (0, len(WORDS))
        with pytest.raises(InputError, match="'d99' is not in this index"):
            index.document_vectors(["d1", "d99"])


def test_vectors_that_cannot_be_searched_for_are_named() -> None:
    index = DenseRetriever.build(PASSAGES, backend=backend())
    with pytest.raises(InputError, match=r"shape \(2,\), but the index has"):
        index.search_vector(np.zeros(2, np.float32))
    with pytest.raises(InputError, match="not finite"):
        index.search_vector(np.full(len(WORDS), np.nan, np.float32))
    with pytest.raises(InputError, match="k must be"):
        index.search_vector(np.zeros(len(WORDS), np.float32), 0)
    with pytest.raises(InputError, match="no queries"):
        index.query_vectors([])
    assert index.search_many([]) == []


def test_documents_that_were_not_read_whole_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Short(ScriptedBackend):
        def encode(self, requests: Sequence[Encode]) -> list[Embedded]:
            return [Embedded(np.ones(2, np.float32), cut_tokens=max(0, len(r.text) - 5)) for r in requests]

    index = DenseRetriever.build(["short", "longer", "the longest"], backend=Short(identity="short"))
    assert index.cut_documents == 2
    assert "2 of 3 documents are longer than the encoder reads" in caplog.text
    index.save(tmp_path / "index")
    assert DenseRetriever.load(tmp_path / "index", backend=Short(identity="short")).cut_documents == 2
    body = json.loads((tmp_path / "index" / "manifest.json").read_bytes())
    del body["parameters"]["cut_documents"]
    (tmp_path / "index" / "manifest.json").write_text(json.dumps(body))
    assert DenseRetriever.load(tmp_path / "index", backend=Short(identity="short")).cut_documents is None


# ---- indexes of strangers ------------------------------------------------------------------------


def saved(folder: Path, **encoder: object) -> Path:
    """An index whose manifest says this about its encoder."""
    DenseRetriever.build(["milk curdles", "bread rises"], backend=backend()).save(folder)
    body = json.loads((folder / "manifest.json").read_bytes())
    body["parameters"] |= {"backend": "encoder", "encoder": {"model": "mini"} | encoder}
    (folder / "manifest.json").write_text(json.dumps(body))
    return folder


@pytest.mark.parametrize("name", ["trust_remote_code", "device", "batch_size", "model_kwargs"])
def test_a_manifest_gives_its_encoder_listed_arguments_only(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"sets '{name}', which no file may set"):
        DenseRetriever.load(saved(tmp_path / "index", **{name: True}))


def test_a_manifest_names_encoders_only(tmp_path: Path) -> None:
    folder = saved(tmp_path / "index")
    body = json.loads((folder / "manifest.json").read_bytes())
    for name in ("transformers", "vllm", "openai", ["encoder"], None):
        body["parameters"]["backend"] = name
        (folder / "manifest.json").write_text(json.dumps(body))
        with pytest.raises(InputError, match="which no index may name"):
            DenseRetriever.load(folder)


@pytest.mark.parametrize(
    ("name", "value"), [("model", 3), ("model", None), ("dtype", {}), ("revision", True)]
)
def test_an_argument_of_another_type_is_a_damaged_manifest(tmp_path: Path, name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"manifest.*encoder's {name}"):
        DenseRetriever.load(saved(tmp_path / "index", **{name: value}))


CODE = """
import pathlib
pathlib.Path({mark!r}).write_text("ran")
from transformers import PretrainedConfig
class Config(PretrainedConfig):
    model_type = "strange"
"""


def test_code_beside_a_model_that_a_manifest_names_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    mark, model = tmp_path / "ran", tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text(
        '{"model_type": "strange", "auto_map": {"AutoConfig": "strange.Config"}}'
    )
    (model / "strange.py").write_text(CODE.format(mark=str(mark)))
    with pytest.raises((InputError, BackendError)):
        DenseRetriever.load(saved(tmp_path / "one", model=str(model)))
    (model / "modules.json").write_text('[{"idx": 0, "name": "0", "path": "", "type": "strange.Config"}]')
    with pytest.raises(BackendError, match=r"names the module 'strange.Config'.*trust_remote_code"):
        DenseRetriever.load(saved(tmp_path / "two", model=str(model)))
    assert not mark.exists()


@pytest.mark.parametrize("name", ["encoder", "multimodal-encoder"])
def test_what_an_encoder_writes_is_what_may_be_read(name: str) -> None:
    source = inspect.getsource(backend_class(name))
    known = encoders.ENCODERS[name]
    assert set(known) <= set(inspect.signature(backend_class(name)).parameters)
    assert all(f'"{argument}": ' in source for argument in known)


def test_equal_passages_are_embedded_once_and_each_counts_as_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Embedded twice in batches of other texts, two vectors could differ by rounding."""
    monkeypatch.setattr(embedding, "_ENCODED_AT_ONCE", 3)
    asked: list[str] = []

    class Encoder:
        name, identity = "drifting", "drifting"

        def encode(self, requests: Sequence[Encode]) -> list[Embedded]:
            asked.extend(request.text for request in requests)
            numbers = range(len(asked) - len(requests), len(asked))
            return [
                Embedded(np.asarray([1.0, 1.0 + number], dtype=np.float32), cut_tokens=len(request.text) > 5)
                for number, request in zip(numbers, requests, strict=True)
            ]

    texts = ["milk", "acid tea", "milk", "acid tea", "bread", "milk", "iron"]
    index = DenseRetriever.build(texts, backend=Encoder())
    assert asked == ["milk", "acid tea", "bread", "iron"]
    assert index.cut_documents == 2
    vectors = index.document_vectors(map(str, range(7)))
    assert (vectors[0] == vectors[2]).all()
    assert (vectors[0] == vectors[5]).all()
    assert (vectors[1] == vectors[3]).all()
    assert len({tuple(vector) for vector in vectors.tolist()}) == 4
