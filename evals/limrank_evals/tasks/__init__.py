"""The benchmarks of `limrank eval NAME`: one declarative module each, found by its name.

To add one, add a module here that holds its `TASK`; its command appears by itself.

Example:
    >>> from limrank_evals.tasks import load_task
    >>> task = load_task("bright")
    >>> len(task.splits), task.source
    (12, 'xlangai/BRIGHT')
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from limrank_evals.tasks.task import Task
from limrank_plugins.errors import InputError

__all__ = ["Task", "load_task", "task_names"]


def task_names() -> list[str]:
    """The benchmarks that can be named."""
    return [module.name.replace("_", "-") for module in iter_modules(__path__) if module.name != "task"]


def load_task(name: str) -> Task:
    """The benchmark of this name.

    Raises:
        InputError: there is none.
    """
    if name not in task_names():
        raise InputError(f"there is no benchmark {name!r}; there are: {', '.join(task_names())}")
    task: Task = import_module(f"{__name__}.{name.replace('-', '_')}").TASK
    return task
