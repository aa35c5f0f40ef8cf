"""The text of an HTML page: what a reader sees, paragraph by paragraph, without scripts and styles."""

from __future__ import annotations

from html.parser import HTMLParser

# Elements whose content is not shown as text.
_UNSEEN = {"script", "style", "noscript", "template", "svg", "iframe"}
# Elements that stand on lines of their own; all others run on within a line.
_BLOCKS = {
    "address", "article", "aside", "blockquote", "body", "br", "caption", "dd", "details", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr",
    "html", "legend", "li", "main", "nav", "ol", "option", "p", "pre", "section", "select", "summary",
    "table", "tbody", "tfoot", "thead", "tr", "ul",
}  # fmt: skip
_CELLS = {"td", "th"}
_PARAGRAPHS = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "pre", "blockquote", "section"}


def html_text(page: str) -> tuple[str, str]:
    """The title and the text of a page; either may be "". Paragraphs have a blank line between."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return " ".join("".join(reader.title).split()), reader.text()


class _Reader(HTMLParser):
    """Collects the text of a page; only elements that are not shown must be closed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title: list[str] = []
        self._parts: list[str] = []
        self._unseen: list[str] = []
        self._is_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "title" and not self.title:
            self._is_title = True
        elif tag in _UNSEEN:
            self._unseen.append(tag)
        self._break(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._is_title = False
        elif tag in self._unseen:
            del self._unseen[self._unseen.index(tag) :]
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if self._is_title:
            self.title.append(data)
        elif not self._unseen:
            self._parts.append(" ".join(("." + data + ".").split())[1:-1] if data.strip() else " ")

    def _break(self, tag: str) -> None:
        if tag in _BLOCKS:
            self._parts.append("\n\n" if tag in _PARAGRAPHS else "\n")
        elif tag in _CELLS:
            self._parts.append(" ")

    def text(self) -> str:
        """Lines without spaces around them, and one blank line where there are several."""
        lines = [" ".join(line.split()) for line in "".join(self._parts).split("\n")]
        kept = [line for place, line in enumerate(lines) if line or (place and lines[place - 1])]
        return "\n".join(kept).strip()
