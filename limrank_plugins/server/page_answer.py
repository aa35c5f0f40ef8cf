"""The page at `/`, as it is sent: one file, which asks this server alone and runs its own script alone."""

from __future__ import annotations

from fastapi.responses import HTMLResponse

from limrank_plugins import __version__
from limrank_plugins.pages import Page, render_page

_STYLES = ("plot.css", "frame.css", "page.css")
_SCRIPTS = (
    "dom.js",
    "movement.js",
    "documents.js",
    "asking.js",
    "inputs.js",
    "columns.js",
    "ranking.js",
    "page.js",
)


def served_page() -> Page:
    """The page; it holds no query, no document and no token."""
    return render_page(
        "limrank_plugins.server",
        "page.html.jinja",
        styles=_STYLES,
        scripts=_SCRIPTS,
        asks=True,
        title="Reranking",
        version=__version__,
    )


def page_answer(page: Page) -> HTMLResponse:
    """What is sent for it."""
    return HTMLResponse(
        page.html,
        headers={
            "Content-Security-Policy": f"{page.policy}; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store",
        },
    )
