"""The figures of a run in the house style: dots of its results, learning curves, and the files that are written."""

import re
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from seqlab.show.curves import learning_curves
from seqlab.show.dots import result_dots
from seqlab.show.labels import apart, ends_of, label_ends
from seqlab.show.palette import OF_MODEL, PALETTE
from seqlab.show.style import INK, house_style, save_figure, themed

NAMES = [f"test/{group}/{rule}" for group in ("id", "ood", "sos") for rule in ("rule_1", "rule_2")]


@pytest.fixture
def summary():
    return {
        "model": "lstm",
        "description": "L5",
        "metrics": {"test/loss": 1.0, **dict.fromkeys(NAMES, 0.6)},
        "intervals": dict.fromkeys(NAMES, (0.5, 0.7)),
        "counts": {name: 1 if "/sos/" in name else 40 for name in NAMES},
        "baselines": {"chance": dict.fromkeys(NAMES, 0.25), "oracle": dict.fromkeys(NAMES, 1.0), "none": {}},
        "meanings": {"rule_1": "brackets are matched", "ood": "broken prompts"},
    }


def texts(axis):
    return [text.get_text() for text in axis.texts]


def test_dots_have_intervals_on_an_axis_of_proportions(summary):
    with house_style("lstm"):
        figure = result_dots(summary)
    assert [axis.get_title(loc="left") for axis in figure.axes] == [
        "id (n = 40)",
        "broken prompts (n = 40)",
    ]  # no panel of one case
    axis = figure.axes[0]
    assert axis.get_xlim() == (0, 1)
    assert [label.get_text() for label in axis.get_yticklabels()] == ["brackets are matched (rule 1)", "rule 2"]
    segments = [line.get_segments() for line in axis.collections if hasattr(line, "get_segments")]
    assert [segment.tolist() for [segment] in segments[1:]] == [[[0.5, y], [0.7, y]] for y in (0, 1)]
    assert [segment[0][0] for segment in segments[0]] == [0.25, 0.25]  # chance
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["oracle", "chance", "lstm, 95% interval"]


def test_a_group_of_one_case_is_drawn_where_there_is_no_other(summary):
    figure = result_dots(summary | {"counts": dict.fromkeys(NAMES, 1)})
    assert len(figure.axes) == 3


def test_learning_curves_say_which_line_is_which_where_they_end(summary):
    checks = {name.replace("test", "val"): [(0, 0.2), (50, 0.4)] for name in NAMES}  # they coincide
    checks |= {"train/loss": [(0, 3.0), (50, 2.0)], "val/loss": [(0, 3.0), (50, 2.5)], "val/once": [(50, 1.0)]}
    figure = learning_curves(checks, summary["counts"], summary["meanings"])
    shown = [axis for axis in figure.axes if axis.axison]
    assert [axis.get_title() for axis in shown] == ["loss", "validation: id", "validation: broken prompts"]
    assert set(texts(shown[1])) == {"brackets are matched", "rule 2"} and not figure.legends
    first, second = shown[1].lines[:2]
    assert first.get_linewidth() > second.get_linewidth()  # so that both are seen
    assert to_hex(first.get_color()) != to_hex(second.get_color())
    assert all(tick == int(tick) for axis in shown for tick in axis.get_xticks())


def test_labels_of_one_height_stand_apart():
    room = [0.1, 0.2, 0.1]
    placed = apart([0.5, 0.5, 0.5], room)
    assert [high - low for low, high in pairwise(placed)] == pytest.approx([0.15, 0.15])
    assert sum(placed) / 3 == pytest.approx(0.5)
    axis = Figure().subplots()
    for height in (1.0, 1.0, np.nan):
        axis.plot([0, 1], [0, height], label=str(height))
    label_ends(axis, ends_of(axis))
    assert sorted(texts(axis)) == ["1.0", "1.0"]
    assert len({text.get_position()[1] for text in axis.texts}) == 2


def test_a_figure_is_two_files_of_which_one_follows_the_theme(tmp_path):
    for name in ("a", "b"):
        with house_style():
            figure = Figure(figsize=(3, 2), layout="constrained")
            axis = figure.subplots()
            axis.plot([1, 2, 3])
            axis.set_title("three")
            assert save_figure(figure, tmp_path / f"{name}.png") == tmp_path / f"{name}.png"
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "a.svg", "b.png", "b.svg"}
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in text and f"fill: {INK}" in text.partition("</style>")[2]
    assert ">three</text>" in text  # for search and screen readers
    assert text == (tmp_path / "b.svg").read_text(encoding="utf-8")  # the same figure is the same file


def test_a_name_with_control_characters_leaves_an_svg_that_can_be_read(tmp_path):
    import xml.etree.ElementTree as ET

    with house_style():
        figure = Figure(figsize=(3, 2))
        figure.suptitle("a\x1b[31m \x00 \ufffe <b> & c")
        save_figure(figure, tmp_path / "a.png")
    texts = [element.text for element in ET.parse(tmp_path / "a.svg").iter() if element.tag.endswith("text")]
    assert texts == ["a\ufffd[31m \ufffd \ufffd <b> & c"]


def test_a_model_has_one_colour():
    with house_style("deltanet"):
        line = Figure().subplots().plot([1, 2], color="C0")[0]
        assert to_hex(line.get_color()).upper() == OF_MODEL["deltanet"]
    assert len(set(PALETTE)) == len(PALETTE) and set(OF_MODEL.values()) <= set(PALETTE)


def test_names_with_dollar_signs_are_text(summary, tmp_path):
    summary["model"] = summary["meanings"]["rule_1"] = r"$\nope{$ costs $2"
    summary["counts"] = {}  # of a run of somebody else
    with house_style():
        figure = result_dots(summary)
        save_figure(figure, tmp_path / "a.png")
    assert any(r"$\nope{$" in label.get_text() for label in figure.axes[0].get_yticklabels())


def test_ticks_of_a_logarithmic_axis_are_plain_numbers():
    with house_style():
        figure = learning_curves({"train/loss": [(1, 1000.0), (2, 0.01)], "val/loss": [(1, 100.0), (2, 0.1)]})
        figure.draw_without_rendering()
        labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert "100" in labels and not any("$" in label for label in labels)


@pytest.mark.parametrize("inside", ["", "<defs/>", "<g/><defs></defs>"])
def test_a_drawing_follows_the_theme_whatever_is_in_it(inside):
    text = themed(f'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg">{inside}</svg>')
    assert re.search(r"<svg [^>]*>\s*<style>@media", text) and text.endswith(f"{inside}</svg>")
