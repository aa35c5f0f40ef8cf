"""Settings and guidelines: what is read, what is refused, and what an answer depends on."""

from __future__ import annotations

import dataclasses
import json
import random
from collections import Counter
from importlib import resources
from pathlib import Path

import pytest

from limrank_plugins.errors import InputError
from limrank_synth.guidelines import load_guidelines
from limrank_synth.records import INTENTS, KINDS
from limrank_synth.settings import Role, read_settings

SHIPPED = resources.files("limrank_synth").joinpath("guidelines.toml").read_text("utf-8")


def test_a_file_and_what_wins(tmp_path: Path):
    path = tmp_path / "s.toml"
    path.write_text(
        'seed = 3\nkinds = ["expert"]\n[roles.writer]\nmodel = "m"\nprice_in = 2\n'
        "[filters.hardness]\ndepth = 9\n"
    )
    settings = read_settings(path, seed=4, max_cost=None)
    assert (settings.seed, settings.kinds, settings.max_cost) == (4, ("expert",), None)
    assert settings.filters == {"hardness": {"depth": 9}}
    assert settings.role("judge").model == "m"
    assert settings.judges == ("judge",)
    assert dataclasses.replace(settings, roles={"writer": Role("m"), "second": Role("s")}).judges == (
        "judge",
        "second",
    )
    json.dumps(settings.as_json())


@pytest.mark.parametrize("option", ["trust_remote_code = true", 'hf_overrides = "x"', 'worker_cls = "a.B"'])
def test_a_file_gives_a_role_listed_options_only(tmp_path: Path, option: str):
    path = tmp_path / "s.toml"
    path.write_text(
        '[roles.writer]\nmodel = "m"\nbackend = "vllm"\n[roles.writer.options]\ndtype = "bfloat16"\n'
    )
    assert read_settings(path).role("writer").options == {"dtype": "bfloat16"}
    path.write_text(path.read_text() + option)
    with pytest.raises(InputError, match=f"roles.writer.options sets '{option.split()[0]}', which no file"):
        read_settings(path)


def test_what_an_answer_depends_on():
    role = Role("m")
    # The sampling is part of the request itself, see test_roles.
    same = [dataclasses.replace(role, price_in=3.0), dataclasses.replace(role, base_url="http://host/v1")]
    other = [
        dataclasses.replace(role, **change)
        for change in ({"model": "n"}, {"body": {"top_k": 1}}, {"without": ["seed"]}, {"options": {"a": 1}})
    ]
    assert {one.shaping for one in same} == {role.shaping}
    assert len({role.shaping, *(one.shaping for one in other)}) == 5
    assert Role("m", price_in=2.0, price_out=4.0).price.cost(1_000_000, 500_000) == 4.0


@pytest.mark.parametrize("address", ["http://localhost:8000/v1", "https://api.example.org/openai/v1/"])
def test_addresses(address: str):
    assert Role("m", base_url=address).base_url == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "localhost:8000",
        "http://",
        "http://a b",
        "http://u:p@h",
        "http://h/?k=v",
        "http://h#f",
        "http://[",
        7,
    ],
)
def test_no_addresses(address: str):
    with pytest.raises(InputError, match="base_url of model 'm'") as found:
        Role("m", base_url=address)
    assert "u:p" not in str(found.value)


def test_the_shipped_guidelines():
    known = load_guidelines()
    for shares in (known.kind, known.difficulty, *known.domain.values()):
        assert sum(shares.values()) == pytest.approx(1)
    assert set(known.kind) == set(KINDS)
    assert set(known.meaning) == set(INTENTS)
    assert all(least < most for least, most in known.words.values())


def test_targets_are_drawn_by_the_shares():
    known, rng = load_guidelines(), random.Random(0)
    drawn = [known.draw("expert", rng) for _ in range(4000)]
    assert {one.kind for one in drawn} == {"expert"}
    for axis, shares in (("difficulty", known.difficulty), ("domain", known.domain["expert"])):
        counts = Counter(getattr(one, axis) for one in drawn)
        assert set(counts) == set(shares)
        for value, share in shares.items():
            assert counts[value] / 4000 == pytest.approx(share, abs=0.03)
    assert [known.draw("expert", random.Random(7)) for _ in range(3)] == [
        known.draw("expert", random.Random(7))
    ] * 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[kind] ", "[kinds] ", "there is no field 'kinds'"),
        ("easy = 25", "trivial = 25", "names 'trivial'"),
        ("easy = 25", "easy = -1", "must be a number >= 0"),
        ("easy = 25", 'easy = "a"', "difficulty.easy: .* but got 'a'"),
        ("easy = 25", "easy = nan", "easy"),
        ("easy = 25\nmedium = 40\nhard = 35", "easy = 0\nmedium = 0\nhard = 0", "sum to 0"),
        ("thought = [150, 600]", "thought = [600, 150]", "must be .least, most."),
        ("thought = [150, 600]", "thought = 150", "words.thought: .* but got 150"),
        ("thought = [150, 600]", "", "must name"),
        ("[domain.expert]", "[domain.experts]", "must name daily-life, expert"),
        ('direct = "', 'straight = "', "must name"),
        ("[meaning] ", "[meaning ", "is not TOML"),
    ],
)
def test_guidelines_that_make_no_sense(tmp_path: Path, old: str, new: str, message: str):
    assert old in SHIPPED
    path = tmp_path / "g.toml"
    path.write_text(SHIPPED.replace(old, new), "utf-8")
    with pytest.raises(InputError, match=message):
        load_guidelines(path)
