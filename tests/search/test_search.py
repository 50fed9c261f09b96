"""python -m seqlab.search: a study of runs, also one that was cut off. A stand-in for training makes runs short."""

import json
import re
import shlex

import pytest

pytest.importorskip("optuna")
from optuna.distributions import CategoricalDistribution
from optuna.trial import create_trial

from seqlab.run.directory import RunDirectory
from seqlab.search.__main__ import CONF, main
from seqlab.search.plan import Plan, Range, defaults, read_plan
from seqlab.search.study import distribution, stored, suggestion
from seqlab.show.table import number
from tests.search.conftest import PLAN


def trials(folder):
    return [(trial.params, trial.value) for trial in stored(folder, "plan").trials]


def starts(folder):
    return {path.parent.name: len(path.read_text(encoding="utf-8")) for path in folder.rglob("starts")}


def test_a_study_begins_with_the_default_and_finds_better(search, tmp_path):
    code, out, err = search("search.num_trials=12", "search.confirm_seeds=[7,9]")
    assert (code, err) == (0, "")
    found = trials(tmp_path / "study")
    assert len(found) == 12
    assert found[0] == ({"optimizer.lr": 0.001, "model.d_model": 128}, pytest.approx(1.001))
    best, value = min((pair for pair in found if pair[1] is not None), key=lambda pair: pair[1])
    assert value < 0.2
    report = (tmp_path / "study" / "study.md").read_text(encoding="utf-8")
    assert "| 0 | 0.001 | 128 | 1.001 | default |" in report
    assert "the loss is inf at step 3" in report
    assert len(re.findall("^trial [0-9]+/12 ", out, re.MULTILINE)) == 12
    told = [line.split() for line in out.splitlines()]
    assert ["0", "0.001", "128", "1.001", "default"] in told
    assert ["val/loss", "1.008", "±", "0.0014", number(value + 0.007), "±", "0.0014"] in told
    assert "On 2 of 2 new seeds the best has a lower val/loss than the default" in report
    assert f"| val/loss | 1.008 ± 0.0014 | {number(value + 0.007)} ± 0.0014 |" in report
    assert "test/loss" in report
    command = shlex.split(report.partition("`seqlab train model=linear trainer.max_steps=5 optimizer.lr=")[2])
    assert float(command[0]) == best["optimizer.lr"]
    assert (tmp_path / "study" / "plots" / "history.png").stat().st_size > 5000
    assert (tmp_path / "study" / "plots" / "slices.png").stat().st_size > 5000


@pytest.mark.slow
def test_the_same_command_runs_nothing_again_and_more_trials_are_added(search, tmp_path):
    assert search()[0] == 0
    first = trials(tmp_path / "study")
    assert search()[0] == 0
    assert search("search.num_trials=8")[0] == 0
    assert trials(tmp_path / "study")[:6] == first
    assert starts(tmp_path / "study") == {f"{number:03d}": 1 for number in range(8)}
    assert search("search.num_trials=8", folder="at_once")[0] == 0
    assert trials(tmp_path / "at_once") == trials(tmp_path / "study")


@pytest.mark.parametrize(("name", "code"), [("SIGKILL", -9), ("SIGTERM", 143)])
def test_a_study_that_was_stopped_is_the_study_that_was_not(search, command, tmp_path, name, code):
    assert search(folder="whole")[0] == 0
    script = tmp_path / "search.py"
    script.write_text(
        "import sys\n"
        "from seqlab.search import study\nfrom seqlab.search.__main__ import main\n"
        f"study.TRAIN = (sys.executable, {str(tmp_path / 'run.py')!r})\nsys.exit(main(sys.argv[1:]))\n",
        encoding="utf-8",
    )
    words = [script, tmp_path / "plan.yaml", f"search.dir={tmp_path / 'study'}"]
    environment = "import os\nos.environ.update(KILLS='003', SIGNAL=" + repr(name) + ")\n"
    (tmp_path / "stopped.py").write_text(environment + script.read_text(encoding="utf-8"), encoding="utf-8")
    stopped = command(tmp_path / "stopped.py", *words[1:], cwd=tmp_path)
    assert stopped.returncode == code, stopped.stderr
    if name == "SIGTERM":
        assert stopped.stderr == "interrupted: SIGTERM; the same command resumes from here\n"
    assert len(trials(tmp_path / "study")) == 3
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert trials(tmp_path / "study") == trials(tmp_path / "whole")
    assert starts(tmp_path / "study") == {f"{number:03d}": 1 + (number == 3) for number in range(6)}


