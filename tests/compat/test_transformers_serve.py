"""`transformers serve` gives no log-probabilities: that is said, and answers are drawn.

Run by tests/compat/run_transformers_serve.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PYTHON = os.environ.get("LIMRANK_TRANSFORMERS_SERVE", "")
if not PYTHON:
    pytest.skip(
        "needs transformers[serving]: run tests/compat/run_transformers_serve", allow_module_level=True
    )
sys.path.insert(0, str(Path(__file__).parent))

from served import QUERY, TEXTS, build, free_port, running  # noqa: E402

from limrank_plugins import Reranker  # noqa: E402
from limrank_plugins.backends.openai import OpenAIBackend  # noqa: E402
from limrank_plugins.backends.transformers import TransformersBackend  # noqa: E402

DRAWS = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def url(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    command = [PYTHON, "-m", "transformers.cli.transformers", "serve", str(folder)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    with running(command, port, tmp_path_factory.mktemp("served") / "log") as address:
        yield address


def test_it_says_so_and_draws(folder: Path, url: str):
    here = Reranker("limrank", backend=TransformersBackend(str(folder)), reasoning="none").rank(QUERY, TEXTS)
    made = OpenAIBackend(str(folder), base_url=url, server="transformers", draws=DRAWS)
    with pytest.warns(UserWarning, match=f"no log-probabilities: .* from {DRAWS} sampled answers"):
        there = Reranker("limrank", backend=made, template="limrank", reasoning="none").rank(QUERY, TEXTS)
    made.close()
    assert there.failures == ()
    expected = {hit.id: hit.score for hit in here}
    for hit in there:
        # Four standard deviations of the estimate, and the half a draw it is pulled towards the middle by.
        p = expected[hit.id]
        allowed = 4 * (p * (1 - p) / (DRAWS * 0.8)) ** 0.5 + 1.5 / DRAWS
        assert abs(hit.score - p) < allowed, (hit.score, p)
    assert len({hit.score for hit in there}) > 2, "drawn, not all or nothing"
    print({i: (round(p, 3), round({h.id: h.score for h in there}[i], 3)) for i, p in expected.items()})


def test_left_to_itself_it_does_not_sample_and_that_is_said(folder: Path, url: str):
    made = OpenAIBackend(str(folder), base_url=url)
    ranking = Reranker("limrank", backend=made, template="limrank", reasoning="none").rank(QUERY, TEXTS[:2])
    made.close()
    assert len(ranking.failures) == 2
    assert all("does not sample" in reason for _, reason in ranking.failures)


def test_without_draws_every_document_fails_and_says_why(folder: Path, url: str):
    made = OpenAIBackend(str(folder), base_url=url, draws=0)
    ranking = Reranker("limrank", backend=made, template="limrank", reasoning="none").rank(QUERY, TEXTS)
    made.close()
    assert [hit.score for hit in ranking] == [None] * len(TEXTS)
    assert {reason for _, reason in ranking.failures} == {
        "the server gives no log-probabilities, and draws=0 forbids sampling"
    }
