"""A cross-encoder behind the real infinity_emb has the scores that it has here.

Run by tests/compat/run_infinity.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tiny_encoders import QUERY, TEXTS, cross_encoder

from limrank_plugins import Reranker
from limrank_plugins.backends.cross_encoder import CrossEncoderBackend
from limrank_plugins.backends.remote.dialects import DIALECTS

COMMAND = os.environ.get("LIMRANK_INFINITY", "")
if not COMMAND:
    pytest.skip("needs infinity_emb: run tests/compat/run_infinity", allow_module_level=True)
sys.path.insert(0, str(Path(__file__).parent))

from served import free_port, running  # noqa: E402

NAME = "tiny"
PASSAGES = [text for text in TEXTS if text] + [
    f"milk {i} curdles in tea {'and cheese ' * i}" for i in range(60)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cross_encoder(tmp_path_factory.mktemp("model") / "ce")


@pytest.fixture(scope="module")
def url(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    command = [COMMAND, "v2", "--model-id", str(folder), "--served-model-name", NAME, "--device", "cpu"]
    command += ["--dtype", "float32", "--no-bettertransformer", "--no-model-warmup"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with running(command, port, tmp_path_factory.mktemp("served") / "log", prefix="") as address:
        yield address


def scores(reranker: Reranker, passages: list[str] = PASSAGES) -> list[float | None]:
    """Each passage's score, in the order of the passages."""
    ranking = reranker.rank(QUERY, passages)
    by_id = {hit.id: hit.score for hit in ranking}
    return [by_id[str(i)] for i in range(len(passages))]


@pytest.mark.parametrize(
    ("here", "there", "body"),
    [
        ("cross-encoder:activation=sigmoid", "rerank-api:scores=probability", {}),
        ("cross-encoder:activation=none", "rerank-api:scores=logit", {"raw_scores": True}),
    ],
)
def test_the_scores_are_those_of_the_model(
    folder: Path, url: str, here: str, there: str, body: dict[str, bool]
) -> None:
    expected = scores(Reranker(here, backend=CrossEncoderBackend(str(folder), device="cpu")))
    served = Reranker(there, NAME, base_url=url, dialect="infinity", batch_size=40, body=body)
    ranking = served.rank(QUERY, PASSAGES)
    assert scores(served) == pytest.approx(expected, abs=1e-5)
    assert len(set(expected)) > 25  # those of more than 64 tokens are alike once they are cut
    assert ranking.usage.prompt_tokens > len(PASSAGES)
    served.close()


def test_a_document_that_it_refuses_fails_alone(url: str) -> None:
    served = Reranker("rerank-api", NAME, base_url=url, dialect="infinity", concurrency=1)
    ranking = served.rank(QUERY, [*PASSAGES[:3], "milk " * 30_000, PASSAGES[3]])
    (failure,) = ranking.failures
    assert failure[0] == "3"
    assert "122880 characters" in failure[1]
    assert [hit.score is None for hit in ranking].count(True) == 1
    served.close()


def test_it_takes_as_many_documents_as_the_dialect_says(url: str) -> None:
    most = DIALECTS["infinity"].most
    assert most is not None
    with httpx.Client(trust_env=False) as connections:
        for size, status in ((most + 1, 422), (most, 200)):
            body = {"model": NAME, "query": QUERY, "documents": ["milk"] * size}
            assert connections.post(f"{url}/rerank", json=body, timeout=60).status_code == status
