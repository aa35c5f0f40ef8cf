"""Numbers as tables show them."""

from __future__ import annotations

import pytest

from limrank_evals.tables import level_text


@pytest.mark.parametrize(
    ("level", "shown"), [(0.95, "95%"), (0.55, "55%"), (0.999, "99.9%"), (0.9999999, "99.99999%")]
)
def test_no_level_is_shown_as_certain(level: float, shown: str):
    assert level_text(level) == shown
