"""Schemathesis asks our server whatever its own description allows, and does not. Run by run_schemathesis.

No answer is a 500, and each has a status and a shape that the description names.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from serving import judging, logit, serving

from limrank_plugins import ScriptedBackend
from limrank_plugins.server import sample_corpus

PROGRAM = os.environ.get("LIMRANK_SCHEMATHESIS")
KEY = "key-planted-9876543210"
# A request that is sent as another kind than JSON is refused before its path is looked at.
LEFT_OUT = "unsupported_method"


@pytest.mark.skipif(PROGRAM is None, reason="needs schemathesis: run tests/compat/run_schemathesis")
def test_every_answer_is_one_of_those_described(tmp_path: Path) -> None:
    assert PROGRAM is not None
    backend = ScriptedBackend(score_pairs=logit)
    backend.reads_at_most = 0  # any limit of tokens can be kept to
    rerankers = {"m": judging(backend), "again": judging(backend)}
    with serving(rerankers, corpora={"samples": sample_corpus()}, tokens=[KEY]) as service:
        command = [
            PROGRAM, "--config-file", str(Path(__file__).with_name("schemathesis.toml")),
            "run", f"{service.url}/openapi.json", "--header", f"Authorization: Bearer {KEY}",
            "--checks", "all", "--exclude-checks", LEFT_OUT, "--suppress-health-check", "all",
            "--max-examples", "100", "--seed", "1",
        ]  # fmt: skip
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "NO_PROXY": "*"}
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert service.inside.gate.under_way == 0
    print(done.stdout[-800:])
