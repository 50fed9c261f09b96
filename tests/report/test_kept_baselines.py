"""What a file of runs keeps of baselines, columns and directions when runs come from several models and sittings."""

from seqlab.report.runs_file import read_runs
from tests.report.test_runs_file import told


def test_baselines_stay_with_the_runs_that_computed_them(leave, tmp_path, capsys):
    """Two models of one data set and seed whose chance differs: the file has both, also when it is written again."""
    for name, chance in (("lstm", 0.25), ("linear", 0.35)):
        for seed in (1, 2):
            leave(f"{name}{seed}", name, seed, baselines={"chance": {"test/accuracy": chance}})
    file = tmp_path / "runs.csv"
    from_folders = told(capsys, tmp_path / "runs", "--runs", file)[1]
    assert "| L1 | chance | 2 |  |  | - | 0.300 ± 0.071 |" in from_folders
    assert from_folders.endswith(told(capsys, file)[1])
    before = file.read_text(encoding="utf-8")
    told(capsys, file, "--runs", file)
    assert file.read_text(encoding="utf-8") == before


def test_a_run_that_takes_the_place_of_another_keeps_its_baselines(leave, tmp_path, capsys):
    for seed in (1, 2):
        leave(f"old/{seed}", seed=seed)
    leave("new", metrics={"test/accuracy": 0.75}, baselines={})
    file = tmp_path / "runs.csv"
    told(capsys, tmp_path / "runs" / "old", "--runs", file)
    told(capsys, tmp_path / "runs" / "new", "--runs", file)
    assert "| L1 | chance |" in told(capsys, file)[1]


def test_what_is_added_to_a_file_is_newer_than_what_it_has(leave, tmp_path, capsys):
    for name, value in (("old", 0.125), ("new", 0.875)):
        leave(f"{name}/1", metrics={"test/accuracy": value})
        told(capsys, tmp_path / "runs" / name, "--runs", tmp_path / f"{name}.csv")
    told(capsys, tmp_path / "new.csv", "--runs", tmp_path / "old.csv")
    assert "0.875" in told(capsys, tmp_path / "old.csv")[1]


def test_a_file_has_the_columns_and_directions_of_all_its_runs(leave, tmp_path, capsys):
    columns = {"accuracy": "test/accuracy", "mae": "test/mae"}
    leave("old/1")
    for seed, error in ((1, 0.5), (2, 0.25)):
        results = {"test/accuracy": 0.5, "test/mae": error}
        leave(f"new/{seed}", "gru", seed, results, columns=columns, better={"test/mae": "low"})
    file = tmp_path / "runs.csv"
    told(capsys, tmp_path / "runs" / "old", "--runs", file)
    told(capsys, tmp_path / "runs" / "new", "--runs", file)
    assert "| accuracy | mae |" in told(capsys, file)[1] and "**0.375 ± 0.177**" in told(capsys, file)[1]


def test_a_heading_of_two_metrics_is_refused(leave, tmp_path, capsys):
    leave("a")
    leave("b", "gru", metrics={"test/other": 1.0}, columns={"accuracy": "test/other"})
    code, _, error = told(capsys, tmp_path / "runs", "--runs", tmp_path / "runs.csv")
    said = " ".join(error.split())
    assert code == 2 and "L1: the column accuracy is test/accuracy of some runs and test/other of others" in said
    assert not (tmp_path / "runs.csv").exists()


def test_two_classes_of_one_name_are_two_settings(leave, tmp_path, capsys):
    for name, value in (("seqlab.schedule.Cosine", 0.5), ("mine.Cosine", 0.75)):
        leave(name, metrics={"test/accuracy": value}, config={"schedule": {"_target_": name}})
    file = tmp_path / "runs.csv"
    from_folders = told(capsys, tmp_path / "runs", "--runs", file)[1]
    assert "| lstm schedule=mine.Cosine | 1 |" in from_folders
    assert "| lstm schedule=seqlab.schedule.Cosine | 1 |" in from_folders
    assert from_folders.endswith(told(capsys, file)[1])


