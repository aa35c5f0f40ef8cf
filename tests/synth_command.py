"""`limrank synth run` as a process of its own against a scripted server, and what it leaves behind."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limrank_command import run_limrank
from servers import LoopbackServer
from synth_server import ScriptedModel, ledger_key
from typer.testing import CliRunner, Result

from limrank_plugins.cli import build_app

ROLES = {"a-writer": "writer", "a-reasoner": "reasoner", "a-judge": "judge", "another-judge": "second"}
SECRET = "sk-this-must-never-be-seen"


@dataclass
class Workplace:
    """A folder with seeds and settings, and how runs in it are started.

    Attributes:
        folder: holds all of it; `output` is the run's own.
        server, model: whom the roles ask.
    """

    folder: Path
    server: LoopbackServer
    model: ScriptedModel
    seeds: int
    options: dict[str, Any] = field(default_factory=dict)
    output: Path = field(init=False)

    def __post_init__(self) -> None:
        self.output = self.folder / "run"
        lines = [f"q{i}\twhat becomes of thing number {i}\n" for i in range(self.seeds)]
        (self.folder / "seeds.tsv").write_text("".join(lines), "utf-8")
        top = {"concurrency": 8, "timeout": 60.0} | self.options
        lines = [f"{key} = {json.dumps(value)}\n" for key, value in top.items()]
        for name, role in ROLES.items():
            lines += [
                f'[roles.{role}]\nmodel = "{name}"\nbase_url = "{self.server.url}"\n',
                "price_in = 1.0\nprice_out = 3.0\nmax_tokens = 900\n",
            ]
        (self.folder / "synth.toml").write_text("".join(lines), "utf-8")

    def arguments(self, *more: str, output: Path | None = None) -> list[str]:
        """The command line."""
        program = str(Path(sys.executable).with_name("limrank"))
        seeds, settings = str(self.folder / "seeds.tsv"), str(self.folder / "synth.toml")
        at = str(output if output is not None else self.output)
        return [program, "synth", "run", "--seeds", seeds, "--config", settings, "-o", at, *more]

    def start(self, *more: str) -> subprocess.Popen[str]:
        """A process that runs."""
        return subprocess.Popen(
            self.arguments(*more),
            env=environment(),
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *more: str, output: Path | None = None) -> subprocess.CompletedProcess[str]:
        """A process that has ended."""
        return run_limrank(self.arguments(*more, output=output)[1:], cwd=Path.cwd(), env=environment())

    def finish(self, most: int = 8, output: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Started again until it has nothing left to do: what fails for good in one run is for the next."""
        for _ in range(most):
            done = self.run(output=output)
            if done.returncode != 1:
                break
        assert done.returncode == 0, done.stderr
        return done

    @property
    def rows(self) -> bytes:
        """The set as it is."""
        return (self.output / "rows.jsonl").read_bytes()

    @property
    def report(self) -> dict[str, Any]:
        """The report."""
        found: dict[str, Any] = json.loads((self.output / "report.json").read_text("utf-8"))
        return found

    def committed(self) -> dict[str, int]:
        """How often each stored reply was paid for; 1 where a kill came before that was written down."""
        paid = journal(self.output, "paid calls")
        return {key: paid.get(key, 1) for key in stored(self.output)}

    def asked(self) -> dict[str, str]:
        """The ledger's key of every request that the server saw, by the server's own key."""
        return {key: ledger_key(body, ROLES) for key, body in self.model.bodies.items()}


def environment() -> dict[str, str]:
    """The process's, with a key that must not be seen."""
    return {**os.environ, "OPENAI_API_KEY": SECRET, "COLUMNS": "200"}


def journal(folder: Path, job: str) -> dict[str, int]:
    """How often each item of a journal was written; nothing where there is no ledger yet."""
    return dict(_rows(folder, "SELECT item, computed FROM journal WHERE job = ?", job))


def stored(folder: Path) -> list[str]:
    """The keys of all replies that are stored."""
    return [key.hex() for (key,) in _rows(folder, "SELECT key FROM answers")]


def _rows(folder: Path, query: str, *values: str) -> list[Any]:
    file = folder / "ledger.sqlite"
    if not file.exists():
        return []
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=60)) as database:
        try:
            return database.execute(query, values).fetchall()
        except sqlite3.OperationalError:  # killed before the tables were made
            return []


def holds_secret(folder: Path, texts: list[str]) -> bool:
    """Whether the key is anywhere in the folder's files or in these texts."""
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return any(SECRET.encode() in content for content in [*files, *(text.encode() for text in texts)])


def limrank(*arguments: object, code: int = 0) -> Result:
    """The command in this process."""
    result = CliRunner().invoke(build_app(), [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


def run(place: Workplace, *more: object, code: int = 0, output: Path | None = None) -> Result:
    """`limrank synth run` in this process."""
    return limrank(*place.arguments(output=output)[1:], *more, code=code)
