"""Pages in Chromium, for tests marked `browser`: with no network, and with everything that the page complains of."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NAMES = ("chromium", "chromium-browser", "google-chrome")
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
SERIOUS = ("serious", "critical")


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser without a window, which playwright drives; skips where one of the two is missing."""
    library = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"needs one of {', '.join(NAMES)} on the path, such as Debian's package chromium")
    with library.sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, address: str, width: int = 1400, *, dark: bool = False) -> Iterator[Any]:
    """A page. At the end there must have been no error on the console, and nothing asked of another host."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light")
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda line: complaints.append(line.text) if line.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    own = ("file:", "data:", "blob:", address[: address.index("/", 8)])  # this host, if it is served by one
    page.on("request", lambda request: None if request.url.startswith(own) else complaints.append(request.url))
    page.goto(address)
    yield page
    context.close()
    assert complaints == []


def problems(page: Any) -> list[str]:
    """What axe-core finds serious or worse on a page: the rule and the first element that breaks it."""
    if not AXE.exists():
        pytest.skip("needs axe-core: npm install --no-save --no-package-lock axe-core")
    session = page.context.new_cdp_session(page)  # the page's own policy refuses scripts of others
    session.send("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
    found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    return [f"{item['id']}: {item['nodes'][0]['html']}" for item in found if item["impact"] in SERIOUS]
