"""The page of the report as a reader uses it, in Chromium."""

import json
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from seqlab.report.__main__ import main
from tests.browser import chromium, opened, problems

pytestmark = pytest.mark.browser
MOST_BYTES = 5_000_000
EVIL = "<script>document.title='ran'</script><img src=x onerror=\"document.title='ran'\">"


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture
def runs(leave):
    """Leave runs of two models over three seeds, with completions that break rules at known places."""

    def left(number=6, curve=9):
        for n in range(number):
            model, seed = ("lstm", "linear")[n % 2], n // 2 + 1
            folder = leave(
                f"run{n}",
                model,
                seed,
                {"test/accuracy": (n % 7) / 10},
                losses=[3.0 / (step + 1) + n / 10 for step in range(curve)],
            )
            records = [
                {
                    "set": "ood",
                    "prompt": "((",
                    "completion": f"){']' * (n % 2)}",
                    "right": False,
                    "broken": [{"rule": "pairs match", "at": 3}],
                },
                {"set": "id", "prompt": "()", "completion": "()", "right": True, "broken": []},
            ]
            (folder / "predictions.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")

    return left


@pytest.fixture
def address(tmp_path):
    def written():
        file = tmp_path / "pages" / "a.html"
        assert main([str(tmp_path / "runs"), "--out", str(file)]) == 0
        return file.as_uri()

    return written


def test_rows_are_filtered_sorted_and_their_metrics_chosen(runs, address, browser):
    runs()
    with opened(browser, address()) as page:
        rows = page.locator(".results tbody tr:visible")
        assert rows.count() == 3
        drawn = page.locator("#overview .panels svg")
        assert drawn.count() == 4  # dots and curves of both columns
        page.get_by_label("Rows with these words").fill("L1 linear")
        assert rows.all_inner_texts()[0].startswith("linear") and rows.count() == 1
        page.get_by_label("Rows with these words").fill("")
        page.get_by_role("button", name="accuracy").click()
        assert [text.split()[0] for text in rows.all_inner_texts()] == ["lstm", "chance", "linear"]
        page.get_by_text("Choose metrics").click()
        page.get_by_role("checkbox", name="val loss").uncheck()
        assert drawn.count() == 2 and page.get_by_role("columnheader", name="val loss").count() == 0


def test_a_run_shows_where_its_strings_break_rules(runs, address, browser):
    runs()
    with opened(browser, address()) as page:
        page.get_by_role("link", name="seed 1").first.click()
        page.get_by_role("heading", level=2, name="L1, lstm, seed 1", exact=True).wait_for()
        (mark,) = page.locator("tbody mark").all()
        assert (mark.get_attribute("title"), mark.inner_text()[0]) == ("pairs match", "⊣")
        assert "pairs match: at the end" in page.locator("#chosen").inner_text()
        page.get_by_label("only those that break a rule").check()
        assert page.locator("#chosen .wide").first.locator("tbody tr:visible").count() == 1
        assert page.locator("#chosen svg").count() == 3  # training loss, validation loss, accuracy
        assert page.get_by_role("row", name="optimizer.lr 0.1").count() == 1
        page.go_back()
        assert page.get_by_role("heading", name="Not in the tables").is_visible()


def test_two_runs_are_compared_prompt_by_prompt(runs, address, browser):
    runs()
    with opened(browser, address()) as page:
        page.get_by_label("Run A").select_option(label="L1, lstm, seed 1")
        page.get_by_label("beside run B").select_option(label="L1, linear, seed 1")
        assert page.get_by_text("2 predictions of both, 1 differ").count() == 1
        assert page.get_by_role("row", name="name.model lstm linear").count() == 1
        page.get_by_label("only those that differ").check()
        differing = page.get_by_role("row", name="differ")
        assert differing.locator(".differs, mark").all_inner_texts()[-1][0] == "]"  # breaks a rule there, and differs


def test_prompt_and_completion_are_one_text_in_both_views(leave, address, browser):
    asked = [("To be or", ", not"), ([1, 2], [3, 4])]
    for seed in (1, 2):
        for data, (prompt, completion) in zip(("text", "lists"), asked, strict=True):
            run = leave(f"{data}{seed}", seed=seed, data=data)
            record = {"set": "a", "prompt": prompt, "completion": completion[:seed], "broken": []}
            (run / "predictions.jsonl").write_text(json.dumps(record), encoding="utf-8")
    with opened(browser, address()) as page:
        for data, texts in (("text", ("To be or,", "To be or, ")), ("lists", ("1 2 3", "1 2 3 4"))):
            numbers = page.evaluate(f"RUNS.flatMap((run, n) => run.data === '{data}' ? [n] : [])")
            for number, text in zip(numbers, texts, strict=True):
                page.evaluate(f"location.hash = 'run={number}'")
                page.get_by_role("heading", name=f"seed {1 + numbers.index(number)}").wait_for()
                assert page.locator("#chosen .string").first.text_content() == text
            page.evaluate(f"location.hash = 'compare={numbers[0]},{numbers[1]}'")
            page.get_by_role("heading", name="side by side").wait_for()
            assert page.locator("#chosen td .string").all_text_contents() == list(texts)


