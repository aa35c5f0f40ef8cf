"""Folders that are written whole: what a manifest knows of its files."""

from __future__ import annotations

import json
import random
import zlib
from pathlib import Path

import numpy as np
import pytest

from limrank_plugins import folders
from limrank_plugins.errors import InputError
from limrank_plugins.folders import check_files, read_array, read_manifest_file, write_manifest


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    (tmp_path / "small").write_bytes(b"0123456789")
    (tmp_path / "deep" / "large").write_bytes(random.Random(0).randbytes(10_000))
    return tmp_path / "manifest.json"


def test_small_files_are_summed_up_whole(manifest: Path):
    write_manifest(manifest, {"kind": "test"})
    body = json.loads(manifest.read_text())
    parts = {name: (manifest.parent / name).read_bytes() for name in ("deep/large", "small")}
    assert body["kind"] == "test"
    assert body["files"] == {name: len(content) for name, content in parts.items()}
    assert body["checksums"] == {name: zlib.crc32(content) for name, content in parts.items()}


def test_of_a_large_file_pieces_from_its_first_byte_to_its_last_are(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(folders, "_WHOLE", 1280)  # 128 pieces of 10 bytes
    write_manifest(manifest, {})
    large = manifest.parent / "deep" / "large"
    whole = large.read_bytes()
    noticed = set()
    for position in range(len(whole)):
        large.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        try:
            check_files(manifest, read_manifest_file(manifest))
        except InputError:
            noticed.add(position)
    assert len(noticed) == 1280
    assert {0, len(whole) - 1} <= noticed


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"format": ' + "9" * 5000 + "}",
        "[1]",
        "null",
        "{",
        "\udcff",
        '{"files": 3}',
        '{"files": {}, "checksums": [1]}',
        '{"files": {"small": ' + "9" * 400 + "}}",
    ],
    ids=lambda text: text[:20],
)
def test_a_manifest_that_cannot_be_is_one_sentence(manifest: Path, text: str):
    manifest.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match="build the index again") as told:
        check_files(manifest, read_manifest_file(manifest))
    assert str(manifest.parent) in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("size", [10**14, 10**30, 7])
def test_an_array_whose_header_claims_more_than_its_file_holds_is_corrupt(tmp_path: Path, size: int):
    file = tmp_path / "a.npy"
    np.save(file, np.zeros(3))
    file.write_bytes(file.read_bytes().replace(b"(3,), }" + b" " * 30, f"({size},), }}".encode().ljust(37)))
    with pytest.raises(InputError, match="corrupt"):
        read_array(file, np.float64, (None,))
