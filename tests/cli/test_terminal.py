"""Hostile texts in passages, ids and server errors: the terminal gets them as text, whatever they hold."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.table import Table
from typer.testing import CliRunner

from limrank_plugins.cli import build_app, terminal
from limrank_plugins.errors import InputError, LimRankWarning

HOSTILE = "\x1b]0;PWN\x07\x1b[2J\x9b2J\x1b]8;;http://evil.example/\x1b\\x"
MARKUP = r"sour \[/x\] \[link=http://evil.example/]click\[/link] [/y] [bold]z[/bold] \[a+b=c\] :smile: end"
ROOMS = ("limrank_plugins", "pipelines", "synth", "training", "evals")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIMRANK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "300")
    rows = [{"_id": f"a{HOSTILE}", "title": f"t{HOSTILE}", "text": f"milk {HOSTILE} {MARKUP}"}]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "q.jsonl").write_text('{"_id": "q", "text": "milk"}\n')
    shown = HOSTILE.replace(" ", "")
    (tmp_path / "r.trec").write_text(f"q Q0 x{shown} 1 1.0 t\n", "utf-8")
    (tmp_path / "r2.trec").write_text(f"q Q0 d 1 1.0 t\nz{shown} Q0 d 1 1.0 t\n", "utf-8")
    (tmp_path / "qrels").write_text(f"q 0 d 1\ny{shown} 0 d 1\n", "utf-8")
    return tmp_path


COMMANDS = {
    "search": "search c.jsonl milk --recipe prior",
    "search --json": "search c.jsonl milk --recipe prior --json",
    "ask": "ask c.jsonl milk --recipe prior",
    "rerank": "rerank -q q.jsonl -c c.jsonl -o o.trec --recipe prior",
    "rerank --run": "rerank -q q.jsonl -c c.jsonl --run r.trec -o o.trec --recipe prior",
    "eval run": "eval run r2.trec --qrels qrels -m nDCG@10",
    "eval run, a query a line": "eval run r2.trec --qrels qrels -m nDCG@10 --per-query",
    "a recipe that is not there": f"search c.jsonl milk --recipe {HOSTILE}",
    "a corpus that is not there": f"search {HOSTILE} milk",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_lets_a_control_character_through(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(build_app(), COMMANDS[name].split(" "))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", result.stdout + result.stderr) is None
    assert result.stdout + result.stderr


def test_markup_of_a_passage_is_shown_as_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(build_app(), COMMANDS["search"].split())
    assert result.exit_code == 0
    assert MARKUP[:60] in result.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no pseudo-terminals")
def test_nothing_of_a_passage_acts_on_a_terminal(folder: Path):
    import pty

    limrank = "from limrank_plugins.cli import main; main()"
    arguments = [sys.executable, "-c", limrank, *COMMANDS["search"].split()]
    ours, theirs = pty.openpty()
    with subprocess.Popen(arguments, cwd=folder, stdout=theirs, stderr=theirs, close_fds=True) as process:
        os.close(theirs)
        out = b""
        try:
            while block := os.read(ours, 65536):
                out += block
        except OSError:  # Linux's end of a terminal
            pass
        os.close(ours)
    assert process.returncode == 0
    assert b"milk" in out
    assert b"\x1b]" not in out
    assert b"\x1b[2J" not in out
    assert b"\xc2\x9b" not in out


def test_plain():
    assert terminal.plain(HOSTILE)[:8] == "·]0;PWN·"
    assert terminal.plain("a\tb\nc\rd\x7fe\x9bf\u202eg\ud800h") == "a\tb\nc·d·e·f·g·h"
    assert terminal.plain("a\nb", keep="") == "a·b"
    ordinary = "भाषा می\u200cروم 日本\u3000語 \u00a0é 👩\u200d🔬 [a] \\[b\\]"
    assert terminal.plain(ordinary) == ordinary


def test_json_means_the_same():
    value = {"x": f"{HOSTILE}\u202e\ue000 é\u3000\U000e0041 👩\u200d🔬"}
    text = terminal.escaped_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(text) == value
    assert terminal.plain(text) == text
    assert "é" in text


def test_tables_show_strings_as_they_are(capsys: pytest.CaptureFixture[str]):
    table = Table("[red]head\x1b[2J")
    table.add_row(MARKUP + HOSTILE)
    terminal.Terminal(width=400).print(table)
    out = capsys.readouterr().out
    assert "[red]head·[2J" in out
    assert MARKUP in out
    assert "\x1b" not in out


def _warn() -> None:
    warnings.warn(f"server: {HOSTILE}", UserWarning, stacklevel=1)


def _log() -> None:
    import logging

    logging.getLogger("limrank.test").warning("server: %s", HOSTILE)


def _fail() -> None:
    raise InputError(f"server: {HOSTILE}")


@pytest.mark.parametrize("act", [_warn, _log, _fail])
def test_warnings_logs_and_tracebacks(act: Callable[[], None]):
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_terminal as t; "
    code += f"t.terminal.guard(); t.{act.__name__}()"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).stderr
    assert b"server: " in told
    assert b"\x1b" not in told
    assert b"\xc2\x9b" not in told


def test_a_warning_of_ours_is_a_note_without_the_place_in_the_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(warnings, "showwarning", terminal._show_warning)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"server: {HOSTILE}", LimRankWarning, stacklevel=1)
    assert capsys.readouterr().err == f"note: server: {terminal.plain(HOSTILE)}\n"


def test_ids_as_long_as_anybody_likes_are_cut_on_the_terminal_alone(folder: Path):
    long = "d" * 100_000
    (folder / "c.jsonl").write_text(json.dumps({"_id": long, "text": "milk and acid"}) + "\n")
    (folder / "qrels").write_text(f"{long} 0 {long} 1\n")
    for name, document in (("a.run", long), ("b.run", "other")):
        (folder / name).write_text(f"{long} Q0 {document} 1 1 x\n")
    qrels = ["--qrels", str(folder / "qrels")]
    runs = [str(folder / "a.run"), str(folder / "b.run")]
    for words in (
        ["search", str(folder / "c.jsonl"), "milk", "--recipe", "prior"],
        ["ask", str(folder / "c.jsonl"), "milk", "--recipe", "prior"],
        ["eval", "compare", *runs, *qrels],
        ["eval", "errors", runs[1], *qrels],
    ):
        shown = CliRunner().invoke(build_app(), words)
        assert shown.exit_code == 0, shown.output[:2000]
        assert "ddd" in shown.output
        assert "d…" in shown.output
        assert len(shown.output) < 10_000
    assert (
        long in CliRunner().invoke(build_app(), ["search", str(folder / "c.jsonl"), "milk", "--json"]).stdout
    )


def test_every_room_warns_of_its_own():
    warns = re.compile(r"warnings\.warn\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)")
    calls = [
        call
        for room in ROOMS
        for file in (ROOT / room).rglob("*.py")
        for call in warns.findall(file.read_text("utf-8"))
    ]
    assert len(calls) > 5
    assert [call for call in calls if "LimRankWarning" not in call] == []


def test_every_room_prints_through_this_module():
    direct = re.compile(r"typer\.echo\(|click\.echo\(|(?<![\w.])Console\(|from rich\.console|rich\.print")
    allowed = {"limrank_plugins/cli/terminal.py", "limrank_plugins/cli/common.py"}
    found = [
        file.relative_to(ROOT).as_posix()
        for room in ROOMS
        for file in (ROOT / room).rglob("*.py")
        if direct.search(file.read_text("utf-8"))
    ]
    assert set(found) <= allowed
