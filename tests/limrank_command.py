"""The command `limrank` in a process of its own, which need not import everything first.

Every test process has one that has imported what commands import, and does nothing but fork: a command is
run in a copy of it, with a folder, an environment, output and an exit code of its own. What a command
imports, says of it, and leaves behind when it is killed is tested with the installed program itself, and so
is what a library reads from the environment when it is imported (HF_HUB_CACHE, OPENAI_LOG).
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path

_LIBRARIES = (
    "torch",
    "transformers.modeling_utils",
    "transformers.generation.utils",
    "transformers.models.auto.modeling_auto",
    "peft",
    "sentence_transformers",
    "openai",
    "openai.resources.chat",
    "aiohttp",
    "bm25s",
    "scipy.stats",
    "datasketch",
    "tenacity",
    "ir_measures",
    "matplotlib.figure",
)
_LONGEST = 300  # seconds; far above what any takes


def limrank(
    work: Path, *arguments: object, code: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run it in a folder, with a cache there; it ends with this code and without a traceback."""
    variables = {"LIMRANK_CACHE": str(work / "cache"), "COLUMNS": "200", **environment}
    done = run_limrank(arguments, cwd=work, env={**os.environ, **variables})
    assert done.returncode == code, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    return done


def run_limrank(
    arguments: Sequence[object], *, cwd: Path, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run it, whatever becomes of it; what it would read from a terminal is empty."""
    return _run(["limrank", *map(str, arguments)], None, cwd, env)


def run_python(
    code: str, *arguments: object, cwd: Path, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a program as `python -c` does, in such a copy: what it imports is there."""
    return _run(["-c", *map(str, arguments)], code, cwd, env)


def _run(
    words: list[str], code: str | None, cwd: Path, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as folder:
        out, errors = Path(folder, "out"), Path(folder, "errors")
        process = _server().Process(
            target=_main, args=(words, code, str(cwd), dict(env), str(out), str(errors))
        )
        process.start()
        process.join(_LONGEST)
        if process.exitcode is None:
            process.kill()
            process.join()
        assert process.exitcode is not None
        return subprocess.CompletedProcess(
            words, process.exitcode, out.read_text("utf-8"), errors.read_text("utf-8")
        )


@cache
def _server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_LIBRARIES, __name__, "every_command"])
    # Before Python 3.14 the server is told no path, and passes over what it cannot import without a word.
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(Path(__file__).parent), path)))
    try:
        forkserver.ensure_running()
    finally:
        del os.environ["PYTHONPATH"]
        if path is not None:
            os.environ["PYTHONPATH"] = path
    return context


def _main(
    words: list[str], code: str | None, folder: str, variables: dict[str, str], out: str, errors: str
) -> None:
    """In the copy: what the installed program or this one does, with its output in files."""
    assert "every_command" in sys.modules, "the copied process had not imported the commands"
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    sys.stdout = Path(out).open("w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = Path(errors).open("w", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115
    os.dup2(sys.stdout.fileno(), 1)
    os.dup2(sys.stderr.fileno(), 2)
    sys.argv = words
    from limrank_plugins.cli import main

    try:
        if code is None:
            main()
        else:
            exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
    finally:
        sys.stdout.flush()
        atexit._run_exitfuncs()  # a copy that ends skips them; the program does not
