"""What MkDocs calls while it builds the site: pages that are made, links out of docs/, and a last check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from assets import foreign_assets
from commands import commands_page
from links import ELSEWHERE, ROOT, Links
from notebooks import as_pages
from python_api import API_PAGES, api_page


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made: of the project's files, its commands, its modules and its notebooks."""
    texts = {place: (ROOT / source).read_text("utf-8") for source, place in ELSEWHERE.items()}
    texts["reference/commands.md"] = commands_page()
    texts |= {f"reference/{name}.md": api_page(name) for name in API_PAGES}
    folder = Path(config.docs_dir) / "notebooks"
    texts |= as_pages(sorted(folder.glob("*.ipynb")), execute=config.extra["execute_notebooks"])
    for place, text in texts.items():
        files.append(File.generated(config, place, content=text))
    while attached := Links(files).attachments():  # which may link to others
        for source, place in attached.items():
            files.append(File.generated(config, place, content=(ROOT / source).read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Page, files: Files, **_: Any) -> str:
    """Links of a page as they are on the site: a page may name any file of the project."""
    return Links(files).on_the_site(markdown, page.file.src_uri)


def on_post_build(config: Any) -> None:
    """Fail where a page would fetch something from another host."""
    site = Path(config.site_dir)
    assets_of = {
        str(page.relative_to(site)): foreign_assets(page.read_text("utf-8")) for page in site.rglob("*.html")
    }
    foreign = {page: assets for page, assets in assets_of.items() if assets}
    if foreign:
        raise PluginError(f"pages fetch things from other hosts: {foreign}")
