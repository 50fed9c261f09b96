"""The HTML page: one file that shows every run and needs nothing beside it."""

import base64
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

from seqlab.report.__main__ import main
from seqlab.report.collect import collect
from seqlab.report.panels import bars, curves, learning
from seqlab.report.rows import tables_of

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Every tag with its attributes and text; raises where tags do not nest."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def page(tmp_path):
    """The page on the runs of tmp_path / runs, written to tmp_path / pages / a.html."""

    def written():
        file = tmp_path / "pages" / "a.html"
        assert main([str(tmp_path / "runs"), "--out", str(file)]) == 0
        return Page(file.read_text(encoding="utf-8")), file.read_text(encoding="utf-8")

    return written


def test_the_page_holds_everything(leave, page, tmp_path):
    for seed in (1, 2):
        leave(f"lr=0.1,#{seed} <b>", "ls<tm>", seed, config={"optimizer": {"lr": 0.1}})
    leave("lr=0.2", "ls<tm>", 1, config={"optimizer": {"lr": 0.2}})
    leave("failed", status="failed", reason="<script>alert(1)</script>", metrics={})
    found, text = page()
    assert not re.search(r"https?://", text)
    assert not found.all("link")
    assert all(set(attributes) == set() for attributes in found.all("script"))
    assert len(found.all("script")) == 1
    sources = [attributes["src"] for attributes in found.all("img")]
    assert len(sources) == 4  # learning curves, bars, and a forecast of each setting
    for source in sources:
        kind, _, content = source.partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(content).startswith(b"\x89PNG")
    assert all(attributes["alt"] for attributes in found.all("img"))

    targets = {(tmp_path / "pages" / unquote(attributes["href"])).resolve() for attributes in found.all("a")}
    assert targets == set((tmp_path / "runs").iterdir())
    assert ("td", "<script>alert(1)</script>") in found.texts
    assert ("strong", "0.500 ± 0.000") in found.texts


def test_headings_are_buttons_and_cells_say_what_they_are_sorted_by(leave, page):
    leave("1", metrics={"test/accuracy": 0.123456})
    found, _ = page()
    headings = [text for tag, text in found.texts if tag == "button"]
    assert headings[:8] == ["data", "model", "n", "runs", "steps", "time", "val loss", "accuracy"]
    assert len(found.all("th")) == len(found.all("button"))
    assert "0.123456" in [attributes["data-sort"] for attributes in found.all("td")]
    assert all("data-sort" in attributes for attributes in found.all("td"))


def test_differing_keys_are_a_table_by_run(leave, page):
    leave("1", seed=1, config={"optimizer": {"lr": 0.1}, "data": {"length": 7}})
    leave("2", seed=1, config={"optimizer": {"lr": 0.2}, "data": {"length": 7}})
    _, text = page()
    part = text.partition("Differences between configurations")[2]
    headings = [
        heading for tag, heading in Page(part.partition("<h2>")[0].partition("</h2>")[2]).texts if tag == "button"
    ]
    assert headings == ["run", "seed", "optimizer.lr"]
    assert 'data-sort="0.2">0.2<' in part


def test_seeds_alone_are_no_difference(leave, page):
    leave("1", seed=1)
    leave("2", seed=2)
    assert "differ in their seeds alone" in page()[1]


def block_of(tmp_path):
    (table,) = tables_of(collect([tmp_path / "runs"]).runs)
    return table.blocks[0], table.columns


def test_learning_curves_have_the_mean_and_a_band(leave, tmp_path):
    leave("1", seed=1, losses=[4.0, 2.0, 1.0])
    leave("2", seed=2, losses=[2.0, 2.0])  # stopped earlier: the mean ends there
    axis = learning(*block_of(tmp_path)).axes[0]
    (line,) = axis.lines
    assert list(line.get_ydata()) == [3.0, 2.0]
    (band,) = axis.collections
    assert band.get_datalim(axis.transData).height == pytest.approx(2 * 2**0.5)  # 3 ± sqrt(2)


def test_bars_show_groups_with_marks_for_chance(leave, tmp_path):
    names = ["test/id/rule_1", "test/id/rule_2", "test/ood/rule_1"]
    for seed, shift in ((1, 0.0), (2, 0.2)):
        leave(str(seed), seed=seed, metrics=dict.fromkeys(names, 0.4 + shift),
              intervals={name: [0, 1] for name in names}, baselines={"chance": dict.fromkeys(names, 0.25)})  # fmt: skip
    figure = bars(block_of(tmp_path)[0])
    assert [axis.get_title() for axis in figure.axes] == ["id", "ood"]
    assert [bar.get_height() for bar in figure.axes[0].patches] == [pytest.approx(0.5)] * 2
    chance = [mark for mark in figure.axes[0].collections if mark.get_label() == "chance"]
    assert [segment[0][1] for segment in chance[0].get_segments()] == [0.25, 0.25]


def test_indexed_metrics_are_curves_with_their_baselines(leave, tmp_path):
    beta = {f"test/beta_{k}": k / 4 for k in range(5)}
    length = {f"test/distance_by_length/{n}": 100.0 / n**3 for n in range(1, 9)}
    intervals = {name: [0, 1] for name in beta}
    leave("1", metrics=beta | length, intervals=intervals, baselines={"chance": dict.fromkeys(beta, 0.1)})
    block, _ = block_of(tmp_path)
    first, second = curves(block).axes
    assert (first.get_title(), second.get_title()) == ("beta k", "distance by length")
    assert [list(line.get_ydata()) for line in first.lines] == [[0.1] * 5, [0.0, 0.25, 0.5, 0.75, 1.0]]
    assert list(second.lines[0].get_xdata()) == list(range(1, 9))
    assert second.get_yscale() == "symlog"
    assert bars(block) is None  # what is a curve is no bar


def test_figures_show_the_best_where_there_are_many_models(leave, tmp_path):
    for number in range(12):
        leave(str(number), f"model{number}", losses=[12.0 - number])
    axis = learning(*block_of(tmp_path)).axes[0]
    assert [line.get_label() for line in axis.lines] == sorted(f"model{number}" for number in range(4, 12))


def test_hundreds_of_runs(leave, page):
    for number in range(200):
        leave(str(number), f"model{number % 20}", number // 20)
    found, _ = page()
    assert len({attributes["href"] for attributes in found.all("a")}) == 200
    assert len(found.all("img")) == 2 + 4  # the figures are of all runs together