def test_names_and_files_of_a_stranger_are_only_text(leave, address, browser):
    texts = {"description": EVIL, "notes": [EVIL], "columns": {EVIL: "test/accuracy"}, "meanings": {"accuracy": EVIL}}
    rows = {"chance": {}, EVIL: {"test/accuracy": 0.1}}
    run = leave(f"<b>{EVIL.replace('/', ':')}", EVIL, config={"optimizer": {EVIL: EVIL}}, baselines=rows, **texts)
    leave("2", f"{EVIL}2", description=EVIL, columns={EVIL: "test/accuracy"})
    leave("3", status="failed", reason=EVIL, metrics={})
    record = {"set": EVIL, "prompt": EVIL, "completion": EVIL, EVIL: EVIL, "broken": [{"rule": EVIL, "at": 0}, 3, {}]}
    (run / "predictions.jsonl").write_text(json.dumps(record), encoding="utf-8")
    svg = "<svg xmlns='http://www.w3.org/2000/svg'><script>parent.document.title='ran'</script></svg>"
    (run / "plots" / "forecast.svg").write_text(svg, encoding="utf-8")
    with opened(browser, address()) as page:
        for place in ("run=0", "run=1", "compare=0,1", "run=99", "compare=1,99", EVIL):
            page.evaluate("place => { location.hash = place; }", place)
            page.wait_for_timeout(100)
            assert page.evaluate("document.title").startswith("SeqLab")
            assert page.locator("script").count() == 2 and page.locator("[onerror]").count() == 0


def test_a_phone_shows_metrics_and_the_page_does_not_overflow(runs, address, browser):
    runs()
    with opened(browser, address(), 420, dark=True) as page:
        cell = page.locator(".results tbody td.number").first.bounding_box()
        assert cell["x"] + cell["width"] <= 420
        model = page.locator(".results tbody th").first
        page.locator(".results").evaluate("place => place.scrollTo(1000, 0)")
        assert 0 <= model.bounding_box()["x"] < 40  # the first column stays
        for place in ("", "#run=0", "#compare=0,1"):
            page.evaluate("place => { location.hash = place; }", place)
            page.wait_for_timeout(100)
            assert page.evaluate("document.documentElement.scrollWidth") <= 420


def test_figures_follow_the_theme(runs, address, browser):
    runs()
    inks = []
    for dark in (False, True):
        with opened(browser, address(), dark=dark) as page:
            style = "element => getComputedStyle(element)"
            inks.append(page.locator("svg text").first.evaluate(f"{style}.fill"))
            assert page.locator("body").evaluate(f"{style}.backgroundColor") != inks[-1]
    assert inks[0] != inks[1]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("place", ["", "#run=0", "#compare=0,1"])
def test_nothing_serious_for_readers_of_a_screen(runs, address, browser, place, dark):
    runs()
    with opened(browser, address() + place, dark=dark) as page:
        assert problems(page) == []


def test_everything_is_reached_with_the_keyboard(runs, address, browser):
    runs()
    with opened(browser, address()) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.textContent") == "seed 1":
                break
        page.keyboard.press("Enter")
        page.wait_for_selector("#chosen h2")
        assert page.evaluate("document.activeElement.textContent") == "L1, lstm, seed 1"


def test_a_thousand_runs(runs, address, browser):
    """They are all there, one page of them within the megabytes that a browser reads at once."""
    runs(1000, curve=40)
    where = address()
    assert Path(unquote(urlsplit(where).path)).stat().st_size < MOST_BYTES
    with opened(browser, where) as page:
        assert page.locator(".results a").count() == 1000
        heights = page.locator(".results tbody tr").evaluate_all("rows => rows.map((row) => row.offsetHeight)")
        assert max(heights) < 150, "five hundred seeds of a model leave the other models in sight"
        page.evaluate("location.hash = 'compare=0,999'")
        page.get_by_role("heading", level=2, name="Two runs side by side", exact=True).wait_for()