def test_fewer_trials_than_the_study_has_are_confirmed_and_told_alike(search, tmp_path):
    (tmp_path / "study").mkdir()
    study = stored(tmp_path / "study", "plan")
    space = {"optimizer.lr": distribution(Range(1e-4, 1.0, log=True)), "model.d_model": distribution([64, 128])}
    for rate, value in ((0.001, 1.0), (0.02, 0.5), (0.01, 0.1)):
        params = {"optimizer.lr": rate, "model.d_model": 64}
        study.add_trial(create_trial(params=params, distributions=space, value=value))
    assert search("search.num_trials=2", "search.confirm_seeds=[7]")[0] == 0
    runs = [path for path in (tmp_path / "study" / "confirm").iterdir() if path.is_dir()]
    assert {path.name for path in runs} == {"default_seed7", "trial_001_seed7"}
    assert "Best, trial 1: " in (tmp_path / "study" / "study.md").read_text(encoding="utf-8")


def test_a_refused_default_ends_the_study_and_a_refused_trial_does_not(search, tmp_path, monkeypatch):
    monkeypatch.setenv("REFUSED", "64")
    assert search()[0] == 0
    small = [trial for trial in stored(tmp_path / "study", "plan").trials if trial.params["model.d_model"] == 64]
    assert {trial.user_attrs["reason"] for trial in small} == {"that is refused"}
    monkeypatch.setenv("REFUSED", "128")
    assert search(folder="other") == (2, "", "error: that is refused\n")


def test_no_trial_that_ends_well(search):
    code, out, _ = search("optimizer.lr=0.6", plan=PLAN.replace("low: 1e-4", "low: 0.5"))
    assert code == 1
    assert "failed: the loss is inf at step 3" in out


@pytest.mark.parametrize(
    ("change", "words", "part"),
    [
        (("optimizer.lr", "optimizer.rate"), [], "optimizer.rate: no such key; "),
        (("low: 1e-4", "low: 2"), [], "space.optimizer.lr: low=2 is not below high=1.0"),
        (("low: 1e-4", "low: 0"), [], "has no logarithm"),
        (("low: 1e-4", "low: 0.01"), [], "space.optimizer.lr: the default, 0.001, is not among 0.01 .. 1"),
        (("[64, 128]", "[64, 64]"), [], "space.model.d_model: a choice is listed twice"),
        (("num_trials", "trials"), [], "trials: no such key; did you mean num_trials?"),
        (("num_trials: 6", "num_trials: 0"), [], "num_trials: "),
        (("space:", "spice:"), [], "spice: no such key; did you mean space?"),
        (("words: [", "words: {"), [], "plan.yaml cannot be read"),
        (("model=linear", "model=liner"), [], "model=liner: no such choice; did you mean linear?"),
        (("", ""), ["search.metric=val/los"], "metric=val/los is not in "),
        (("", ""), ["search.confirm_seeds=[1]"], "confirm_seeds: 1 is the seed of the study's own runs"),
        (("", ""), ["resume=auto"], "resume=auto: the runs of a search take key=value"),
    ],
)
def test_bad_input_is_one_line(search, change, words, part):
    code, _, err = search(*words, plan=PLAN.replace(*change) if change[0] else PLAN)
    assert code == 2
    (line,) = err.splitlines()
    assert part in line


