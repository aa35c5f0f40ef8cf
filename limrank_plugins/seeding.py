"""Randomness that depends on a name alone: equal on every machine, in every process and Python."""

from __future__ import annotations

import hashlib
import random


def seeded(name: str) -> random.Random:
    """A generator whose draws depend on this name and nothing else.

    Args:
        name: everything the draws may depend on, for example `json.dumps([seed, query_id])`; ASCII.
    """
    return random.Random(hashlib.sha256(name.encode("ascii")).digest())
