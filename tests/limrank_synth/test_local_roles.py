"""Roles played by models in this process: a scripted one that does its part, a tiny one that writes noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import chats
from synth_server import completion

from limrank_plugins import ScriptedBackend
from limrank_plugins.segments import Prompt
from limrank_synth.records import Seed, Source
from limrank_synth.run_files import read_rows
from limrank_synth.settings import Role, SynthSettings
from limrank_synth.stages.personas import shipped_personas
from limrank_synth.synthesis_run import synthesise_all

SEEDS = [Seed(f"s{i}", f"what is thing number {i}", Source("seeds")) for i in range(4)]


def write(prompt: Prompt) -> str:
    messages = [
        {"role": role, "content": "".join(segment.text for segment in segments)}
        for role, segments in prompt.messages()
    ]
    body: dict[str, Any] = {"messages": messages, "max_tokens": 900}
    message = completion(body)["choices"][0]["message"]
    reasoning = message.get("reasoning_content")
    return message["content"] if reasoning is None else f"<think>{reasoning}</think>{message['content']}"


def test_a_local_model_makes_a_set_in_batches_of_all_seeds(tmp_path: Path):
    model = ScriptedBackend(generate=write)
    settings = SynthSettings({"writer": Role("folder", backend="transformers", max_tokens=2000)})
    done = synthesise_all(SEEDS, shipped_personas(), settings, tmp_path, backends={"writer": model})
    assert done.unfinished == {}
    assert len(done.rows) == 4 * 2 * 4
    assert list(read_rows(tmp_path / "rows.jsonl")) == done.rows
    # Two queries of each of four seeds are asked about together, stage by stage.
    assert model.batches == [8, 8, 8, 32, 32]
    asked = len(model.requests)
    synthesise_all(SEEDS, shipped_personas(), settings, tmp_path, backends={"writer": model})
    assert len(model.requests) == asked, "a run that is done asks nothing"


def test_a_tiny_transformers_model_is_loaded_asked_and_its_noise_rejected(tmp_path: Path):
    model = chats.build(tmp_path / "model")
    options = {"device": "cpu", "dtype": "float32"}
    role = Role(str(model), backend="transformers", max_tokens=4, options=options)
    settings = SynthSettings({"writer": role}, attempts=1, kinds=("expert",))
    done = synthesise_all(SEEDS[:2], shipped_personas(), settings, tmp_path / "run")
    assert done.unfinished == {}
    assert (done.rows, len(done.rejections)) == ([], 2)
    report = json.loads((tmp_path / "run" / "report.json").read_text("utf-8"))
    assert report["calls"]["writer"]["calls"] == 2
    assert report["calls"]["writer"]["written_tokens"] > 0
