"""seqlab report --runs: runs as lines of a CSV file, which make the same report again."""

import csv

import pytest

from seqlab.report.__main__ import main
from seqlab.report.collect import collect
from seqlab.report.comparison import comparison
from seqlab.report.rows import tables_of
from seqlab.report.runs_file import read_runs


@pytest.fixture
def runs(leave, tmp_path):
    """Two models, three seeds and two data sets, and the folder that holds them."""
    for seed, value in ((1, 0.5), (2, 0.75), (3, 0.625)):
        leave(f"lstm/{seed}", seed=seed, metrics={"test/accuracy": value}, counts={"test/accuracy": 8})
        leave(f"other/{seed}", "linear", seed, {"test/accuracy": value / 2}, data="L3", versions={"seqlab": "0.3.0"})
    return tmp_path / "runs"


def told(capsys, *words):
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_file_makes_the_same_table_without_the_runs(runs, tmp_path, capsys):
    file = tmp_path / "kept" / ".." / "runs.csv"
    (tmp_path / "kept").mkdir()
    code, from_folders, _ = told(capsys, runs)
    assert code == 0 and told(capsys, runs, "--runs", file)[1].endswith(from_folders)
    assert told(capsys, file)[1] == from_folders
    assert told(capsys, file, "--format", "html")[0] == 0
    lines = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
    assert [line["version"] for line in lines if line["kind"] == "run" and line["data"] == "L3"] == ["0.3.0"] * 3
    assert len([line for line in lines if line["kind"] == "shared"]) == 6


def test_a_second_sitting_adds_to_the_file(runs, leave, tmp_path, capsys):
    file = tmp_path / "runs.csv"
    told(capsys, runs / "lstm", "--runs", file)
    told(capsys, runs / "other", "--runs", file)
    assert told(capsys, file)[1] == told(capsys, runs)[1]
    before = file.read_text(encoding="utf-8")
    told(capsys, file, "--runs", file)
    assert file.read_text(encoding="utf-8") == before
    leave("again", metrics={"test/accuracy": 1.0}, config={"optimizer": {"lr": 0.3}})  # newer than the kept one
    told(capsys, runs / "again", "--runs", file)
    assert "0.792" in told(capsys, file)[1]  # the mean of 1, 0.75 and 0.625


