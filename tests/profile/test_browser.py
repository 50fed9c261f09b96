"""The page of a profile as a reader uses it, in Chromium: wide and narrow, by keys, and what axe-core finds."""

import pytest

from seqlab.profile.page import page as page_of
from seqlab.profile.rows import REFERENCE, read_rows
from seqlab.profile.standing import standings
from seqlab.profile.suite import suite_named
from tests.browser import chromium, opened, problems

pytestmark = pytest.mark.browser
SUITE = suite_named("quick")


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The page from the rows that ship; the first model counts as run here."""
    folder = tmp_path_factory.mktemp("page")
    first, *others = standings([row for row in read_rows(REFERENCE) if row.suite == "quick"], "reference", SUITE)
    own = first._replace(origin="here")
    (folder / "profile.html").write_text(page_of([[own], others], "quick", SUITE, folder), encoding="utf-8")
    return (folder / "profile.html").as_uri()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1400, 420])
def test_nothing_is_cut_and_axe_finds_nothing(browser, address, width, dark):
    with opened(browser, address, width, dark=dark) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("[...document.images].every(one => one.naturalWidth > 0)")
        for summary in page.locator("summary").all():
            summary.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert problems(page) == []


def test_two_models_are_compared_by_keys_alone(browser, address):
    with opened(browser, address) as page:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == "one":
                break
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        before = page.locator("#pair tbody").inner_text()
        page.keyboard.press("ArrowDown")
        names = page.locator("#one option").all_inner_texts()
        assert page.locator("#said").inner_text() == f"{names[1]} beside {names[1]}"
        assert page.locator("#left").inner_text() == names[1]
        page.keyboard.press("ArrowDown")
        assert page.locator("#pair tbody").inner_text() != before
        cells = page.locator("#pair tbody tr").first.locator("td").all_inner_texts()
        assert cells[3] in ("apart", "overlap") and float(cells[2]) == pytest.approx(
            float(cells[0].split(" ")[0]) - float(cells[1].split(" ")[0]), abs=0.011
        )


def test_a_wide_table_scrolls_by_keys(browser, address):
    with opened(browser, address, 420) as page:
        region = page.locator(".wide").nth(1)
        region.focus()
        for _ in range(3):
            page.keyboard.press("ArrowRight")
        page.wait_for_function("document.querySelectorAll('.wide')[1].scrollLeft > 0")
