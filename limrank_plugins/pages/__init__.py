"""The frame of every page that shows rankings: one file with its styles, script and data; nothing is fetched.

The layout, the style sheets and the scripts that pages share are in `parts/`. A page brings its own beside
its code: a report in `evals`, the page of `limrank serve`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from limrank_plugins.segments import clean_text

_SHARED = ("limrank_plugins.pages", "parts")
_OWN = "page"


@dataclass(frozen=True, slots=True)
class Page:
    """A page and what it may do.

    Attributes:
        html: the file.
        policy: its Content-Security-Policy, which stands in it, too.
    """

    html: str
    policy: str


def render_page(
    package: str,
    template: str,
    *,
    styles: Sequence[str],
    scripts: Sequence[str] = (),
    asks: bool = False,
    clean: Callable[[str], str] = clean_text,
    **values: object,
) -> Page:
    """A page of a package; whatever a text holds, it is shown as text.

    Args:
        package: has a folder `page` with files of its own, which may extend and name those of `parts`.
        template: a file that extends `frame.html.jinja`, which names the values it needs.
        styles: style sheets, in this order.
        scripts: joined to one module.
        asks: whether the script may ask the server that the page came from.
        clean: what every text of `values` is put through.
        **values: of the template, `title` and `version` among them.
    """
    engine = Environment(
        loader=ChoiceLoader([PackageLoader(package, _OWN), PackageLoader(*_SHARED)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: clean(value) if type(value) is str else value,
    )
    style = "\n".join(page_file(package, name) for name in styles)
    script = "\n".join(page_file(package, name) for name in scripts)
    policy = _policy(style, script, asks=asks)
    html = engine.get_template(template).render(
        policy=policy, style=Markup(style), script=Markup(script), **values
    )
    return Page(html, policy)


def page_file(package: str, name: str) -> str:
    """A file of a package's folder `page`, else of what pages share."""
    own = files(package).joinpath(_OWN, name)
    file = own if own.is_file() else files(_SHARED[0]).joinpath(_SHARED[1], name)
    return file.read_text("utf-8")


def _policy(style: str, script: str, *, asks: bool) -> str:
    """Only this style sheet and this script, by their hashes; no string as markup or script."""
    allowed = [
        "default-src 'none'",
        f"style-src {_hash(style)}",
        *([f"script-src {_hash(script)}"] if script else []),
        *(["connect-src 'self'"] if asks else []),
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
    return "; ".join(allowed)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