def test_settings_are_part_of_the_name(leave, tmp_path, capsys):
    leave("1", metrics={"test/accuracy": 0.5})
    leave("2", metrics={"test/accuracy": 0.25}, config={"optimizer": {"lr": 0.2}})
    told(capsys, tmp_path / "runs", "--runs", tmp_path / "runs.csv")
    assert "| lstm optimizer.lr=0.2 | 1 |" in told(capsys, tmp_path / "runs.csv")[1]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda text: text.replace("kind,data", "sort,data"),
            "not a file of runs: its first columns must be kind, data",
        ),
        (lambda text: text.replace("\nrun,", "\nrum,", 1), "line 5: kind 'rum': allowed: run, baseline"),
        (lambda text: text.replace(",0.5,", ",inf,", 1), "line 5: test/accuracy: inf is not a finite number"),
        (lambda text: text.replace(",0.5,", ",half,", 1), "line 5: could not convert string to float: 'half'"),
        (lambda text: text.replace("lstm,1,9", "lstm,one,9", 1), "line 5: invalid literal for int"),
        (lambda text: text.replace("chance,1,", "chance,7,", 1), "line 8: a baseline comes after a run"),
        (lambda text: text.replace(",high", ",tall", 1), "line 3: better: allowed: low, high"),
        (lambda text: text.replace("lstm,1,9,60.0", "lstm,1,9,nan", 1), "line 5: seconds: nan is not a finite number"),
        (lambda text: text.replace("lstm,1,9,60.0", "lstm,1,9,-1", 1), "line 5: seconds: -1.0 is below 0"),
        (lambda text: text.replace("lstm,1,9,", "lstm,1,-9,", 1), "line 5: -9 is below 0"),
        (lambda text: text.replace('"[""accuracy""]"', "accuracy", 1), "line 2: Expecting value"),
        (
            lambda text: text.replace('"[""accuracy""]"', '"[""val loss""]"', 1),
            "line 2: the heading val loss is that of",
        ),
        (lambda text: text.replace(",0.5,", ",1.7e308,", 1), "line 5: test/accuracy: 1.7e+308 is too large"),
        (lambda text: text.replace('"[""accuracy""]"', "7", 1), "line 2: headings 7: allowed: a list of texts"),
        (lambda text: text.partition("\n")[0] + "\n", "no run in"),
        (lambda text: text + "run,L1\n", "it has more or fewer cells than the heading"),
        (lambda text: "", "not a file of runs"),
        (lambda text: 'kind,"da', "not a file of runs"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(runs, tmp_path, capsys, change, reason):
    file = tmp_path / "runs.csv"
    told(capsys, runs / "lstm", "--runs", file)
    text = file.read_text(encoding="utf-8")
    assert change(text) != text
    file.write_text(change(text), encoding="utf-8")
    code, _, error = told(capsys, file)
    assert code == 2 and f"{file}" in error and reason in " ".join(error.split())


def test_two_headings_of_one_metric_are_both_kept(leave, tmp_path, capsys):
    leave("1", columns={"one": "test/accuracy", "two": "test/accuracy"})
    told(capsys, tmp_path / "runs", "--runs", tmp_path / "runs.csv")
    assert "| one | two |" in told(capsys, tmp_path / "runs.csv")[1]


def test_a_column_without_values_is_a_blank_map(leave, tmp_path, capsys):
    leave("1", metrics={"test/accuracy": None}, baselines={})
    leave("2", metrics={"test/accuracy": 0.5}, data="L3")
    assert told(capsys, tmp_path / "runs", "--compare", "accuracy", "--out", tmp_path / "out")[0] == 0


def test_files_that_are_none(tmp_path, runs, capsys):
    assert told(capsys, tmp_path / "none.csv")[0] == 2
    assert told(capsys, runs, "--runs", tmp_path / "runs.txt")[0] == 2
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    assert told(capsys, tmp_path / "bytes.csv")[0] == 2


def test_a_map_and_curves_compare_models(leave, tmp_path, capsys):
    from PIL import Image

    for seed in (1, 2):
        curve = {f"test/share_by_length/{n}": seed / (n + 2) for n in range(1, 6)}
        leave(f"a{seed}", seed=seed, metrics={"test/accuracy": 0.5, **curve})
        leave(f"b{seed}", "linear", seed, {"test/accuracy": seed / 4, **curve})
        leave(f"c{seed}", "linear", seed, {"test/accuracy": 0.1}, data="L3")
    place = tmp_path / "out"
    assert told(capsys, tmp_path / "runs", "--compare", "accuracy", "--out", place)[0] == 0
    names = {
        f"{stem}.{suffix}" for stem in ("L1_share_by_length", "accuracy", "accuracy_dots") for suffix in ("png", "svg")
    }
    assert {path.name for path in place.iterdir()} == names | {"table.md", "by_data.md"}
    for picture in place.glob("*.png"):
        with Image.open(picture) as opened:
            assert opened.width > 100 and len(set(opened.convert("L").tobytes())) > 20
    code, _, error = told(capsys, tmp_path / "runs", "--compare", "acuracy", "--out", place)
    assert code == 2 and "did you mean accuracy?" in error
    assert told(capsys, tmp_path / "runs", "--compare", "accuracy")[0] == 2


def test_a_table_has_models_by_data_with_the_range_over_seeds(leave, tmp_path, capsys):
    for seed, value in ((1, 0.25), (2, 0.75)):
        last = {"test_last/accuracy": value / 2} if seed == 1 else {}
        leave(f"a{seed}", seed=seed, metrics={"test/accuracy": value, **last})
    leave("b", "linear", 1, {"test/accuracy": 0.5}, data="L3", baselines={})
    assert told(capsys, tmp_path / "runs", "--compare", "accuracy", "--out", tmp_path / "out")[0] == 0
    _, losses, best, last = (tmp_path / "out" / "by_data.md").read_text(encoding="utf-8").split("\n\n")
    assert losses.splitlines()[2] == "| lstm | 2.000 |  |"
    assert best.splitlines() == [
        "| accuracy | L1 | L3 |",
        "| - | - | - |",
        "| lstm | 0.500 (0.250 to 0.750) |  |",
        "| linear |  | 0.500 /1 |",
        "| *chance* | 0.250 |  |",
    ]
    assert last.splitlines() == [
        "| accuracy at last.ckpt | L1 | L3 |",
        "| - | - | - |",
        "| lstm | 0.125 /1 |  |",
        "| linear |  |  |",
    ]


def test_figures_say_what_the_column_means_on_each_data_set(leave, tmp_path, capsys):
    """Also from a file, and where only a later run knows it."""
    names = {"OOD rule 1": "test/ood/rule_1"}
    leave("a", metrics={"test/ood/rule_1": 0.5}, columns=names)
    leave("b", "linear", metrics={"test/ood/rule_1": 0.5}, columns=names, meanings={"rule_1": "pairs match"})
    leave("c", metrics={"test/ood/rule_1": 0.5}, columns=names, meanings={"rule_1": "order"}, data="L3")
    told(capsys, tmp_path / "runs", "--runs", tmp_path / "runs.csv")
    figures = comparison(tables_of(read_runs(tmp_path / "runs.csv")), "OOD rule 1")
    labels = [label.get_text() for label in figures["OOD_rule_1"].axes[0].get_xticklabels()]
    assert labels == ["L1\npairs match", "L3\norder"]
    assert [axis.get_title() for axis in figures["OOD_rule_1_dots"].axes] == labels


def test_data_of_one_name_has_figures_of_its_own(leave, tmp_path, capsys):
    curve = {f"test/share_by_length/{n}": 0.5 for n in range(1, 6)}
    for n, about in enumerate(("easy, up to 16 symbols", "easy, up to 32 symbols")):
        leave(f"a{n}", metrics={"test/accuracy": 0.5, **curve}, description=about)
    place = tmp_path / "out"
    assert told(capsys, tmp_path / "runs", "--compare", "accuracy", "--out", place)[0] == 0
    curves = sorted(path.stem.partition("-")[0] for path in place.glob("*share_by_length.png"))
    assert curves == ["L1_up_to_16_symbols", "L1_up_to_32_symbols"]
    figures = comparison(tables_of(collect([tmp_path / "runs"]).runs), "accuracy")
    labels = [label.get_text().replace("\n", " ") for label in figures["accuracy"].axes[0].get_xticklabels()]
    assert labels == ["L1: up to 16 symbols", "L1: up to 32 symbols"]
    panels = [axis.get_title().replace("\n", " ") for axis in figures["accuracy_dots"].axes]
    assert panels == labels


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_map_speaks_of_a_best_seed_where_there_are_several(leave, tmp_path, seeds):
    for seed in range(seeds):
        leave(f"a{seed}", seed=seed)
    figure = comparison(tables_of(collect([tmp_path / "runs"]).runs), "accuracy")["accuracy"]
    assert ("best seed" in figure.axes[0].get_xlabel().replace("\n", " ")) == (seeds == 2)
