"""The documentation as a site: it builds without a warning, has every page, and fetches nothing."""

import re
import subprocess
import sys

import pytest
from support import ROOT

PAGES = sorted(path.relative_to(ROOT / "docs") for path in ROOT.glob("docs/**/*.md"))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of the site, built as `make site` does."""
    folder = tmp_path_factory.mktemp("site")
    # Not --quiet: with it MkDocs neither shows warnings nor counts them.
    ended = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert {line[:4] for line in ended.stderr.splitlines()} == {"INFO"}, ended.stderr
    return folder


def test_every_page_is_in_the_site_and_in_its_navigation(built):
    start = (built / "index.html").read_text(encoding="utf-8")
    for page in PAGES:
        name = page.with_suffix(".html").as_posix()
        assert (built / name).is_file(), name
        assert f'href="{name}"' in start or name == "index.html", name
    assert (built / "changelog.html").is_file()


def test_every_block_of_code_is_one(built):
    """Markdown for GitHub that the site's generator does not take as it is meant."""
    for path in built.glob("**/*.html"):
        text = re.sub(r"<(pre|code).*?</\1>", "", path.read_text(encoding="utf-8"), flags=re.S)
        body = text.partition('role="main"')[2]
        for sign in ("```", "<p>- ", "<p>1. ", "|---", "]("):
            assert sign not in body, (path.name, sign)


def test_a_reader_needs_no_other_server(built):
    for path in built.glob("**/*.html"):
        text = path.read_text(encoding="utf-8")
        fetched = re.findall(r"""<(?:script|img)[^>]* src="(https?:[^"]+)""", text)
        fetched += re.findall(r"""<link[^>]* href="(https?:[^"]+)""", text)
        assert not fetched, path.name


def test_scripts_of_docs_are_not_published(built):
    assert not list(built.glob("**/*.py"))


def test_links_out_of_docs_become_text(built):
    text = (built / "plugins.html").read_text(encoding="utf-8")
    assert "examples/imgfx-sepia" in text
    assert 'href="../examples' not in text