def test_a_name_that_is_unknown(capsys):
    assert main(["lstm_rl"]) == 2
    assert capsys.readouterr().err.startswith("error: lstm_rl: no such search; did you mean lstm_lr?")


def test_one_process_and_one_study_a_folder(search, tmp_path):
    assert search()[0] == 0
    assert "holds another study: seed is 1 there and 2 here" in search("search.seed=2")[2]
    with RunDirectory(tmp_path / "study").claimed():
        assert search()[0] == 2
    (tmp_path / "study" / "trials" / "006").mkdir()
    with RunDirectory(tmp_path / "study" / "trials" / "006").claimed():
        assert search("search.num_trials=7")[0] == 2
    assert len(trials(tmp_path / "study")) == 6


@pytest.mark.parametrize(
    "params",
    [
        {"optimizer.lr": 0.1, "model.d_model": 128, "hydra.callbacks.x._target_": "os.mkdir"},
        {"optimizer.lr": 0.1, "model.d_model": "128 +hydra.callbacks.x._target_=os.mkdir"},
        {"optimizer.lr": 0.1},
    ],
    ids=["a further key", "a further word", "a missing key"],
)
def test_stored_trials_become_no_words_unless_the_search_has_them(search, tmp_path, params):
    assert search()[0] == 0
    space = {key: CategoricalDistribution([value]) for key, value in params.items()}
    (tmp_path / "study" / "study.db").unlink()
    study = stored(tmp_path / "study", "plan")
    study.add_trial(create_trial(params=params, distributions=space, value=-1.0))
    before = starts(tmp_path / "study")
    code, _, err = search()
    assert (code, err.count("\n")) == (2, 1) and "trial 0 has no value of the search for" in err
    assert starts(tmp_path / "study") == before


def test_what_is_tried_is_a_function_of_the_trials_before(search, tmp_path):
    assert search()[0] == 0
    before = stored(tmp_path / "study", "plan").trials
    plan = Plan(space={"optimizer.lr": Range(1e-4, 1.0, log=True), "model.d_model": [64, 128]})
    assert suggestion(before, plan, 6) == suggestion(before, plan, 6) != suggestion(before, plan, 7)


def test_defaults_of_groups_and_words():
    plan = Plan(
        words=["optimizer.lr=0.02"], space={"model": ["linear", "transformer"], "optimizer.lr": Range(0.01, 0.1)}
    )
    assert defaults(plan, CONF) == {"model": "transformer", "optimizer.lr": 0.02}
    assert plan.job({"model": "linear", "optimizer.lr": 0.05}) == ["model=linear", "optimizer.lr=0.05"]


@pytest.mark.parametrize("file", sorted((CONF / "search").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_search_can_begin(file):
    plan = read_plan(file, [])
    assert set(defaults(plan, CONF)) == set(plan.space)


@pytest.mark.slow
def test_real_runs(command, tmp_path):
    words = ["trainer.max_steps=8", "trainer.min_steps=0", "trainer.val_every=4", "data.max_length=16"]
    words += ["data.prompt_lengths=[4]", "search.num_trials=3", "search.confirm_seeds=[5]", "search.dir=study"]
    done = command("-m", "seqlab.search", "lstm_lr", *words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((tmp_path / "study").rglob("status.json"))]
    assert {run["status"] for run in runs} == {"done"}
    assert len(runs) in (3, 5)


def test_words_that_hydra_cannot_read_and_the_home_folder(search, tmp_path, monkeypatch):
    plan = PLAN.replace("trainer.max_steps=5", "trainer.max_steps=5, data=series, data.csv=été (1).csv")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert search("search.num_trials=1", "data.column=Temp (°C)", "search.dir=~/home", plan=plan)[0] == 0
    assert search("search.num_trials=1", "data.column='Temp (°C)'", "search.dir=~/home", plan=plan)[0] == 0
    note = json.loads((tmp_path / "home" / "plan.json").read_text(encoding="utf-8"))
    assert note["words"][-2:] == ["data.csv=été (1).csv", "data.column=Temp (°C)"]
