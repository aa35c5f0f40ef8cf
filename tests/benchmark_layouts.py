"""Small files in the layouts that benchmarks are published in."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Rows = Sequence[dict[str, Any]]


def put_lines(file: Path, rows: Rows) -> Path:
    """A JSONL file."""
    return put_text(file, "".join(json.dumps(row) + "\n" for row in rows))


def put_text(file: Path, text: str) -> Path:
    """A text file, in a folder that need not be there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def put_table(file: Path, rows: Rows) -> Path:
    """A parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), file)
    return file


def png(shade: int) -> bytes:
    """A picture of one grey pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes([0, shade]))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def as_base64(data: bytes) -> str:
    """As it stands in a text file."""
    return base64.b64encode(data).decode("ascii")
