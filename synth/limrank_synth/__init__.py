"""LIMRANK-SYNTHESIZER: reasoning-intensive training data, made, filtered, reviewed, mixed and exported.

See `docs/synthesis.md`. A seed's way through the stages is a generator that yields questions
(`synthesis`); the engine answers them from the ledger or sends them on (`engine`); filters keep what
is sound (`filters`). `load_open` gives the open set that comes with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from limrank_plugins.lazy import exports

if TYPE_CHECKING:
    from limrank_synth.limrank_open import load_open as load_open

_WHERE = {"load_open": "limrank_open"}
__all__ = sorted(_WHERE)
__getattr__ = exports(__name__, _WHERE)
