"""Limits of the filters in the settings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from limrank_plugins.errors import InputError
from limrank_synth.filters.usual import usual_filters
from limrank_synth.settings import Role, SynthSettings

SETTINGS = SynthSettings(roles={"writer": Role("m")})


def test_limits_of_the_settings():
    given = {
        "agreement": {"votes": 0.6, "second": False},
        "length_and_language": {
            "languages": ["en", "de"],
            "words": {"daily-life": [1, 9], "expert": [1, 9], "passage": [1, 9]},
        },
        "hardness": False,
        "trace_rules": {"copied": 1},
    }
    made = {one.name: one for one in usual_filters(replace(SETTINGS, filters=given), [])}
    assert made["agreement"].votes == 0.6
    assert made["length_and_language"].languages == ("en", "de")
    assert made["length_and_language"].words["passage"] == (1, 9)
    assert "hardness" not in made
    assert made["trace_rules"].copied == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hardnes": {}}, "no filter 'hardnes'"),
        ({"hardness": {"deep": 3}}, "no limit 'deep'; there are: depth"),
        ({"hardness": {"depth": "3"}}, "limit 'depth'"),
        ({"hardness": {"depth": True}}, "limit 'depth'"),
        ({"hardness": {"depth": 0}}, "depth must be"),
        ({"hardness": True}, "takes a table"),
        ({"hardness": 3}, "takes a table"),
        ({"agreement": {"name": "x"}}, "no limit 'name'"),
        ({"coverage": {"guidelines": "x"}}, "no limit 'guidelines'"),
        ({"coverage": {"minimum": 2.0}}, "minimum must be a share"),
        ({"length_and_language": {"languages": ["english"]}}, "no language 'english'"),
        ({"length_and_language": {"words": {"passage": [9, 1]}}}, "words of filter"),
        ({"length_and_language": {"words": {"passage": [1, 9]}}}, "is missing"),
        ({"duplicates": {"passage": 0.1}}, "near-duplicates"),
        ({"decontamination": {"whole": 99}}, "whole must be"),
        ({"leakage": {"run": 1}}, "run must be"),
        ({"trace_rules": {"least": 9, "most": 8}}, "least <= most"),
    ],
)
def test_limits_that_make_no_sense(given: dict[str, object], message: str):
    with pytest.raises(InputError, match=message):
        usual_filters(replace(SETTINGS, filters=given), [])
