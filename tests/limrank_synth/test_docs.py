"""What docs/synthesis.md shows is what works: its settings, its command lines, its names."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest
from servers import LoopbackServer
from synth_server import ScriptedModel, completion
from typer.testing import CliRunner

import limrank_synth
from limrank_plugins.cli import build_app
from limrank_synth.filters.usual import usual_filters
from limrank_synth.settings import Role, SynthSettings, read_settings
from limrank_synth.stages.personas import shipped_personas

PAGE = (Path(__file__).parents[2] / "docs" / "synthesis.md").read_text("utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


def table(heading: str) -> dict[str, str]:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.split(" | ", 1) for line in section.splitlines() if line.startswith("| `")]
    return {name.strip("| "): rest for name, rest in rows}


def test_every_command_line_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model = ScriptedModel(contrary=0.0)
    with LoopbackServer(model, remember=False) as server:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        settings = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
        assert settings is not None
        Path("synth.toml").write_text(re.sub(r"http://localhost:\d+/v1", server.url, settings[1]), "utf-8")
        Path("seeds.tsv").write_text("1\twhat is yeast\n2\twhat is rust\n3\twhat is tide\n", "utf-8")
        Path("bright.tsv").write_text("1\twhy is the moon never where it was yesterday\n", "utf-8")
        assert len(COMMANDS) == 5
        for command in COMMANDS:
            program, *arguments = shlex.split(command)
            assert program == "limrank"
            if (
                "open.jsonl" in arguments or "batch-in" in arguments
            ):  # of another folder, or nothing would be open
                arguments[arguments.index("run", 2)] = "batched"
            if "batch-in" in arguments:
                lines = [json.loads(line) for line in Path("open.jsonl").read_text("utf-8").splitlines()]
                done = [
                    {
                        "custom_id": one["custom_id"],
                        "response": {"status_code": 200, "body": completion(one["body"])},
                    }
                    for one in lines
                ]
                Path("results.jsonl").write_text("".join(json.dumps(one) + "\n" for one in done), "utf-8")
            result = CliRunner().invoke(build_app(), arguments)
            assert result.exit_code == 0, (command, result.output)
    assert "6 replies committed" in result.output


def test_the_filters_are_those_that_are_applied():
    made = {one.name: one for one in usual_filters(SynthSettings({"writer": Role("m")}), [])}
    described = {name.strip("`"): text for name, text in table("Filters").items()}
    assert list(described) == list(made)
    for name, one in made.items():
        for field in fields(one):  # type: ignore[arg-type]
            if field.name not in ("name", "texts", "guidelines", "seed"):
                assert f"`{field.name}`" in described[name], (name, field.name)
                if isinstance(field.default, int | float) and not isinstance(field.default, bool):
                    assert re.search(rf"`{field.name}` {field.default}\b", described[name]), (
                        name,
                        field.name,
                    )


def test_the_fields_of_the_report(tmp_path: Path):
    from limrank_synth.synthesis_run import synthesise_all

    report = synthesise_all(
        [], shipped_personas(), SynthSettings({"writer": Role("m")}), tmp_path, offline=True
    ).report
    named = {name for row in table("report.json") for name in re.findall(r"`(\w+)`", row)}
    assert named == set(report)


def test_numbers_in_the_text(tmp_path: Path):
    assert f"the {len(shipped_personas())} written for this project" in PAGE
    (tmp_path / "s.toml").write_text("[roles.writer]\nmodel = 'm'\n[filters]\nhardness = false\n", "utf-8")
    assert len(usual_filters(read_settings(tmp_path / "s.toml"), [])) == 7
    assert "Nothing is built here" not in (limrank_synth.__doc__ or "")
