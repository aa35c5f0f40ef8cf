"""What tells one folder or file of weights from another, without reading gigabytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

_SUFFIXES = {".safetensors", ".bin", ".json", ".model", ".txt", ".jinja", ".py"}
_NOT_WEIGHTS = {"limrank.json", "trainer_state.json"}
_WHOLE = 64 << 20
_SAMPLES = 256
_BLOCK = 4096


def folder_fingerprint(folder: Path, *, recursive: bool = False) -> str:
    """16 hex digits that change when weights, configuration or tokenizer in the folder change.

    Files up to 64 MiB count with all they hold. Larger ones count with their size, modification
    time and 256 blocks spread over them: retraining changes all three, and a copy with another
    time is merely asked again (a stored reply too few, never a stale one). `recursive` counts
    subfolders, too: sentence encoders keep their modules there, others only checkpoints.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*") if recursive else folder.iterdir()):
        if path.is_file() and path.suffix in _SUFFIXES and path.name not in _NOT_WEIGHTS:
            _count(digest, path, path.relative_to(folder).as_posix())
    return digest.hexdigest()[:16]


def file_fingerprint(path: Path) -> str:
    """16 hex digits that change when a model's only file changes; as `folder_fingerprint`."""
    digest = hashlib.sha256()
    _count(digest, path, path.name)
    return digest.hexdigest()[:16]


def _count(digest: hashlib._Hash, path: Path, name: str) -> None:
    stat = path.stat()
    digest.update(f"{name}\0{stat.st_size}\0".encode())
    with path.open("rb") as file:
        if stat.st_size <= _WHOLE:
            digest.update(file.read())
        else:
            digest.update(str(stat.st_mtime_ns).encode())
            for sample in range(_SAMPLES):
                file.seek(sample * (stat.st_size - _BLOCK) // (_SAMPLES - 1))
                digest.update(file.read(_BLOCK))
