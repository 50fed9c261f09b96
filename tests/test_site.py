"""The site: it builds without a warning, every link leads somewhere, nothing is loaded from elsewhere."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


class Page(HTMLParser):
    """What a page of HTML loads, links to and can be linked to."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.links, self.names = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.names |= {given[key] for key in ("id", "name") if given.get(key)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") != "canonical" and given.get("href"):
            self.loads.append(given["href"])
        for key in ("src", "srcset", "data", "poster"):
            if tag != "a" and given.get(key):
                self.loads.append(given[key])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """{path below the site: page}, the folder."""
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    pages = {path.relative_to(folder): Page(path.read_text(encoding="utf-8")) for path in folder.rglob("*.html")}
    return pages, folder


def names_in(nav):
    """The files that a navigation names."""
    if isinstance(nav, str):
        return [nav]
    return [name for part in (nav.values() if isinstance(nav, dict) else nav) for name in names_in(part)]


def test_every_page_is_in_the_navigation(site):
    pages, _ = site
    named = names_in(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]))
    beside = {"CHANGELOG.md", "CONTRIBUTING.md", "notebook.ipynb"}
    written = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert set(named) == written | beside
    built = {name.replace("README.md", "index.html").replace(".ipynb", "_page.html") for name in named}
    assert {name.replace(".md", ".html") for name in built} <= {str(path) for path in pages}


def test_every_link_leads_somewhere(site):
    pages, folder = site
    for path, page in pages.items():
        if path.name == "404.html":
            continue
        for link in page.links + page.loads:
            parts = urlsplit(link)
            if parts.scheme or link.startswith("//") or not (parts.path or parts.fragment):
                continue
            target = (folder / path.parent / unquote(parts.path)).resolve() if parts.path else folder / path
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), f"{path}: {link}"
            if parts.fragment and not parts.fragment.startswith("__") and target.suffix == ".html":
                assert unquote(parts.fragment) in pages[target.relative_to(folder)].names, f"{path}: {link}"


def test_nothing_is_loaded_from_elsewhere(site):
    pages, folder = site
    for path, page in pages.items():
        for source in page.loads:
            assert not urlsplit(source).netloc and urlsplit(source).scheme in ("", "data"), f"{path}: {source}"
    for sheet in folder.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?(https?:)?//|@import", sheet.read_text(encoding="utf-8")), sheet


def test_the_api_page_shows_what_it_names(site):
    pages, _ = site
    wanted = re.findall(
        r"^::: ([\w.]+)\.([A-Z]\w+|load_run|build|load_export)$",
        (ROOT / "docs/api.md").read_text(encoding="utf-8"),
        re.M,
    )
    assert len(wanted) > 10
    assert {".".join(parts) for parts in wanted} <= pages[Path("api.html")].names


def test_links_work_on_a_code_host():
    """Relative links of README and the pages, as files."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for link in LINK.findall(text):
            if not urlsplit(link).scheme and not link.startswith("#"):
                assert (page.parent / link.partition("#")[0]).exists(), f"{page.name}: {link}"


def test_the_citation_has_what_it_needs():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors", "version", "license", "type"} <= set(citation)
    assert citation["authors"] == [{"name": "The SeqLab authors"}]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{citation["version"]}"' in project and f'license = "{citation["license"]}"' in project
    assert f"## {citation['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_readme_fits_a_screen():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 70
