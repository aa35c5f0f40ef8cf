"""A process killed by SIGKILL inside a local model's batch keeps the replies that had arrived."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_encoders
import tiny_seq2seq
from limrank_command import run_python

from limrank_plugins import Store
from limrank_plugins.backends import backend_class
from limrank_plugins.backends.protocols import Encode, Failed, Generate, Likelihood, ReadLabels, ScorePair
from limrank_plugins.driver import run
from limrank_plugins.reply_store import ReplyStore, To
from limrank_plugins.segments import Prompt, Segment

TEXTS = [f"acid curdles milk {'and tea ' * number}" for number in range(8)]
PROMPTS = [Prompt((Segment(text, trusted=False, cuttable=True), Segment(" answer:"))) for text in TEXTS]
REQUESTS: dict[str, list[Any]] = {
    "read_labels": [ReadLabels(prompt, (" true", " false")) for prompt in PROMPTS],
    # Written together, they leave the batch one after the other.
    "generate": [Generate(prompt, (), max_tokens=2 + 3 * i) for i, prompt in enumerate(PROMPTS)],
    "likelihood": [Likelihood(prompt, "why milk") for prompt in PROMPTS],
    "score_pairs": [ScorePair("why milk", text) for text in TEXTS],
    "encode": [Encode(text) for text in TEXTS],
}

CHILD = """
import os, signal, sys
import torch
from torch.nn.modules.module import register_module_forward_pre_hook

sys.path[:0] = sys.argv[6:]
from test_kills import ask, made
from limrank_plugins import Store

name, folder, method, path, passes = sys.argv[1:6]
backend, left = made(name, folder), int(passes)

def kill(module, args):
    global left
    if isinstance(module, torch.nn.Embedding) and module.num_embeddings > 80:  # words, not positions
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

register_module_forward_pre_hook(kill)
ask(backend, method, Store(path))
"""


def made(name: str, folder: str) -> Any:
    # On a CPU so few tokens would be read in one pass.
    alone: dict[str, Any] = {"exact": True} if name in ("encoder", "cross-encoder") else {}
    if name == "transformers":
        alone = {"batch_tokens": 1}
    return backend_class(name)(folder, device="cpu", **alone)


def ask(backend: Any, method: str, store: Store) -> list[Any]:
    def program():  # type: ignore[no-untyped-def]
        return (yield [To(backend, request) for request in REQUESTS[method]])

    replies: list[Any] = run(program(), store)
    return replies


@pytest.mark.parametrize(
    ("name", "build", "method", "passes", "kept"),
    [
        # Four passes before them ask whether the model can read several as one row.
        ("transformers", tiny.build, "read_labels", 4 + 5, 4),
        ("transformers", tiny.build, "likelihood", 4 + 5, 4),
        ("transformers", tiny.build, "generate", 8 + 5, 2),  # eight prompts, then five tokens each
        ("seq2seq", tiny_seq2seq.build, "read_labels", 9, 4),  # encoder and decoder look up words
        ("cross-encoder", tiny_encoders.cross_encoder, "score_pairs", 5, 4),
        ("encoder", tiny_encoders.encoder, "encode", 5, 4),
    ],
)
def test_replies_before_a_kill_are_kept(
    tmp_path: Path, name: str, build: Callable[[Path], Path], method: str, passes: int, kept: int
) -> None:
    folder, store = str(build(tmp_path / "model")), tmp_path / "s.sqlite"
    here = Path(__file__).parent
    done = run_python(
        CHILD, name, folder, method, store, passes, here, here.parents[1], cwd=here, env=os.environ
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    backend = made(name, folder)
    with Store(store) as opened:
        stored = ReplyStore(opened).find([To(backend, request) for request in REQUESTS[method]])
        assert sum(reply is not None for reply in stored) == kept
        replies = ask(backend, method, opened)
    assert not any(isinstance(reply, Failed) for reply in replies)
    assert [bool(reply.usage.cached) for reply in replies] == [reply is not None for reply in stored]
