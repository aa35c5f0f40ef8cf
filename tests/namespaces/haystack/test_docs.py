"""The snippets of `docs/haystack.md` run as printed, one after the other, and print what is shown."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

pytest.importorskip("haystack", reason="haystack is not installed: pip install 'limrank[haystack]'")
pytest.importorskip(
    "sentence_transformers", reason="the snippets use recipe 'mini': pip install 'limrank[mini]'"
)

PAGE = Path(__file__).parents[3] / "docs" / "haystack.md"


def test_the_snippets_run_as_printed():
    blocks = re.findall(r"^```(python|text)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    names: dict[str, object] = {}
    printed = ""
    for language, text in blocks:
        if language == "text":
            assert printed == text
            printed = ""
            continue
        assert printed == "", f"the output before this snippet is not shown:\n{text}"
        stream = io.StringIO()
        with contextlib.redirect_stdout(stream):
            exec(compile(text, str(PAGE), "exec"), names)
        printed = stream.getvalue()
    assert printed == ""
    assert sum(language == "python" for language, _ in blocks) >= 7
