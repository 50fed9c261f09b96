"""The site: it builds without a warning, every link leads somewhere, nothing is loaded from elsewhere."""

import importlib.util
import os
import re
import subprocess
import sys
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from tests.browser import chromium, opened

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


def test_the_api_pages_show_what_they_name(site):
    pages, _ = site
    number = 0
    for file in (ROOT / "docs" / "api").glob("*.md"):
        text = file.read_text(encoding="utf-8")
        wanted = re.findall(r"^::: ([\w.]+)\.([A-Z]\w+|load_run|build|load_export)$", text, re.M)
        assert {".".join(parts) for parts in wanted} <= pages[Path("api", f"{file.stem}.html")].names
        number += len(wanted)
    assert number > 10


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


def test_the_figure_of_the_home_page_is_drawn_from_the_kept_runs():
    specification = importlib.util.spec_from_file_location("make_figure", ROOT / "docs" / "make_figure.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    (axis,) = module.draw().axes
    ends = {line.get_label(): line.get_xydata()[-1] for line in axis.lines if line.get_label()}
    assert ends["LSTM"].tolist() == [500, 1] and ends["Transformer"][1] < 0.7 and ends["chance"][1] == 0.5
    assert set(ends) <= {text.get_text() for text in axis.texts}


def test_the_readme_fits_a_screen():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 70


@pytest.fixture(scope="module")
def served(site):
    """The address of the site on this machine."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=site[1]))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


SHOWN = ("index", "start", "results/transduction/index", "api/models", "runs")


@pytest.mark.browser
@pytest.mark.parametrize("width", [1400, 420])
@pytest.mark.parametrize("name", SHOWN)
def test_a_page_looks_whole(served, browser, name, width):
    """Every picture is there, nothing is wider than the page, the console is silent (`opened`)."""
    with opened(browser, f"{served}{name}.html", width) as page:
        page.wait_for_load_state("networkidle")
        broken = page.evaluate("[...document.images].filter(one => one.naturalWidth === 0).map(one => one.src)")
        assert broken == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.documentElement.scrollHeight") < 40_000
        cut = """[...document.querySelectorAll('.md-typeset pre > code, .md-typeset table')].filter(one =>
            one.scrollWidth > one.clientWidth + 1 && !['auto', 'scroll'].includes(getComputedStyle(one).overflowX)
            && !one.closest('.md-typeset__scrollwrap')).map(one => one.textContent.slice(0, 80))"""
        assert page.evaluate(cut) == []


@pytest.mark.browser
def test_pictures_open_and_the_theme_has_a_switch(served, browser):
    with opened(browser, f"{served}results/transduction/index.html") as page:
        page.locator("a.glightbox").first.click()
        page.wait_for_selector(".gslide-image img")
        page.keyboard.press("Escape")
        ground = "getComputedStyle(document.body).backgroundColor"
        before = page.evaluate(ground)
        for _ in range(2):  # from the system's to light to dark
            page.locator("[data-md-component=palette] label:visible").click()
        assert page.evaluate(ground) != before
        page.locator("pre").first.hover()
        assert page.locator("pre ~ nav button, pre button, button.md-clipboard").count() > 0


@pytest.mark.browser
def test_the_home_page_has_a_figure_three_commands_and_cards(served, browser):
    with opened(browser, f"{served}index.html") as page:
        assert page.locator(".grid.cards > ul > li").count() == 6
        assert page.locator("pre code").first.inner_text().count("seqlab ") == 3
        assert page.locator("article img").first.evaluate("one => one.naturalWidth") > 300
