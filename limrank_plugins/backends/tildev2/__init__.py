"""TILDEv2 (arXiv 2108.08513): what each token of a passage weighs is computed once, before any query.

`model.py` weighs tokens, `expansion.py` finds tokens that a passage could have said, `index.py` keeps the
weights on disk, `backend.py` scores with them, `terms.py` says which tokens count.
"""

from __future__ import annotations

from limrank_plugins.backends.tildev2.backend import TILDEv2Backend
from limrank_plugins.backends.tildev2.expansion import Expansion
from limrank_plugins.backends.tildev2.index import TILDEv2Index
from limrank_plugins.backends.tildev2.model import TILDEv2

__all__ = ["Expansion", "TILDEv2", "TILDEv2Backend", "TILDEv2Index"]
