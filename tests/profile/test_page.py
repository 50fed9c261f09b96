"""The figure and the page of a profile, from the rows that ship."""

import re
from dataclasses import replace

import pytest

from seqlab.profile.figure import color_of, curves, heat_map, luminance
from seqlab.profile.page import page
from seqlab.profile.rows import REFERENCE, read_rows
from seqlab.profile.scores import Mean, over_seeds
from seqlab.profile.show import written
from seqlab.profile.standing import standings
from seqlab.profile.suite import ABILITIES, suite_named
from seqlab.profile.table import measures_table
from seqlab.show.palette import colour_of
from tests.profile.test_rows import EMPTY, ROW
from tests.report.test_page import Page

SUITE = suite_named("quick")
THREE = replace(SUITE, seeds=(1, 2, 3))
KEY = (ROW.cell, ROW.metric)


@pytest.fixture(scope="module")
def shipped():
    """The models with rows of quick in the package."""
    rows = [row for row in read_rows(REFERENCE) if row.suite == "quick"]
    return standings(rows, "reference", SUITE)


@pytest.fixture(scope="module")
def found(shipped, tmp_path_factory):
    """The page on them, taken apart, and its text."""
    text = page([[], shipped], "quick", SUITE, tmp_path_factory.mktemp("page"))
    return Page(text), text


def test_figure_and_page_are_files(shipped, tmp_path):
    files = written([[], shipped], "quick", SUITE, tmp_path)
    assert [file.name for file in files] == ["profile.png", "profile.svg", "profile.html"]
    assert files[0].read_bytes()[:4] == b"\x89PNG" and b"prefers-color-scheme" in files[1].read_bytes()


def test_the_map_has_every_score_and_interval(shipped):
    (axis,) = heat_map(shipped, "quick", SUITE).axes
    texts = [text.get_text() for text in axis.texts]
    assert [label.get_text() for label in axis.get_yticklabels()] == [standing.name for standing in shipped]
    num_scores = sum(len(standing.scores) for standing in shipped)
    assert sum(" to " in text for text in texts) == num_scores
    assert texts.count("-") == len(shipped) * len(SUITE.measures) - num_scores


def test_the_curves_have_a_line_for_each_model(shipped):
    figure = curves(shipped, SUITE)
    panels = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title() for axis in panels] == [cell for cell, part in SUITE.cells.items() if part.curve]
    with_curves = sum(bool(standing.curves("parity")) for standing in shipped)
    assert len(panels[0].lines) == with_curves > 8
    looks = [(line.get_color(), line.get_marker(), line.get_linestyle()) for line in panels[0].lines]
    assert len(set(looks)) == len(looks)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [line.get_label() for line in panels[0].lines]
    assert all(line.get_color() == colour_of(line.get_label()) for panel in panels for line in panel.lines)


def test_twenty_models_have_twenty_lines(shipped):
    many = [standing._replace(label=f"{standing.label}_{n}") for n in range(2) for standing in shipped]
    lines = curves(many, SUITE).axes[0].lines
    looks = {(line.get_color(), line.get_marker(), str(line._dash_pattern)) for line in lines}
    assert len(lines) == len(looks) == len(many) > 20


def test_the_page_says_which_cells_have_no_lengths(found):
    text = " ".join(data for _, data in found[0].texts)
    assert "Without a curve, as their tests are not by length: L3, L5." in text


def test_the_page_needs_nothing_beside_it(found):
    parsed, text = found
    assert not re.search(r"https?://(?!www\.w3\.org)", text)
    assert all("src" not in script for script in parsed.all("script"))
    assert all(image["src"].startswith("data:image/") for image in parsed.all("img"))


def test_the_page_speaks_to_a_screen_reader_and_to_keys(found, shipped):
    parsed, text = found
    assert '<html lang="en">' in text and len(parsed.all("main")) == 1 and len(parsed.all("h1")) == 1
    assert all(image["alt"] for image in parsed.all("img"))
    assert all(heading["scope"] in ("row", "col") for heading in parsed.all("th"))
    assert len(parsed.all("caption")) == len(parsed.all("table"))
    scrolling = [region for region in parsed.all("div") if region.get("class") == "wide"]
    assert all(region["tabindex"] == "0" and region["aria-label"] for region in scrolling)
    assert text.count("<label>") == len(parsed.all("select")) == 2
    assert any(paragraph.get("aria-live") == "polite" for paragraph in parsed.all("p"))
    names = [standing.name for standing in shipped]
    assert [data for tag, data in parsed.texts if tag == "option"] == 2 * names
    assert set(ABILITIES) <= {data for tag, data in parsed.texts if tag == "th"}


def test_ink_is_readable_on_every_colour():
    for hundredths in range(-20, 121):
        color, ink = color_of(Mean(hundredths / 100, 0, 0))
        lighter, darker = sorted((luminance(color), float(ink == "white")), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def test_names_of_strangers_are_only_text(tmp_path):
    from tests.profile.test_rows import EMPTY, ROW

    evil = [
        ROW.__class__(**{**vars(row), "model": "<script>x</script>", "reason": row.reason and "</td><b>"})
        for row in (ROW, EMPTY)
    ]
    shown = standings(evil, "evil<.csv", SUITE)
    text = page([[], shown], "quick", SUITE, tmp_path)
    assert "<script>x" not in text and "<b>" not in text and "evil<" not in text
    Page(text)


def partly(label, origin="reference"):
    """A model with one of three seeds scored: seed 2 has a reason, seed 3 is absent."""
    rows = [replace(ROW, model=label), replace(EMPTY, model=label, seed=2, reason="the loss is not finite")]
    return standings(rows, origin, THREE)


def test_seeds_that_are_missing_are_said():
    (standing,) = partly("mine")
    assert standing.raw(KEY) == ROW.value and standing.scale(KEY) == (ROW.floor, ROW.best)
    table = measures_table(standing, "quick", THREE)
    assert [note for note in table.notes if note.startswith("Fewer")] == [
        "Fewer seeds: parity (state): 1 of 3 seeds: the loss is not finite."
    ]
    (axis,) = heat_map([standing], "quick", THREE).axes
    assert "0.50*" in [text.get_text() for text in axis.texts] and "*: fewer seeds" in axis.get_xlabel()
    (axis,) = heat_map([standing], "quick", SUITE).axes  # its one seed is there
    assert "0.50" in [text.get_text() for text in axis.texts] and "fewer" not in axis.get_xlabel()


def test_more_seeds_do_not_narrow_what_the_items_leave_open():
    assert over_seeds([(1.0, 0.566, 1.0)] * 3).low == pytest.approx(0.566)


def test_a_curve_without_points_is_none():
    assert curves(standings([replace(ROW, curve=" ")], "mine.csv", SUITE), SUITE) is None
