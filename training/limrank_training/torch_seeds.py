"""Seeds of torch's generators that depend on a few values alone: equal in every process and Python."""

from __future__ import annotations

import hashlib


def torch_seed(*values: object) -> int:
    """A whole number below 2^56 that depends on how these values are written."""
    digest = hashlib.sha256(repr(values).encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:7], "big")
