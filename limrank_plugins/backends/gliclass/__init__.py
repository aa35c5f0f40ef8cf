"""GLiClass (arXiv 2508.07662): an encoder reads a text and all labels together and gives each a logit.

`label_inputs.py` writes the input, `head.py` reads the encoder's states, `model.py` is our own compact model,
`released_model.py` runs the released weights through the package `gliclass`, `backend.py` answers requests.
"""

from __future__ import annotations

from limrank_plugins.backends.gliclass.backend import GLiClassBackend
from limrank_plugins.backends.gliclass.model import GLiClass

__all__ = ["GLiClass", "GLiClassBackend"]
