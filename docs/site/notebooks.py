"""Notebooks as pages: run from the first cell to the last, each in a process of its own."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

_TOGETHER = 2
_LONGEST = 240  # seconds a cell


def as_pages(files: Sequence[Path], *, execute: bool) -> dict[str, str]:
    """The page of every notebook, with what its cells print.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    books = [nbformat.read(file, as_version=4) for file in files]
    if execute:
        with ThreadPoolExecutor(_TOGETHER) as pool:
            books = list(pool.map(run, books))
    return {f"notebooks/{file.stem}.md": _page(file, book) for file, book in zip(files, books, strict=True)}


def run(book: Any) -> Any:
    """The notebook with what its cells print. It works in a folder that is removed, and asks no network."""
    programs = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    with tempfile.TemporaryDirectory() as folder:
        known = {
            "PATH": programs,
            "HF_HUB_OFFLINE": "1",
            "TTY_COMPATIBLE": "0",  # a command that a cell gives prints no bars and no colours
            "NO_COLOR": "1",
            "OMP_NUM_THREADS": "1",  # several notebooks run at once
            "COLUMNS": "110",
            "LIMRANK_CACHE": f"{folder}/cache",
        }
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(book, kernel_name="python3", timeout=_LONGEST, resources=resources)
        return client.execute(env={**os.environ, **known})


def _page(file: Path, book: Any) -> str:
    title, _, rest = book.cells[0].source.partition("\n")
    parts = [title, f"[This page as a notebook]({file.name})", rest]
    for cell in book.cells[1:]:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        printed = "".join(output.get("text", "") for output in cell.outputs if output.get("name") != "stderr")
        if printed:
            parts.append(f"```text\n{printed.rstrip()}\n```")
    return "\n\n".join(parts)
