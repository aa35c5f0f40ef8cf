"""What a JSON file holds."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from limrank_plugins.errors import InputError
from limrank_plugins.files import read_json


def test_json(tmp_path: Path):
    file = tmp_path / "x.json"
    file.write_text('{\n"a": ["\u0085"]\n}', "utf-8")
    assert read_json(file) == {"a": ["\u0085"]}
    packed = tmp_path / "x.json.gz"
    packed.write_bytes(gzip.compress(b"[1]"))
    assert read_json(packed) == [1]
    file.write_text('{"a": 1')
    with pytest.raises(InputError, match=r"x\.json is not a whole JSON file \(Expecting"):
        read_json(file)
    with pytest.raises(InputError, match="there is no file"):
        read_json(tmp_path / "none.json")
