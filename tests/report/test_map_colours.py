"""The colours of the map of models over data sets."""

import pytest

from seqlab.report.collect import collect
from seqlab.report.comparison import COLORS, UNKNOWN, comparison
from seqlab.report.rows import tables_of


@pytest.fixture
def drawn(tmp_path):
    """The colours and texts of the cells of the runs that a test has left."""

    def found():
        figures = comparison(tables_of(collect([tmp_path / "runs"]).runs), "accuracy")
        axis = figures["accuracy"].axes[0]
        colours = [patch.get_facecolor() for patch in axis.patches]
        return colours, [text.get_text() for text in axis.texts], figures

    return found


def test_below_chance_all_is_dark(leave, drawn):
    leave("a", metrics={"test/accuracy": 0.1})
    leave("b", "gru", metrics={"test/accuracy": 0.05})
    assert drawn()[0] == [COLORS(0.0)] * 2


def test_the_best_is_light(leave, drawn):
    leave("a", metrics={"test/accuracy": 0.1})
    leave("b", "gru", metrics={"test/accuracy": 0.95})
    assert drawn()[0] == [COLORS(0.0), COLORS(1.0)]


@pytest.mark.parametrize("baselines", [{}, {"ngram": {"test/accuracy": 1.0}}])
def test_without_chance_all_that_is_equal_is_light(leave, drawn, baselines):
    leave("a", metrics={"test/accuracy": 1.0}, baselines=baselines)
    leave("b", "gru", metrics={"test/accuracy": 1.0}, baselines=baselines)
    assert drawn()[0] == [COLORS(1.0)] * 2


def test_a_column_without_a_direction_has_no_best(leave, drawn):
    """Neither by colour, nor as the best seed, nor as the best baseline."""
    known = {"chance": {"test/accuracy": 5.0}, "ngram": {"test/accuracy": 7.0}}
    for seed, value in ((1, 1.0), (2, 9.0)):
        leave(f"a{seed}", seed=seed, metrics={"test/accuracy": value}, better={}, baselines=known)
    colours, texts, figures = drawn()
    assert colours == [UNKNOWN] and texts == ["5"]
    assert "grey" in figures["accuracy"].axes[0].get_xlabel()
    assert figures["accuracy_dots"].axes[0].get_xlabel() == ""
