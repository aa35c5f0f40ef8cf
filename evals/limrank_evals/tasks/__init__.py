"""The benchmarks of `limrank eval NAME`: one declarative file each, found by name.

Example:
    >>> from limrank_evals.tasks import load_task
    >>> task = load_task("bright")
    >>> len(task.splits), task.source
    (12, 'xlangai/BRIGHT')
"""

from __future__ import annotations

from importlib import import_module

from limrank_evals.tasks.task import Task
from limrank_plugins.errors import InputError

__all__ = ["Task", "load_task", "task_names"]

_TASKS = {
    "bright": "limrank_evals.tasks.bright",
    "followir": "limrank_evals.tasks.followir",
    "litsearch": "limrank_evals.tasks.litsearch",
    "beir": "limrank_evals.tasks.beir",
    "r2med": "limrank_evals.tasks.r2med",
    "trec-dl": "limrank_evals.tasks.trec_dl",
    "rankify": "limrank_evals.tasks.rankify",
    "mmdocir": "limrank_evals.tasks.mmdocir",
    "mbeir": "limrank_evals.tasks.mbeir",
    "webqa": "limrank_evals.tasks.webqa",
    "folder": "limrank_evals.tasks.folder",
}


def task_names() -> list[str]:
    """The benchmarks that can be named."""
    return list(_TASKS)


def load_task(name: str) -> Task:
    """The benchmark of this name.

    Raises:
        InputError: there is none.
    """
    if name not in _TASKS:
        raise InputError(f"there is no benchmark {name!r}; there are: {', '.join(task_names())}")
    task: Task = import_module(_TASKS[name]).TASK
    return task
