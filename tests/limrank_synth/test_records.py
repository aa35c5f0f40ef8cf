"""What a row of a synthesis is, read back."""

from __future__ import annotations

import pytest
from synthetic_rows import row

from limrank_plugins.errors import InputError
from limrank_synth.records import LabelledPassage


def test_a_row_reads_back():
    assert LabelledPassage.from_json(row().as_json()) == row()


@pytest.mark.parametrize("name", ["id", "votes", "second", "sources"])
def test_a_field_that_is_missing_is_named(name: str):
    data = row().as_json()
    del data[name]
    with pytest.raises(InputError, match=f"no row of a synthesis: the field '{name}' is missing"):
        LabelledPassage.from_json(data)


def test_a_field_that_is_unknown_is_named():
    with pytest.raises(InputError, match="no row of a synthesis: the field 'colour' is unknown"):
        LabelledPassage.from_json({**row().as_json(), "colour": "red"})
