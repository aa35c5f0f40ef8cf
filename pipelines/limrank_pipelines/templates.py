"""The templates of rewriters and readers: those in `prompts/`, or a caller's own."""

from __future__ import annotations

from importlib import resources

from limrank_plugins.errors import InputError
from limrank_plugins.prompts import Template, load_template, parse_template


def template_of(name: str, path: str | None = None) -> Template:
    """The packaged template of this name, or the one in a caller's file.

    Raises:
        InputError: the path does not end in .toml, there is no such file, or it is no template.
    """
    if path is None:
        file = resources.files("limrank_pipelines").joinpath("prompts", f"{name}.toml")
        return parse_template(name, file.read_text("utf-8"))
    if not path.endswith(".toml"):
        raise InputError(f"template must be the path of a .toml file, but got {path!r}")
    return load_template(path)
