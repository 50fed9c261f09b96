"""The HTML page: one file that shows every run and needs nothing beside it."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

from seqlab.report.__main__ import main
from seqlab.report.collect import collect
from seqlab.report.page_runs import predictions_of
from seqlab.report.panels import MOST_POINTS, dots, indexed, learning, thinned
from seqlab.report.rows import tables_of

VOID = {"meta", "img", "br", "input"}


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


def data_of(text):
    """What the page's script reads."""
    return json.loads(text.partition('id="data">')[2].partition("</script>")[0])


def test_the_page_holds_everything(leave, page, tmp_path):
    for seed in (1, 2):
        leave(f"lr=0.1,#{seed} <b>", "ls<tm>", seed, config={"optimizer": {"lr": 0.1}})
    leave("lr=0.2", "ls<tm>", 1, config={"optimizer": {"lr": 0.2}})
    leave("failed", status="failed", reason="<script>alert(1)</script>", metrics={})
    found, text = page()
    assert not re.search(r"https?://", text.replace("http://www.w3.org/2000/svg", ""))  # a name, not an address
    assert not found.all("link")
    assert found.all("script") == [{"type": "application/json", "id": "data"}, {}]
    sources = [attributes["src"] for attributes in found.all("img")]
    assert len(sources) == 2  # a forecast of each setting
    for source in sources:
        kind, _, content = source.partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(content).startswith(b"\x89PNG")
    assert all(attributes["alt"] for attributes in found.all("img"))

    runs = data_of(text)["runs"]
    links = [attributes["href"] for attributes in found.all("a")] + [run["href"] for run in runs]
    targets = {(tmp_path / "pages" / unquote(link)).resolve() for link in links if not link.startswith("#")}
    assert targets == set((tmp_path / "runs").iterdir())
    assert {f"#run={number}" for number in range(len(runs))} <= set(links)
    assert ("td", "<script>alert(1)</script>") in found.texts
    assert ("strong", "0.500 ± 0.000") in found.texts


def test_only_the_script_and_style_of_the_page_may_run(leave, page):
    leave("1", "</script><script>alert(1)</script>", description="{{script}}")
    found, text = page()
    (policy,) = [meta["content"] for meta in found.all("meta") if "http-equiv" in meta]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert (rules["default-src"], rules["img-src"]) == ("'none'", "data:")
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    assert data_of(text)["runs"][0]["model"] == "</script><script>alert(1)</script>"
    assert "{{script}}" in text  # a description is not read as a place of the page


def test_headings_are_buttons_and_cells_say_what_they_are_sorted_by(leave, page):
    leave("1", metrics={"test/accuracy": 0.123456})
    found, _ = page()
    headings = [text for tag, text in found.texts if tag == "button"]
    assert headings == ["model", "data", "val loss", "accuracy", "n", "runs", "steps", "time"]
    assert ["data-metric" in heading for heading in found.all("th")[:8]] == [False] * 2 + [True] * 2 + [False] * 4
    assert "0.123456" in [attributes["data-sort"] for attributes in found.all("td")]
    assert all("data-sort" in attributes for attributes in found.all("td"))


def test_differing_keys_are_a_table_by_run(leave, page):
    leave("1", seed=1, config={"optimizer": {"lr": 0.1}, "data": {"length": 7}})
    leave("2", seed=1, config={"optimizer": {"lr": 0.2}, "data": {"length": 7}})
    _, text = page()
    part = text.partition("Differences between configurations")[2]
    headings = [
        heading for tag, heading in Page(part.partition("</h2>")[2].partition("</section>")[0]).texts if tag == "button"
    ]
    assert headings == ["run", "seed", "optimizer.lr"]
    assert 'data-sort="0.2">0.2<' in part


def test_seeds_alone_are_no_difference(leave, page):
    leave("1", seed=1)
    leave("2", seed=2)
    assert "differ in their seeds alone" in page()[1]


def test_a_run_has_its_settings_as_what_differs_from_most(leave, page):
    for number in range(3):
        leave(str(number), seed=number, config={"optimizer": {"lr": 0.1 if number else 0.5}})
    data = data_of(page()[1])
    assert data["shared"]["optimizer.lr"] == "0.1"
    assert [run["config"].get("optimizer.lr") for run in data["runs"]] == ["0.5", None, None]
    assert data["runs"][0]["curves"]["val/loss"] == [[0, 3.0], [1, 2.0]]


