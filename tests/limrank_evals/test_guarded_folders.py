"""The folder of an evaluation belongs to one setting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from limrank_evals.guarded_folders import claim, differences, evaluation_files, keep_settings
from limrank_evals.questions.question_job import job_name
from limrank_evals.questions.questions_report import OUTPUTS, SCHEMA
from limrank_plugins import Store
from limrank_plugins.begun_anew import working_on
from limrank_plugins.errors import InputError
from limrank_plugins.jobs import Job

SETTINGS = {"depth": 100, "conditions": ["closed-book"], "judge": None}


def files(folder: Path) -> list[Path]:
    return evaluation_files(folder, SCHEMA, OUTPUTS)


def open_folder(folder: Path, settings: dict[str, Any], fresh: bool = False) -> None:
    claim(folder)
    with working_on(folder, settings, files, fresh=fresh) as work:
        keep_settings(work.place, SCHEMA, settings)
        work.end(is_finished=True)


def test_the_same_settings_go_on_and_others_are_refused(tmp_path: Path):
    folder = tmp_path / "eval"
    open_folder(folder, settings=SETTINGS)
    before = (folder / "settings.json").read_bytes()
    (folder / "answers.jsonl").write_text("x")
    open_folder(folder, settings=dict(reversed(SETTINGS.items())))
    assert (folder / "settings.json").read_bytes() == before
    with pytest.raises(
        InputError, match=r"depth is 100 there, 10 here\. Name another --output, or .* --fresh"
    ):
        open_folder(folder, settings={**SETTINGS, "depth": 10})
    with pytest.raises(InputError, match="new is null there, 1 here"):
        open_folder(folder, settings={**SETTINGS, "new": 1})
    assert (folder / "answers.jsonl").is_file()


def test_a_refusal_names_what_differs_and_not_all_that_is_there():
    many = [f"corpus {i}" for i in range(50)]
    name = f"limrank|{'YesNo' * 40}|model@1"
    there = {"corpora": [*many, "a"], "order": ["x", "y"], "reranker": name, "text": "x" * 500, "same": many}
    here = {**there, "corpora": [*many, "b"], "order": ["y", "x"], "text": "y" * 500}
    here["reranker"] = name.replace("@1", "@2")
    assert differences(there, here) == [
        'corpora is ["a"] there, ["b"] here',
        'order is ["x", "y"] there, ["y", "x"] here',
        'reranker is "model@1" there, "model@2" here',
        f'text is "{"x" * 118}… there, "{"y" * 118}… here',
    ]


def test_fresh_takes_away_what_an_evaluation_writes_and_nothing_else(tmp_path: Path):
    open_folder(tmp_path / "eval", settings=SETTINGS)
    for name in ("answers.jsonl", "report.html", "store.sqlite", "store.sqlite-wal", "notes.txt"):
        (tmp_path / "eval" / name).write_text("x")
    open_folder(tmp_path / "eval", settings={**SETTINGS, "depth": 10}, fresh=True)
    assert sorted(file.name for file in (tmp_path / "eval").iterdir()) == ["notes.txt", "settings.json"]
    assert json.loads((tmp_path / "eval" / "settings.json").read_text())["depth"] == 10


def test_folders_of_something_else_are_left_alone(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        open_folder(tmp_path / "file", settings=SETTINGS)
    with pytest.raises(InputError, match=r"holds other files \(file\)"):
        open_folder(tmp_path, settings=SETTINGS, fresh=True)
    for text in ("{", "[]", '{"schema": "other"}'):
        (tmp_path / "eval").mkdir(exist_ok=True)
        (tmp_path / "eval" / "settings.json").write_text(text)
        for fresh in (False, True):
            with pytest.raises(InputError, match=r"settings\.json is"):
                open_folder(tmp_path / "eval", settings=SETTINGS, fresh=fresh)
    assert (tmp_path / "file").read_text() == "x"


def test_journals_of_two_settings_share_nothing(tmp_path: Path):
    with Store(tmp_path / "store.sqlite") as store:
        first, second = Job(store, job_name(SETTINGS)), Job(store, job_name({**SETTINGS, "depth": 1}))
        first.commit("a", {"right": True, "text": "naïve \ud800"})
        assert (
            first.find("a")
            == Job(store, job_name(SETTINGS)).find("a")
            == {
                "right": True,
                "text": "naïve \ud800",
            }
        )
        assert second.find("a") is None
        assert (len(first), len(second)) == (1, 0)
