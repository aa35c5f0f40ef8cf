"""Shared by all tests: no network, a cache of their own, and a way to make skips fail."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from data_folder import is_left_out, problem_with
from hypothesis import settings

# The suite is the same every time it runs, so that what fails here fails for everyone; `make soak`
# searches anew with --hypothesis-profile=search.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None, print_blob=True)
settings.load_profile("same")

# Before anything imports a hub client: a test that would download must fail at once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"


def pytest_configure() -> None:
    if processor := os.environ.get("LIMRANK_ROUNDING"):
        from other_processor import imitate

        imitate(processor)


LONGEST = (
    "limrank_evals/zoo/test_zoo.py",
    "test_smollm2_doors.py",
    "limrank_plugins/backends/test_smollm2_writing.py",
    "limrank_training/test_real_weights.py",
    "limrank_plugins/recipes/test_real_weights.py",
    "limrank_training/test_groups_run.py",
    "test_readme.py",
    "limrank_plugins/backends/test_smollm2.py",
    "limrank_training/test_processes.py",
    "limrank_training/world/test_proof.py",
    "limrank_training/bench/test_bench.py",
    "limrank_training/test_killed.py",
    "limrank_synth/cli/test_run_seeds.py",
    "limrank_synth/cli/test_run_killed.py",
    "limrank_synth/test_limrank_open.py",
    "cli/test_quiet.py",
)
"""Files that take longest. They come first, so that at the end no process is waited for that just began."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if data := os.environ.get("LIMRANK_DATA"):
        _choose_of_data(data, config, items)
    here = Path(__file__).parent
    places = {here / name: place for place, name in enumerate(LONGEST)}
    if absent := [str(file) for file in places if not file.is_file()]:
        raise pytest.UsageError(f"conftest.LONGEST names files that do not exist: {absent}")
    items.sort(key=lambda item: places.get(item.path, len(places)))


def _choose_of_data(data: str, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse a folder without the collections; leave out tests that need more than it holds."""
    if problem := problem_with(data):
        raise pytest.UsageError(problem)
    needs = {item: [name for mark in item.iter_markers("data") for name in mark.args] for item in items}
    left_out = [item for item in items if is_left_out(data, needs[item])]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
        lacking = sorted({name for item in left_out for name in needs[item]})
        config.get_terminal_writer().line(
            f"left out: {len(left_out)} tests, as {data} has no {', '.join(lacking)}"
        )


def pytest_collection_finish() -> None:
    """As many threads as `make test-processors` asks for: test modules take one when they are imported.

    What is imported by then stays: a test that has garbage collected need not look through all of it.
    """
    gc.collect()
    gc.freeze()
    if threads := os.environ.get("LIMRANK_THREADS"):
        import torch

        torch.set_num_threads(int(threads))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="a skipped test is a failure")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    if report.skipped and item.config.getoption("--no-skips"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which is not allowed here: {report.longrepr}"


@pytest.fixture(scope="session")
def smollm2() -> str:
    """The name of the embedded language model, whose weights are real ones."""
    from limrank_plugins.backends.smollm_weights import SMOLLM2_INSTALL, find_smollm2

    if find_smollm2() is None:
        pytest.skip(f"the embedded language model needs {SMOLLM2_INSTALL}")
    return "smollm2"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMRANK_CACHE", str(tmp_path_factory.mktemp("cache")))