def test_a_run_made_anew_changes_its_own_baselines_alone(leave, tmp_path, capsys):
    for name in ("lstm", "linear"):
        for seed in (1, 2):
            leave(
                f"old/{name}{seed}",
                name,
                seed,
                baselines={"chance": {"test/accuracy": 0.25}, "gone": {"test/accuracy": 0.5}},
            )
    file = tmp_path / "runs.csv"
    told(capsys, tmp_path / "runs", "--runs", file)
    for name in ("lstm", "linear"):
        for seed in (1, 2):
            chance = 0.35 if (name, seed) == ("lstm", 1) else 0.25
            leave(f"new/{name}{seed}", name, seed, baselines={"chance": {"test/accuracy": chance}})
    told(capsys, tmp_path / "runs" / "new", "--runs", file)
    table = told(capsys, file)[1]
    assert "| L1 | chance | 2 |  |  | - | 0.300 ± 0.071 |" in table and "gone" not in table


def test_what_a_file_cannot_keep_is_not_written(leave, tmp_path, capsys):
    leave("a", metrics={"test/accuracy": 1e130})
    file = tmp_path / "runs.csv"
    told(capsys, tmp_path / "runs", "--runs", file)
    assert told(capsys, file)[0] == 0
    leave("b/1", columns={"val loss": "test/accuracy"})
    code, _, error = told(capsys, tmp_path / "runs" / "b", "--runs", tmp_path / "other.csv")
    assert code == 2 and "val loss has the name of the validation loss" in " ".join(error.split())


def test_directions_that_differ_are_none(leave, tmp_path, capsys):
    leave("a", metrics={"test/accuracy": 0.5}, better={"test/accuracy": "low"}, baselines={})
    leave("b", "gru", metrics={"test/accuracy": 0.25}, better={"test/accuracy": "high"}, baselines={})
    file = tmp_path / "runs.csv"
    from_folders = told(capsys, tmp_path / "runs", "--runs", file)[1]
    assert (
        from_folders.endswith(told(capsys, file)[1])
        and "**0.250**" not in from_folders
        and "**0.500**" not in from_folders
    )


def test_a_baseline_of_the_file_and_of_a_new_run_is_one_number(leave, tmp_path, capsys):
    """The file keeps six digits of a third, the run all."""
    for seed in (1, 2):
        leave(str(seed), seed=seed, baselines={"chance": {"test/accuracy": 1 / 3, "test/mae": None}})
    file = tmp_path / "runs.csv"
    told(capsys, tmp_path / "runs" / "1", "--runs", file)
    assert "| L1 | chance |  |  |  | - | 0.333 |" in told(capsys, tmp_path / "runs" / "2", "--runs", file)[1]
    assert "| L1 | chance |  |  |  | - | 0.333 |" in told(capsys, file)[1]


def test_a_baseline_that_all_models_of_a_seed_share_is_one_line(leave, tmp_path, capsys):
    for name in ("lstm", "linear", "gru"):
        for seed in (1, 2):
            own = 0.35 if (name, seed) == ("gru", 2) else 0.25
            leave(
                f"{name}{seed}", name, seed, baselines={"eos": {"test/accuracy": 0.5}, "chance": {"test/accuracy": own}}
            )
    file = tmp_path / "runs.csv"
    from_folders = told(capsys, tmp_path / "runs", "--runs", file)[1]
    kinds = [line.split(",")[0] for line in file.read_text(encoding="utf-8").splitlines()]
    assert kinds.count("shared") == 2 and kinds.count("baseline") == 2 * 3  # seed 1, and seed 2
    assert from_folders.endswith(told(capsys, file)[1])
    leave("again", "gru", 1, metrics={"test/accuracy": 1.0}, baselines={"chance": {"test/accuracy": 0.75}})
    told(capsys, tmp_path / "runs" / "again", "--runs", file)
    chance = {r["model"]: r["baselines"]["chance"]["test/accuracy"] for r in read_runs(file) if r["seed"] == 1}
    assert chance == {"lstm": 0.25, "linear": 0.25, "gru": 0.75}
