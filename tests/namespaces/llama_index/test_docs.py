"""The snippets of `docs/llama-index.md` run as printed, one after the other, and print what is shown."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest
from needs import needs_mini

pytest.importorskip("llama_index.core", reason="needs llama-index-core: pip install 'limrank[llama-index]'")
pytest.importorskip("langchain_core", reason="needs langchain-core: pip install 'limrank[langchain]'")
pytestmark = needs_mini

PAGE = Path(__file__).parents[3] / "docs" / "llama-index.md"


def test_the_snippets_run_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert [language for language, _ in blocks] == ["python", "text"] * 8
    names: dict[str, object] = {}
    for (_, code), (_, shown) in zip(blocks[::2], blocks[1::2], strict=True):
        stream = io.StringIO()
        with contextlib.redirect_stdout(stream):
            exec(compile(code, str(PAGE), "exec"), names)
        assert stream.getvalue() == shown, code
