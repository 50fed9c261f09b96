"""The page to play with in Chromium: the answers of `predict`, errors, four runs, the keyboard, two visitors."""

import select
import subprocess
import sys
from contextlib import ExitStack

import pytest

from seqlab.predict import main as predict
from tests.browser import chromium, opened, problems

pytest.importorskip("gradio", reason="extra `play`: gradio")
pytestmark = [pytest.mark.browser, pytest.mark.slow]
WAIT = 120_000  # ms


@pytest.fixture(scope="module")
def address(finished_run, environment):
    """The address of the page for four runs, served by the command."""
    run = finished_run[0]
    runs = [run, run / "checkpoints" / "last.ckpt", run / "checkpoints" / "best.ckpt", run]
    command = [sys.executable, "-m", "seqlab.play", *map(str, runs), "--port", "0"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    try:
        assert select.select([process.stdout], [], [], 300)[0], "the page was not served"
        yield f"{process.stdout.readline().split()[0]}/"
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture
def visit(browser, address):
    """A new visitor's page, once its first answer is there."""
    with ExitStack() as pages:

        def visited():
            page = pages.enter_context(opened(browser, address))
            page.set_default_timeout(WAIT)
            page.wait_for_selector("#answers section")
            return page

        yield visited


def asked(page, prompt):
    """Type a prompt and press Enter, with the keyboard alone: the page has put the cursor there."""
    page.focus("#prompt textarea, #prompt input")
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    page.keyboard.type(prompt)
    page.keyboard.press("Enter")


def shown(page, text):
    """Wait until each of the four runs shows a text."""
    page.wait_for_function(
        "text => [...document.querySelectorAll('#answers section')]"
        ".filter(part => part.innerText.includes(text)).length == 4",
        arg=text,
    )


def test_the_completion_is_what_predict_prints_and_nobody_else_is_asked(visit, finished_run, capsys):
    page = visit()
    asked(page, "( ( [")
    shown(page, "prompt      (([")
    assert predict([str(finished_run[0]), "( ( ["]) == 0
    printed = capsys.readouterr().out.strip()
    parts = page.locator("#answers section pre").all_inner_texts()
    assert len(parts) == 4 and parts[0] == parts[2] == parts[3] == printed
    assert page.locator("#answers table").count() == 4
    assert page.locator("a[href^=http]").count() == 0


def test_a_bad_symbol_is_the_line_of_predict(visit, finished_run, capsys):
    page = visit()
    asked(page, "( x")
    assert predict([str(finished_run[0]), "( x"]) == 2
    line = capsys.readouterr().err.strip()
    shown(page, line)
    assert page.locator("#answers [role=alert]").all_inner_texts() == [line] * 4
    asked(page, "( )")
    shown(page, "prompt      ()")
    assert page.locator("#answers [role=alert]").count() == 0


def test_with_the_keyboard_alone(visit):
    page = visit()
    asked(page, "[ [")
    shown(page, "prompt      [[")
    example = page.locator("#clicked button").nth(2).inner_text()
    reached(page, lambda: page.evaluate("document.activeElement.innerText") == example)
    page.keyboard.press("Enter")
    shown(page, f"prompt      {example}")
    reached(page, lambda: page.evaluate("document.activeElement.role") == "tab")
    if page.evaluate("document.activeElement.innerText") != "Inside":
        page.keyboard.press("ArrowRight")
        reached(page, lambda: page.evaluate("document.activeElement.innerText") == "Inside", most=3)
    page.keyboard.press("Enter")
    page.wait_for_selector("#inside img")
    image = page.locator("#inside img").first
    assert "attention weights and norms of the state" in image.get_attribute("alt")
    assert image.evaluate("image => image.complete && image.naturalWidth > 100")


def test_nothing_serious_for_readers_of_a_screen(visit):
    assert problems(visit()) == []


def reached(page, there, most=40):
    """Press Tab until something has the focus."""
    for _ in range(most):
        if there():
            return
        page.keyboard.press("Tab")
    raise AssertionError("the keyboard does not lead there")


def test_two_visitors_at_once_get_their_own_answers(visit):
    one, other = visit(), visit()
    for first, second in (("(", "["), ("( (", "[ ["), ("( ( (", "[ [ [")):
        asked(one, first)
        asked(other, second)
        shown(one, f"prompt      {first.replace(' ', '')}\n")
        shown(other, f"prompt      {second.replace(' ', '')}\n")
    assert one.input_value("#prompt textarea, #prompt input") == "( ( ("
