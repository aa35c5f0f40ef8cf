"""No model at all, for recipes that ask nothing."""

from __future__ import annotations


class NoBackend:
    """Can be asked nothing.

    Args:
        model: ignored; there is none.

    Attributes:
        reads_at_most: no token of any document.
    """

    name = "none"
    identity = "none"
    reads_at_most = 0

    def __init__(self, model: str = "") -> None:
        self.model = model
