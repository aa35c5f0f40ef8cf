"""Every recipe that a chat model serves, on real weights, through every door: the same ranking everywhere.

The command line asks the model. Library, LlamaIndex and Haystack find the replies in its store, or where a
failure was read from them get them again, which they can only by asking the very same; for one recipe
LlamaIndex and Haystack ask the model, too.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from limrank_plugins import Document, Ranking, Reranker, Store, load_recipe, recipe_names, samples
from limrank_plugins.backends import backend_class
from limrank_plugins.backends.transformers import TransformersBackend
from limrank_plugins.cli import build_app

QUERY = "why does a wooden door stick in summer"
NAMES = ("wood-moisture-move", "door-frozen-car", "wood-grain-shrink")
# One sentence of each: a longer prompt takes longer to read and goes through the same doors.
TEXTS = {
    document.id: next(sentence for sentence in document.text.split(". ") if " door " in sentence)
    for document in samples.documents()
    if document.id in NAMES
}
DOCUMENTS = [Document(TEXTS[name], id=name, prior=1.0 / (i + 1)) for i, name in enumerate(NAMES)]
TOKENS = 6
"""Of reasoning: what 135 million parameters say in more is not what is tested."""
ONE_BY_ONE = [
    "limrank",
    "rank1",
    "monot5",
    "qwen3-reranker",
    "mxbai-rerank",
    "graded",
    "retro",
    "qlm",
    "ragvl",
    "mm-embed",
]
TOGETHER = ["icr", "first:mode=joint", "first", "rankgpt", "insertrank", "reasonrank", "rank-r1", "setwise"]
TOGETHER += ["pairwise", "refrank", "mm-r5", "cascade:first=prior,then=graded", "fuse:parts=prior+qlm"]
TOGETHER += ["vote:of=setwise,times=2", "symmetrise:of=setwise", "tdpart:window=2,cutoff=1", "shared-pivot"]
TOGETHER += ["grouprank"]
OTHERS = {"mini", "cross-encoder", "gliclass", "tildev2", "prior", "rerank-api"}
"""Recipes that no chat model is asked for."""
CAPABILITIES = ("read_labels", "generate", "likelihood", "attend")
every = pytest.mark.parametrize("recipe", ONE_BY_ONE + TOGETHER)
# What small models do: nothing that names a document, or no score. Nothing else may fail.
NAMED = ("the model wrote no ", "the model's completion names no document", "the model spent its budget")


@pytest.fixture(scope="module")
def backend(smollm2: str) -> Iterator[TransformersBackend]:
    made = TransformersBackend(smollm2, device="cpu", dtype="float32")
    yield made
    made.close()


@pytest.fixture
def loaded(backend: TransformersBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every door gets the model that is loaded already: it takes seven seconds of a core to load."""

    def again(model: str, *, device: str | None = None) -> TransformersBackend:
        assert (model, device) == ("smollm2", "cpu")
        return backend

    def kind(name: str) -> Any:
        return again if name == "transformers" else backend_class(name)

    monkeypatch.setattr("limrank_plugins.arguments.backend_class", kind)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus, a query, a first stage's run, and the store of all doors."""
    place = tmp_path_factory.mktemp("doors")
    rows = [json.dumps({"_id": document.id, "text": document.text}) for document in DOCUMENTS]
    (place / "corpus.jsonl").write_text("\n".join(rows) + "\n")
    (place / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": QUERY}) + "\n")
    lines = [f"q Q0 {document.id} {i + 1} {document.prior} b" for i, document in enumerate(DOCUMENTS)]
    (place / "first.run").write_text("\n".join(lines) + "\n")
    return place


def command_line(recipe: str, home: Path) -> dict[str, Any] | None:
    """The record of the run; None where no passage could be judged, which writes none."""
    output = home / f"{recipe.replace(':', '-')}.jsonl"
    said = ["rerank", "-q", home / "queries.jsonl", "-c", home / "corpus.jsonl", "--run", home / "first.run"]
    said += ["-o", output, "--recipe", recipe, "--model", "smollm2", "--backend", "transformers", "--device"]
    said += ["cpu", "--max-reasoning-tokens", TOKENS, "--store", home / "store.db"]
    done = CliRunner().invoke(build_app(), list(map(str, said)))
    if not output.is_file():
        assert done.exit_code == 1, done.output
        assert "none of the 3 documents could be judged" in done.stderr
        return None
    record: dict[str, Any] = json.loads(output.read_text())
    assert done.exit_code == (1 if record["failures"] else 0), done.output
    return record


def remembered(backend: TransformersBackend, monkeypatch: pytest.MonkeyPatch) -> dict[Any, Any]:
    """Every request that the model answers from now on, with its reply."""
    replies: dict[Any, Any] = {}

    def keeping(ask: Any) -> Any:
        def answered(requests: Sequence[Any]) -> Any:
            answers = ask(requests)
            replies.update(zip(requests, answers, strict=True))
            return answers

        return answered

    for capability in CAPABILITIES:
        monkeypatch.setattr(backend, capability, keeping(getattr(backend, capability)))
    return replies


def only(replies: dict[Any, Any], backend: TransformersBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model answers these requests alone, as it did before: writing takes long."""

    def again(requests: Sequence[Any]) -> list[Any]:
        assert set(requests) <= set(replies), "a door asks otherwise than the command line"
        return [replies[request] for request in requests]

    for capability in CAPABILITIES:
        monkeypatch.setattr(backend, capability, again)


def check_ranking(recipe: str, ranking: Ranking) -> None:
    """What holds of any ranking by a real model, whatever it thinks of the passages."""
    assert sorted(ranking.ids) == sorted(NAMES)
    for failure in ranking.failures:
        assert failure.reason.startswith(NAMED), failure
    judged = [hit for hit in ranking if hit.failure is None]
    scores = [hit.score for hit in judged]
    kind = load_recipe(recipe).score_kind
    if kind == "rank":
        assert set(scores) <= {None}
    else:
        assert all(math.isfinite(score) for score in scores)
        assert scores == sorted(scores, reverse=True)
        assert len(set(scores)) > 1 or not scores
    if kind == "probability":
        assert all(0 < score < 1 for score in scores)
    if recipe == "graded":
        assert all(0 < score < 4 for score in scores)
    if recipe in (written := {"retro": 100, "grouprank": 10}):  # a passage may have no grade of its own
        assert all(0 <= score <= written[recipe] for score in scores)
    else:
        assert len(judged) in (0, len(NAMES))
    if recipe in ("limrank", "rank1", "retro"):
        assert all(hit.explanation for hit in ranking)


def check_nodes(found: Any, expected: Ranking) -> None:
    """LlamaIndex's nodes say what the library's ranking says."""
    assert [node.node.node_id for node in found] == expected.ids
    assert {node.node.node_id: node.score for node in found} == scores_of(expected)
    for key, wanted in (
        ("limrank_failure", failures_of(expected)),
        ("limrank_explanation", said_in(expected)),
    ):
        told = {node.node.node_id: node.node.metadata.get(key) for node in found}
        assert {name: text for name, text in told.items() if text is not None} == wanted


def check_documents(found: dict[str, Any], expected: Ranking) -> None:
    """Haystack's documents say what the library's ranking says."""
    assert [document.id for document in found["documents"]] == expected.ids
    assert {document.id: document.score for document in found["documents"]} == scores_of(expected)
    told = {failure["id"]: failure["reason"] for failure in found["meta"]["failures"]}
    assert told == failures_of(expected)
    explanations = {name: text for name, text in found["meta"]["explanations"].items() if text}
    assert explanations == said_in(expected)


def scores_of(ranking: Ranking, within: float = 1e-6) -> Any:
    return pytest.approx({hit.id: hit.score for hit in ranking}, abs=within)


def failures_of(ranking: Ranking) -> dict[str, str]:
    return {failure.id: failure.reason for failure in ranking.failures}


def said_in(ranking: Ranking) -> dict[str, str]:
    return {hit.id: hit.explanation for hit in ranking if hit.explanation}


def nodes() -> list[Any]:
    from llama_index.core.schema import NodeWithScore, TextNode

    return [
        NodeWithScore(node=TextNode(text=document.text, id_=document.id), score=document.prior)
        for document in DOCUMENTS
    ]


def in_llama_index(store: Path | None = None, **shared: Any) -> Any:
    from llama_index.postprocessor.limrank import LimRankRerank

    made = LimRankRerank(**shared, device="cpu", store=str(store) if store is not None else None)
    return made.postprocess_nodes(nodes(), query_str=QUERY)


def in_haystack(store: Path | None = None, **shared: Any) -> Any:
    from haystack import Document as HaystackDocument
    from haystack.utils import ComponentDevice
    from haystack_integrations.components.rankers.limrank import LimRankRanker

    documents = [
        HaystackDocument(content=document.text, id=document.id or "", score=document.prior)
        for document in DOCUMENTS
    ]
    path = str(store) if store is not None else None
    made = LimRankRanker(**shared, device=ComponentDevice.from_str("cpu"), cache_path=path)
    return made.run(query=QUERY, documents=documents)


def test_no_recipe_is_left_out() -> None:
    sent = {recipe.partition(":")[0] for recipe in ONE_BY_ONE + TOGETHER}
    assert sent == set(recipe_names()) - OTHERS


@every
def test_every_door(
    recipe: str, backend: TransformersBackend, home: Path, loaded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies = remembered(backend, monkeypatch)
    record = command_line(recipe, home)
    # What a failure was read from is in no store, and is asked again; all else is in the store.
    failed = record is None or record["failures"]
    only(replies if failed else {}, backend, monkeypatch)
    store = home / "store.db"
    with Store(store) as opened:
        reranker = Reranker(recipe, backend=backend, max_reasoning_tokens=TOKENS, store=opened)
        expected = reranker.rank(QUERY, DOCUMENTS)
    check_ranking(recipe, expected)
    if record is None:
        assert len(expected.failures) == len(NAMES)
    else:
        assert [hit["id"] for hit in record["hits"]] == expected.ids
        assert {hit["id"]: hit["score"] for hit in record["hits"]} == scores_of(expected)
        told = {failure["id"]: failure["reason"] for failure in record["failures"]}
        assert told == failures_of(expected)
        said = {hit["id"]: hit.get("explanation") for hit in record["hits"]}
        assert {name: text for name, text in said.items() if text} == said_in(expected)
    shared: dict[str, Any] = {"recipe": recipe, "model": "smollm2", "backend": "transformers"}
    shared["max_reasoning_tokens"] = TOKENS
    check_nodes(in_llama_index(store, **shared), expected)
    check_documents(in_haystack(store, **shared), expected)


def test_the_integrations_ask_the_model_themselves(backend: TransformersBackend, loaded: None) -> None:
    shared: dict[str, Any] = {"recipe": "limrank", "model": "smollm2", "max_reasoning_tokens": 4}
    expected = Reranker("limrank", backend=backend, max_reasoning_tokens=4).rank(QUERY, DOCUMENTS)
    check_nodes(in_llama_index(**shared), expected)
    check_documents(in_haystack(**shared), expected)


def test_a_process_of_its_own(backend: TransformersBackend, home: Path) -> None:
    """`limrank search` as it is typed, offline: passages with scores, and what the model said of each."""
    program = str(Path(sys.executable).with_name("limrank"))
    said = ["search", str(home / "corpus.jsonl"), QUERY, "--recipe", "limrank", "--model", "smollm2"]
    said += ["--max-reasoning-tokens", str(TOKENS), "--device", "cpu"]
    done = subprocess.run([program, *said, "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    hits = json.loads(done.stdout)["hits"]
    expected = Reranker("limrank", backend=backend, max_reasoning_tokens=TOKENS).rank(
        QUERY, [Document(TEXTS[hit["id"]], id=hit["id"]) for hit in hits]
    )
    # Another process may add up in another number of threads; no word was near to being another one.
    assert {hit["id"]: hit["score"] for hit in hits} == scores_of(expected, within=1e-4)
    assert {hit["id"]: hit["explanation"] for hit in hits} == said_in(expected)
    assert len(hits) > 1
    assert "prompt: 'smollm2' is asked in a chat (template 'limrank-chat')" in done.stderr
    assert "Warning" not in done.stderr
    assert "Converting" not in done.stderr, "a bar that transformers draws"
