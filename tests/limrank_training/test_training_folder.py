"""The folder of a training run holds its own files; others' are not replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from limrank_plugins.begun_anew import working_on
from limrank_plugins.errors import InputError
from limrank_training.training_run import training_files


@pytest.mark.parametrize("name", ["plan.json", "report.json", "history.jsonl"])
@pytest.mark.parametrize("fresh", [False, True])
def test_files_of_the_same_names_that_no_run_wrote_are_refused(tmp_path: Path, name: str, fresh: bool):
    (tmp_path / name).write_text('{"mine": 1}')
    with (
        pytest.raises(InputError, match=f"holds {name} and no plan.json of a training run"),
        working_on(tmp_path, {}, training_files, fresh=fresh),
    ):
        pass
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_run_knows_its_files(tmp_path: Path):
    assert training_files(tmp_path) == []
    for name, text in (("plan.json", '{"plan": {}, "data": {}}'), ("report.json", "{}"), ("mine.txt", "")):
        (tmp_path / name).write_text(text)
    assert {file.name for file in training_files(tmp_path)} == {"plan.json", "report.json"}
