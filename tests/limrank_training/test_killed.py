"""A training process killed while it writes: what it is gone on from is whole, what comes out is the same."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
from rounding import same_history, same_training
from safetensors.torch import load_file

from limrank_training.checkpoints import MARK, is_whole, last_checkpoint

DRIVER = Path(__file__).with_name("killed.py")
PLAN = """
base: {base}
lora: {{r: 4, alpha: 8, dropout: 0.2}}
optimiser: {{rate: 1e-2, schedule: cosine, warmup: 0.1, epochs: 3, batch: 4, part: 2}}
precision: float32
cutoff: 300
dev: 0.0
"""


class Runs:
    """Runs of `limrank` in a folder, each a process that may be killed; see `killed.py`."""

    def __init__(self, folder: Path, driver: subprocess.Popen[str]) -> None:
        self.folder, self._driver = folder, driver

    def limrank(self, run: str, kill: tuple[str, int] = ("never", 0), *more: str) -> int:
        """Train into a folder of this name; the exit status, negative for a signal."""
        asked = [str(self.folder), *kill, "train", "plan.yaml", "--rows", "rows.jsonl", "-o", run]
        self._driver.stdin.write(json.dumps([*asked, "--adapter-only", *more]) + "\n")
        self._driver.stdin.flush()
        status, said = json.loads(self._driver.stdout.readline())
        assert status in (0, -signal.SIGKILL), said
        return int(status)

    def __truediv__(self, name: str) -> Path:
        return self.folder / name


def weights(place: Runs, run: str) -> dict[str, Any]:
    return load_file(place / run / "adapter" / "adapter_model.safetensors")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """A plan of 6 steps with a checkpoint at every second one, and a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("killed")
    rows = [
        {"query": f"why {word}", "passage": f"{word} it is", "trace": "A thought.", "relevant": i % 2 == 0}
        for i, word in enumerate(["milk", "acid", "bread", "light", "rivers", "iron", "yeast", "gas"])
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tiny.build(folder / "base")
    (folder / "plan.yaml").write_text(PLAN.format(base=folder / "base"))
    env = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(
        [sys.executable, str(DRIVER)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        runs = Runs(folder, driver)
        assert runs.limrank("whole") == 0
        assert last_checkpoint(runs / "whole" / "checkpoints").name == "checkpoint-6"
        yield runs
        driver.stdin.close()


# Which file of which checkpoint is half written, and the checkpoint that is left.
FEW = [("tensors", 6, 2), ("marked", 2, 4)]
MANY = [
    # Four files each: settings, optimiser, schedule, random state.
    *(("tensors", number, (number - 1) // 4 * 2) for number in range(1, 13) if number != 6),
    ("state", 1, 0),
    ("state", 2, 2),
    ("state", 3, 4),
    ("unmarked", 1, 0),
    ("unmarked", 3, 4),
    ("marked", 1, 2),
    ("marked", 3, 6),
]


@pytest.mark.parametrize(
    ("where", "number", "left"), [*FEW, *(pytest.param(*one, marks=pytest.mark.soak) for one in MANY)]
)
def test_a_killed_run_gives_the_weights_of_one_that_was_not(place: Runs, where: str, number: int, left: int):
    run = f"{where}-{number}"
    assert place.limrank(run, (where, number)) == -signal.SIGKILL
    last = last_checkpoint(place / run / "checkpoints")
    assert (0 if last is None else int(last.name.removeprefix("checkpoint-"))) == left
    assert not (place / run / "adapter").exists()
    assert place.limrank(run) == 0
    same_training(weights(place, run), weights(place, "whole"), 1e-2)
    history = [json.loads(line) for line in (place / run / "history.jsonl").read_text().splitlines()]
    whole = [json.loads(line) for line in (place / "whole/history.jsonl").read_text().splitlines()]
    same_history(history, whole)


@pytest.mark.soak
def test_a_run_killed_twice(place: Runs):
    assert place.limrank("twice", ("state", 1)) == -signal.SIGKILL
    assert place.limrank("twice", ("tensors", 5)) == -signal.SIGKILL
    assert place.limrank("twice") == 0
    same_training(weights(place, "twice"), weights(place, "whole"), 1e-2)


def test_a_fresh_start_that_dies_leaves_the_run_of_before_and_is_gone_on_with(place: Runs):
    run = place / "fresh"
    shutil.copytree(place / "whole", run)
    (run / "notes.txt").write_text("mine")
    before = files(run)
    new = run / ".limrank-fresh"
    assert place.limrank("fresh", ("marked", 2), "--fresh") == -signal.SIGKILL
    assert {name: held for name, held in files(run).items() if name.parts[0] != new.name} == before
    assert sorted(p.name for p in (new / "checkpoints").iterdir()) == ["checkpoint-2", "checkpoint-4"]
    assert place.limrank("fresh", ("tensors", 1), "--fresh") == -signal.SIGKILL, "it starts over again"
    assert last_checkpoint(new / "checkpoints") is None
    assert place.limrank("fresh", ("marked", 1)) == -signal.SIGKILL
    assert place.limrank("fresh") == 0
    assert not new.exists()
    after = files(run)
    assert {n for n in after if "tensorboard" not in n.parts} == {
        n for n in before if "tensorboard" not in n.parts
    }
    assert not any("tensorboard" in n.parts and n in before for n in after)
    same_training(weights(place, "fresh"), weights(place, "whole"), 1e-2)


def files(folder: Path) -> dict[Path, bytes]:
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_what_is_whole(tmp_path: Path):
    place = tmp_path / "checkpoint-3"
    place.mkdir()
    (place / "a").write_text("12345")
    assert not is_whole(place)
    (place / MARK).write_text('{"a": 5}')
    assert last_checkpoint(tmp_path) == place
    for spoiled in ('{"a": 4}', '{"a": 5, "b": 1}', '{"a"', "{}", "[]"):
        (place / MARK).write_text(spoiled)
        assert last_checkpoint(tmp_path) is None
