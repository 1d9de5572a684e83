"""Links lead somewhere: between pages, to headings, to files of the project; and the pages can be built."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import PAGES, ROOT, text_of

LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_and_anchor_leads_somewhere(page):
    lost = []
    for link in LINK.findall(text_of(page)):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = page.parent / place if place else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert not lost


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_page_that_is_named_is_there(page):
    named = re.findall(r"`((?:docs|examples|tests|regimes|models|tasks|reports)/[\w./-]+\.\w+)`", page.read_text())
    written = "reports/latest/"  # by a run
    assert [name for name in named if not name.startswith(written) and not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_block_is_indented(page):
    """The builder of the pages takes such a block for text."""
    assert re.findall(r"^[ \t]+```.*$", page.read_text(), flags=re.MULTILINE) == []


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The pages as `make docs` builds them: what leads nowhere ends the build."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_in_the_menu(site):
    listed = {page for _, page in _entries(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])}
    assert listed == {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").glob("**/*.md")}
    assert all((site / page).with_suffix(".html").is_file() for page in listed)


def test_the_built_pages_ask_no_other_machine_for_anything(site):
    asked = {}
    for page in site.glob("**/*.html"):
        reader = Loaded()
        reader.feed(page.read_text())
        asked |= {place: page.name for place in reader.places if re.match(r"(https?:)?//", place)}
    assert asked == {}


def test_the_built_pages_have_their_lists_and_tables(site):
    """A list or table that follows its sentence without an empty line is text to the builder."""
    for page in site.glob("**/*.html"):
        for text in re.findall(
            r"<p>(.*?)</p>", re.sub(r"<(pre|code)>.*?</\1>", "", page.read_text(), flags=re.DOTALL), re.DOTALL
        ):
            assert not re.search(r"^\s*(- |\d+\. |\|)", text, re.MULTILINE), f"{page.name}: {text}"


class Loaded(HTMLParser):
    """What a browser fetches to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "img", "iframe", "source") and given.get("src"):
            self.places.append(str(given["src"]))
        if tag == "link" and given.get("rel") != "canonical" and given.get("href"):
            self.places.append(str(given["href"]))


def _entries(nav: list) -> list[tuple[str, str]]:
    found = []
    for entry in nav:
        for title, inside in entry.items():
            found += _entries(inside) if isinstance(inside, list) else [(title, inside)]
    return found
