"""A folder is one run's: another that would replace what it paid for is refused, in every command."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from synth_writer import Writer, seeds
from synthetic_rows import rows

from limrank_plugins.backends.protocols import Failed
from limrank_plugins.errors import InputError
from limrank_synth.collection import make_documents
from limrank_synth.gold_lists import make_lists
from limrank_synth.run_identity import RUN, RunIdentity, digest_of
from limrank_synth.settings import Role, SynthSettings
from limrank_synth.stages.personas import check_personas, shipped_personas
from limrank_synth.synthesis_run import dry_run, synthesise_all

SETTINGS = SynthSettings(
    roles={name: Role(f"{name}-1") for name in ("writer", "reasoner", "judge")}, attempts=1, concurrency=4
)


def documents(folder: Path, count: int = 4, seed: int = 0, fresh: bool = False, **more: Any) -> Writer:
    writer = Writer(lambda query, request: f"About {query}.")
    known = replace(SETTINGS, seed=seed)
    make_documents(
        seeds(count), known, folder, backends=dict.fromkeys(SETTINGS.roles, writer), fresh=fresh, **more
    )
    return writer


def lists(folder: Path, count: int = 3, seed: int = 0, fresh: bool = False, **more: Any) -> Writer:
    reasoner = Writer(
        lambda query, request: "<think>The first.</think> <answer>[1] > [2] > [3] > [4]</answer>"
    )
    backends = dict.fromkeys(SETTINGS.roles, reasoner)
    make_lists(rows(count), SETTINGS, folder, seed=seed, backends=backends, fresh=fresh, **more)
    return reasoner


def run(folder: Path, count: int = 2, seed: int = 0, fresh: bool = False, **more: Any) -> None:
    """Nobody is asked: the folder is begun, no row is finished."""
    people = more.pop("personas", shipped_personas())
    synthesise_all(seeds(count), people, replace(SETTINGS, seed=seed), folder, offline=True, fresh=fresh)


def files(folder: Path) -> dict[Path, bytes]:
    """All but the ledger, which holds times."""
    return {f: f.read_bytes() for f in folder.rglob("*") if f.is_file() and "ledger" not in f.name}


@pytest.mark.parametrize("make", [documents, lists, run])
def test_other_items_or_another_seed_are_refused(tmp_path: Path, make: Callable[..., Any]):
    folder = tmp_path / "out"
    make(folder, 3)
    before = files(folder)
    with pytest.raises(InputError, match=r"1 of its 3 .* is not among these 2, e.g. .*--fresh"):
        make(folder, 2)
    with pytest.raises(InputError, match=r"seed is 0 there, 5 here.*Name another --output"):
        make(folder, 3, seed=5)
    assert files(folder) == before
    make(folder, 3)
    make(folder, 4)  # more lose nothing
    with pytest.raises(InputError, match="is not among these 3"):
        make(folder, 3)
    make(folder, 2, seed=5, fresh=True)
    make(folder, 2, seed=5)


@pytest.mark.parametrize("make", [documents, lists])
def test_a_fresh_run_that_fails_leaves_the_finished_one(
    tmp_path: Path, make: Callable[..., Writer], monkeypatch: pytest.MonkeyPatch
):
    make(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    before = files(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Writer, "_reply", lambda self, request: Failed("the model fell over"))
        make(tmp_path, fresh=True)
    new = tmp_path / ".limrank-fresh"
    assert {file: held for file, held in files(tmp_path).items() if new not in file.parents} == before
    assert new.is_dir()
    assert len(make(tmp_path).asked) > 0, "it goes on with the new one"
    assert not new.exists()
    assert make(tmp_path).asked == []
    after = files(tmp_path)
    assert after.keys() == before.keys()
    assert all(after[file] == held for file, held in before.items() if file.name != "report.json")
    bills = [json.loads(held[tmp_path / "report.json"])["calls"] for held in (before, after)]
    assert all(bills[1][role]["calls"] == 2 * row["calls"] for role, row in bills[0].items())


def test_nothing_is_asked_by_a_run_that_is_refused(tmp_path: Path):
    documents(tmp_path, 3)
    writer = Writer(lambda query, request: "no")
    with pytest.raises(InputError, match="queries is not among"):
        make_documents(seeds(2), SETTINGS, tmp_path, backends=dict.fromkeys(SETTINGS.roles, writer))
    assert writer.asked == []


def test_more_samples_go_on_and_fewer_are_refused(tmp_path: Path):
    documents(tmp_path)
    assert len(documents(tmp_path, samples=2).asked) == 4, "the first samples are there"
    with pytest.raises(InputError, match="samples is 2 there, only 1 here"):
        documents(tmp_path)
    assert documents(tmp_path, samples=2, per_positive=9).asked == [], (
        "negatives are drawn from what is there"
    )


def test_another_size_of_lists_is_refused(tmp_path: Path):
    lists(tmp_path)
    with pytest.raises(InputError, match="size is 20 there, 5 here"):
        lists(tmp_path, size=5)


def test_other_personas_are_refused(tmp_path: Path):
    run(tmp_path)
    with pytest.raises(InputError, match=r"personas is .* there, .* here"):
        run(tmp_path, personas=shipped_personas()[:3])
    run(tmp_path, personas=shipped_personas()[:3], fresh=True)


def test_another_command_in_the_folder_is_refused(tmp_path: Path):
    documents(tmp_path)
    with pytest.raises(InputError, match="it is of `synth documents`, this is `synth lists`"):
        lists(tmp_path)


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "[]", '{"command": "x"}', '{"settings": 3}'], ids=len)
def test_a_damaged_file_is_one_sentence(tmp_path: Path, text: str):
    documents(tmp_path)
    (tmp_path / RUN).write_text(text)
    with pytest.raises(InputError, match=r"run\.json.*--fresh"):
        documents(tmp_path)
    documents(tmp_path, fresh=True)
    assert json.loads((tmp_path / RUN).read_text())["command"] == "documents"


def test_texts_are_told_apart_by_all_of_them(tmp_path: Path):
    long = "x" * 200
    RunIdentity("run", "seeds", (f"{long}1",), {}).claim(tmp_path)
    with pytest.raises(InputError, match="1 of its 1 seeds"):
        RunIdentity("run", "seeds", (f"{long}2",), {}).claim(tmp_path)
    assert digest_of(["a", "b"]) != digest_of(["ab"])


def test_nobody_to_ask_as_is_one_sentence(tmp_path: Path):
    for ask in (
        lambda: synthesise_all(seeds(1), [], SETTINGS, tmp_path / "run", offline=True),
        lambda: dry_run(seeds(1), [], SETTINGS),
        lambda: check_personas([]),
    ):
        with pytest.raises(InputError, match="there are no personas: give at least one"):
            ask()
    assert not (tmp_path / "run").exists()
