"""The frame of every HTML report: that of all pages, with `base.html.jinja` and `report.css` in `page/`."""

from __future__ import annotations

from limrank_evals.reporting.text_policy import clean
from limrank_plugins import __version__, pages

_PACKAGE = "limrank_evals.reporting"
_STYLES = ("plot.css", "frame.css", "report.css")


def render_page(template: str, *, scripts: tuple[str, ...] = (), **values: object) -> str:
    """A report's page; whatever a text holds, it is shown as text.

    Args:
        template: a file in `page/` that extends `base.html.jinja`, which names the values it needs.
        scripts: files in `page/` or shared by all pages, joined to one module that runs at the end.
        values: of the template.
    """
    return pages.render_page(
        _PACKAGE,
        template,
        styles=_STYLES,
        scripts=scripts,
        asks=False,
        clean=clean,
        version=__version__,
        **values,
    ).html
