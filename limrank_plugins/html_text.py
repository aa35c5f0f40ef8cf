"""The text of an HTML page, paragraph by paragraph, without scripts, styles and what frames it."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

from limrank_plugins.errors import InputError

# Elements whose content is not shown as text.
_UNSEEN = {"script", "style", "noscript", "template", "svg", "iframe"}
# What the pages of a site have in common, and none of them is about: navigation, the page's own header and
# footer. Those of an article or a section are its heading and its notes (WAI-ARIA draws the line there, too).
_NAVIGATION = {"nav"}
_FRAME = {"header", "footer"}
_SECTIONS = {"article", "aside", "main", "section"}
# Elements that stand on lines of their own; all others run on within a line.
_BLOCKS = {
    "address", "article", "aside", "blockquote", "body", "br", "caption", "dd", "details", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr",
    "html", "legend", "li", "main", "nav", "ol", "option", "p", "pre", "section", "select", "summary",
    "table", "tbody", "tfoot", "thead", "tr", "ul",
}  # fmt: skip
_CELLS = {"td", "th"}
_PARAGRAPHS = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "pre", "blockquote", "section"}
# Elements that hold nothing and have no end (WHATWG HTML, void elements).
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
# For each tag that never ends, the library looks through all that follows: so many characters at most.
_MOST_LOOKED_THROUGH = 10_000_000


def html_text(page: str) -> tuple[str, str]:
    """The title and the text of a page; either may be "". Paragraphs have a blank line between.

    Navigation and the page's own header and footer are left out, unless it shows nothing else.

    Raises:
        InputError: nobody wrote it: thousands of tags without an end, or a number of thousands of digits.
    """
    title, text = _read(page, whole=False)
    return (title, text) if text else _read(page, whole=True)


def _read(page: str, *, whole: bool) -> tuple[str, str]:
    reader = _Reader(whole=whole)
    try:
        reader.feed(page)
        reader.close()
    except InputError:
        raise
    except ValueError as error:  # a number that Python does not read
        raise InputError(f"it holds a character reference of too many digits ({error})") from error
    return " ".join("".join(reader.title).split()), reader.text()


class _Reader(HTMLParser):
    """Collects the text of a page; an element that nobody closes ends with the one around it."""

    def __init__(self, *, whole: bool) -> None:
        super().__init__(convert_charrefs=True)
        self.title: list[str] = []
        self._whole = whole
        self._parts: list[str] = []
        self._open: list[tuple[str, bool]] = []  # elements, and whether what they hold is left out
        self._count = Counter[str]()  # of the open ones, as a search of all for every end takes too long
        self._hidden = 0
        self._is_title = False
        self._looked_through = 0

    def parse_starttag(self, i: int) -> int:
        return self._within_bounds(super().parse_starttag(i), i)

    def parse_endtag(self, i: int) -> int:
        return self._within_bounds(super().parse_endtag(i), i)

    def parse_html_declaration(self, i: int) -> int:
        return self._within_bounds(super().parse_html_declaration(i), i)

    def parse_comment(self, i: int, report: bool = True) -> int:
        return self._within_bounds(super().parse_comment(i, report), i)

    def parse_pi(self, i: int) -> int:
        return self._within_bounds(super().parse_pi(i), i)

    def _within_bounds(self, end: int, start: int) -> int:
        if end < 0:
            self._looked_through += len(self.rawdata) - start
            if self._looked_through > _MOST_LOOKED_THROUGH:
                raise InputError("it holds too many tags that never end to be an HTML page")
        return end

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "title" and not self.title and not self._hidden:  # an icon has a title, too
            self._is_title = True
        elif tag not in _VOID:
            hidden = self._is_left_out(tag)
            self._open.append((tag, hidden))
            self._count[tag] += 1
            self._hidden += hidden
        self._break(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "title" and self._is_title:
            self._is_title = False
        elif self._count[tag]:
            ended = ""
            while ended != tag:
                ended, hidden = self._open.pop()
                self._count[ended] -= 1
                self._hidden -= hidden
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if self._is_title:
            self.title.append(data)
        elif not self._hidden:
            self._parts.append(" ".join(("." + data + ".").split())[1:-1] if data.strip() else " ")

    def _is_left_out(self, tag: str) -> bool:
        if tag in _UNSEEN or self._whole:
            return tag in _UNSEEN
        in_section = any(self._count[section] for section in _SECTIONS)
        return tag in _NAVIGATION or (tag in _FRAME and not in_section)

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