def test_predictions_are_spread_over_their_sets(leave):
    run = leave("1")
    records = [{"set": name, "prompt": str(n), "value": [n / 3, 2]} for name in ("id", "ood") for n in range(100)]
    records[-1]["broken"] = [{"rule": "a", "at": 1}, {"rule": 3, "at": 1}, {"rule": "b", "at": -1}, "c"]
    (run / "predictions.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    found = predictions_of(run, 10)
    assert (found["total"], found["fields"]) == (200, ["set", "prompt", "value"])
    assert [row[0] for row in found["rows"]] == ["id"] * 5 + ["ood"] * 5
    assert found["rows"][-1] == ["ood", "99", "33.0 2"]
    assert found["broken"][-1] == [("a", 1)]


@pytest.mark.parametrize("text", ["{", "[1]", "[" * 100_000, '{"a": NaN}', '{"a": {"b": [[1]]}}', ""])
def test_damaged_predictions_leave_the_rest_of_the_page(leave, page, text):
    run = leave("1")
    (run / "predictions.jsonl").write_text(text, encoding="utf-8")
    assert data_of(page()[1])["runs"][0]["metrics"] == {"test/accuracy": 0.5}


def test_predictions_elsewhere_are_not_shown(leave, page, tmp_path):
    run = leave("1")
    (tmp_path / "secret").write_text('{"set": "mine"}', encoding="utf-8")
    (run / "predictions.jsonl").symlink_to(tmp_path / "secret")
    found = data_of(page()[1])["runs"][0]["predictions"]
    assert found["rows"] == [] and "link" in found["problem"]


def block_of(tmp_path):
    (table,) = tables_of(collect([tmp_path / "runs"]).runs)
    return table.blocks[0], table.columns


def test_learning_curves_have_each_seed_and_the_mean(leave, tmp_path):
    leave("1", seed=1, losses=[4.0, 2.0, 1.0])
    leave("2", seed=2, losses=[2.0, 2.0])  # stopped earlier: the mean ends there
    first, second = learning(*block_of(tmp_path))
    assert (first["title"], first["unit"], second["title"], second["unit"]) == (
        "validation loss", False, "validation: accuracy", True)  # fmt: skip
    (row,) = first["rows"]
    assert row["mean"] == [(0, 3.0), (1, 2.0)]
    assert row["seeds"] == [[(0, 4.0), (1, 2.0), (2, 1.0)], [(0, 2.0), (1, 2.0)]]


def test_one_point_is_no_curve(leave, tmp_path):
    leave("1", losses=[4.0])
    assert learning(*block_of(tmp_path)) == []


def test_long_curves_are_thinned_with_both_ends():
    points = thinned(range(1000))
    assert (len(points), points[0], points[-1]) == (MOST_POINTS, 0, 999)


def test_dots_have_intervals_beside_chance_and_baselines(leave, tmp_path):
    names = {"rule 1": "test/id/rule_1", "rule 2": "test/id/rule_2"}
    rows = {"chance": dict.fromkeys(names.values(), 0.25), "oracle": dict.fromkeys(names.values(), 1.0)}
    for seed, shift in ((1, 0.0), (2, 0.2)):
        leave(str(seed), seed=seed, metrics=dict.fromkeys(names.values(), 0.4 + shift), columns=names, baselines=rows,
              intervals={name: [0, 1] for name in names.values()}, meanings={"rule_1": "pairs match"})  # fmt: skip
    leave("3", "linear", metrics={"test/id/rule_1": 0.3}, intervals={"test/id/rule_1": [0.1, 0.5]}, columns=names)
    _, first, second = dots(*block_of(tmp_path))
    assert (first["title"], second["title"], first["unit"]) == ("rule 1: pairs match", "rule 2", True)
    by_label = {row["label"]: row for row in first["rows"]}
    assert [row["kind"] for row in first["rows"]] == ["model", "model", "chance", "baseline"]
    lstm, linear = by_label["lstm"], by_label["linear"]
    assert (lstm["mean"], lstm["seeds"], lstm["high"]) == (
        pytest.approx(0.5),
        pytest.approx([0.4, 0.6]),
        pytest.approx(0.5 + 0.02**0.5),
    )
    assert (linear["low"], linear["high"]) == (0.1, 0.5)
    assert lstm["colour"] != linear["colour"] and not by_label["oracle"]["colour"]


def test_indexed_metrics_are_curves_with_their_baselines(leave, tmp_path):
    beta = {f"test/beta_{k}": k / 4 for k in range(5)}
    length = {f"test/distance_by_length/{n}": 100.0 / n**3 for n in range(1, 9)}
    intervals = {name: [0, 1] for name in beta}
    leave("1", metrics=beta | length, intervals=intervals, baselines={"chance": dict.fromkeys(beta, 0.1)})
    first, second = indexed(block_of(tmp_path)[0])
    assert (first["title"], first["x"], second["title"], second["x"]) == ("beta k", "k", "distance by length", "length")
    assert [[y for _, y in row["mean"]] for row in first["rows"]] == [[0.0, 0.25, 0.5, 0.75, 1.0], [0.1] * 5]
    assert [x for x, _ in second["rows"][0]["mean"]] == list(range(1, 9))
    assert (first["log"], second["log"]) == (False, True)


def test_figures_show_the_best_where_there_are_many_models(leave, tmp_path):
    for number in range(12):
        leave(str(number), f"model{number}", losses=[12.0 - number, 13.0])
    panel = learning(*block_of(tmp_path))[0]
    assert [row["label"] for row in panel["rows"]] == sorted(f"model{number}" for number in range(4, 12))


def test_hundreds_of_runs(leave, page):
    for number in range(200):
        leave(str(number), f"model{number % 20}", number // 20)
    found, text = page()
    assert len({attributes["href"] for attributes in found.all("a")}) == 200 + 1  # and the link to the tables
    assert len(data_of(text)["runs"]) == 200
    assert len(found.all("img")) == 4  # own figures of the first models alone
