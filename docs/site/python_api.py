"""Reference pages out of docstrings: what every room exports."""

from __future__ import annotations

import importlib
import inspect

# Every page, and the modules whose exported names it lists.
API_PAGES = {
    "limrank_plugins": ["limrank_plugins"],
    "frameworks": [
        "llama_index.postprocessor.limrank",
        "llama_index.retrievers.limrank",
        "haystack_integrations.components.rankers.limrank",
        "haystack_integrations.components.retrievers.limrank",
        "limrank_plugins.langchain",
    ],
    "limrank_pipelines": ["limrank_pipelines", "limrank_pipelines.llama_index", "limrank_pipelines.haystack"],
    "limrank_synth": ["limrank_synth"],
    "limrank_training": ["limrank_training.plans", "limrank_training.training_run"],
    "limrank_evals": ["limrank_evals", "limrank_evals.mteb"],
}


def exported(module: str) -> dict[str, str]:
    """What a module exports: where each name is defined."""
    loaded = importlib.import_module(module)
    names = getattr(loaded, "__all__", None)
    if names is None:
        names = [name for name, value in vars(loaded).items() if getattr(value, "__module__", "") == module]
    places = {}
    for name in names:
        if name.startswith("_"):
            continue
        value = getattr(loaded, name)
        own = inspect.isclass(value) or inspect.isfunction(value)
        places[name] = f"{value.__module__}.{value.__qualname__}" if own else f"{module}.{name}"
    return places


def api_page(name: str) -> str:
    """A page of mkdocstrings' directives, one for each exported name."""
    lines = [f"# {name}", ""]
    for module in API_PAGES[name]:
        summary = inspect.getdoc(importlib.import_module(module)) or ""
        lines += [f"## {module}", "", summary.partition("\n\n")[0], ""]
        for shown, place in exported(module).items():
            lines += [f"::: {place}", "    options:", f"      heading: {shown}", "      heading_level: 3", ""]
    return "\n".join(lines)
