"""The frame of every HTML report: one file with its styles, scripts and data; nothing is fetched.

The layout is `page/base.html.jinja`, the style sheets beside it and this module.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from limrank_evals.reporting.texts import clean
from limrank_plugins import __version__

STYLES = ("plot.css", "report.css")


def render_page(template: str, *, scripts: tuple[str, ...] = (), **values: object) -> str:
    """A report's page; whatever a text holds, it is shown as text.

    Args:
        template: a file in `page/` that extends `base.html.jinja`, which names the values it needs.
        scripts: files in `page/`, joined to one module that runs at the end.
        values: of the template.
    """
    engine = Environment(
        loader=PackageLoader("limrank_evals.reporting", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: clean(value) if type(value) is str else value,
    )
    style = "\n".join(map(page_file, STYLES))
    script = "\n".join(map(page_file, scripts))
    return engine.get_template(template).render(
        policy=_policy(style, script),
        version=__version__,
        style=Markup(style),
        script=Markup(script),
        **values,
    )


def page_file(name: str) -> str:
    """A file of the folder `page`."""
    return files("limrank_evals.reporting").joinpath("page", name).read_text("utf-8")


def _policy(style: str, script: str) -> str:
    """Only this style sheet and this script, by their hashes; no request, no string as markup or script."""
    allowed = [
        "default-src 'none'",
        f"style-src {_hash(style)}",
        *([f"script-src {_hash(script)}"] if script else []),
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
    return "; ".join(allowed)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
