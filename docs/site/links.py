"""Where the project's files are on the site, and links between them.

Pages link to files as they lie in the project, so that they work where the files are read, too.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import Files

ROOT = Path(__file__).resolve().parents[2]
# Pages that do not lie in docs/.
ELSEWHERE = {
    "README.md": "index.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "synth/limrank_synth/limrank_open/README.md": "project/limrank-open-card.md",
    **{f"{room}/README.md": f"project/{room}.md" for room in ("pipelines", "synth", "training", "evals")},
    "limrank_plugins/README.md": "project/limrank_plugins.md",
}
_ATTACHED = "files/"  # where those go that are linked to and have no place of their own
_LINK = re.compile(r"(\]\()([^)#\s]+)(#[^)\s]*)?(\))")
_ADDRESS = re.compile(r"^[a-z]+:")


class Links:
    """Links of the pages among these files."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._source = {place: source for source, place in ELSEWHERE.items()}

    def on_the_site(self, markdown: str, page: str) -> str:
        """A page's text with its links as the site needs them."""

        def changed(link: re.Match[str]) -> str:
            source = self._named(link[2], page)
            if source is None:
                return link[0]
            place = posixpath.relpath(self._place(source), posixpath.dirname(page) or ".")
            return f"{link[1]}{place}{link[3] or ''}{link[4]}"

        return _LINK.sub(changed, markdown)

    def attachments(self) -> dict[str, str]:
        """Files that pages link to and that are not there yet, with their places."""
        attachments = {}
        for file in self._files.documentation_pages():
            for link in _LINK.finditer(file.content_string):
                source = self._named(link[2], file.src_uri)
                if source is not None and self._files.get_file_from_path(self._place(source)) is None:
                    attachments[source] = self._place(source)
        return attachments

    def _named(self, link: str, page: str) -> str | None:
        """The file of the project that a link of a page means; None where there is none."""
        if _ADDRESS.match(link):
            return None
        base = posixpath.dirname(self._source_of(page))
        path = posixpath.normpath(posixpath.join(base, link))
        return path if (ROOT / path).is_file() else None

    def _place(self, source: str) -> str:
        if source in ELSEWHERE:
            return ELSEWHERE[source]
        if source.startswith("docs/"):
            return source.removeprefix("docs/")
        return f"{_ATTACHED}{source}"

    def _source_of(self, page: str) -> str:
        if page in self._source:
            return self._source[page]
        return page.removeprefix(_ATTACHED) if page.startswith(_ATTACHED) else f"docs/{page}"
