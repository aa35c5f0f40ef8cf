"""No model at all, for recipes that ask nothing."""

from __future__ import annotations


class NoBackend:
    """Can be asked nothing.

    Args:
        model: ignored; there is none.
    """

    name = "none"
    identity = "none"

    def __init__(self, model: str = "") -> None:
        self.model = model
