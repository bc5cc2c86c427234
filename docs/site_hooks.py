"""Hooks of MkDocs: they make a site of pages that are written for GitHub.

Three things differ. Links that leave docs/ lead nowhere on a site, so they become text.
CHANGELOG.md lies outside docs/, and is taken in. The navigation names no page that is not there,
and leaves none out.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
TAKEN_IN = {"changelog.md": "CHANGELOG.md"}
"""Pages of the site by the files outside docs/ that they are made of."""
_REST, _DECISIONS = "Guides", "Decisions"
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>[^)\s]+)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The navigation, completed."""
    docs = Path(config.docs_dir)
    there = {page.name for page in docs.glob("*.md")} | set(TAKEN_IN)
    nav = _pruned(config.nav or [], there)
    sections = {title: entries for entry in nav for title, entries in entry.items()}
    rest = sorted(there - set(_pages_of(nav)))
    sections[_REST] += rest
    sections[_DECISIONS] += sorted(f"decisions/{p.name}" for p in docs.glob("decisions/*.md"))
    config.nav = nav
    return config


def _pruned(nav: list[Any], there: set[str]) -> list[Any]:
    """The entries whose pages are there."""
    kept = []
    for entry in nav:
        ((title, inner),) = entry.items()
        if isinstance(inner, list):
            kept.append({title: _pruned(inner, there)})
        elif inner in there:
            kept.append(entry)
    return kept


def _pages_of(nav: list[Any]) -> list[str]:
    pages: list[str] = []
    for entry in nav:
        ((_, inner),) = entry.items()
        pages += _pages_of(inner) if isinstance(inner, list) else [inner]
    return pages


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages, with those that lie outside docs/."""
    for page, path in TAKEN_IN.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """A page whose links lead somewhere on the site."""
    folder = posixpath.dirname(posixpath.join("docs", page.file.src_uri))
    if page.file.src_uri in TAKEN_IN:
        folder = ""
    return _LINK.sub(lambda link: _on_site(link, folder), markdown)


def _on_site(link: re.Match[str], folder: str) -> str:
    """A link of a page in this folder of the repository, as the site has it."""
    text, target = link["text"], link["target"]
    if "://" in target or target.startswith(("#", "mailto:")):
        return link[0]
    path, _, anchor = target.partition("#")
    place = posixpath.normpath(posixpath.join(folder, path))
    taken = {outside: inside for inside, outside in TAKEN_IN.items()}
    inside = taken.get(place) or (place.removeprefix("docs/") if place != "docs" else "index.md")
    if place in taken or place.startswith("docs"):
        start = posixpath.relpath(folder, "docs") if folder.startswith("docs") else "."
        new = posixpath.relpath(inside, start)
        return f"[{text}]({new}#{anchor})" if anchor else f"[{text}]({new})"
    shown = f"`{place}`"
    return text if text.strip("`") == place else f"{text} ({shown} in the sources)"
