"""What a page fetches from another host: nothing of ours may."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_FOREIGN = re.compile(r"^\s*(?:https?:)?//", re.IGNORECASE)
_IN_STYLE = re.compile(r"(?:url\(|@import)\s*['\"]?\s*((?:https?:)?//[^'\")\s;]+)", re.IGNORECASE)
# A link that is followed by a click fetches nothing; these do without one.
_FETCHING = {
    "stylesheet",
    "icon",
    "preload",
    "prefetch",
    "preconnect",
    "dns-prefetch",
    "modulepreload",
    "manifest",
}


def foreign_assets(html: str) -> list[str]:
    """Addresses on other hosts that a browser fetches for a page: scripts, styles, pictures, fonts, frames.

    A diagram of Mermaid counts, for which the theme would fetch its program.
    """
    parser = _Assets()
    parser.feed(html)
    return parser.found


class _Assets(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        named = [attributes[name] for name in ("src", "data", "poster") if name in attributes]
        named += [part.split()[0] for part in attributes.get("srcset", "").split(",") if part.strip()]
        if tag == "link" and _FETCHING & set(attributes.get("rel", "").split()):
            named.append(attributes.get("href", ""))
        self.found += [address for address in named if _FOREIGN.match(address)]
        self.found += _IN_STYLE.findall(attributes.get("style", ""))
        if "mermaid" in attributes.get("class", "").split():
            self.found.append("mermaid")
        self._in_style = tag == "style"

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.found += _IN_STYLE.findall(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False
