"""A folder of configurations of one's own: found by a run, by each job of a sweep, by resume=RUN, by a search."""

import json
import shutil

import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from seqlab.errors import InputError
from seqlab.memory import main as memory
from seqlab.run.overrides import prepared, with_config_dir

QUICK = ["trainer.max_steps=4", "trainer.val_every=2", "trainer.min_steps=0", "trainer.accelerator=cpu", "logger=csv"]
SIZES = ["data.batch_size=8", "data.num_val=16", "data.num_test=16", "data.prompt_lengths=[4]", "data.max_length=16"]
WORDS = ["data=mine", "model=my_linear", *SIZES, *QUICK]


@pytest.fixture
def own(tmp_path):
    """A folder of configurations with a data set, a model and a main file, named relative to tmp_path."""
    for name, text in {
        "data/mine": "defaults: [L5, _self_]\nbatch_size: 4\n",
        "model/my_linear": "defaults: [linear, _self_]\nd_model: 8\n",
        "main": "defaults: [config, _self_]\nseed: 7\n",
    }.items():
        file = tmp_path / "own" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return "own"


@pytest.fixture
def run_py(command, root, tmp_path):
    """Words -> the completed process of run.py in tmp_path."""
    return lambda *words: command(root / "run.py", *words, cwd=tmp_path)


def summaries(folder):
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.rglob("summary.json"))]


@pytest.mark.parametrize(
    ("place", "seeds"),
    [
        (["--config-dir", "own"], [1, 2]),
        (["hydra.searchpath=[own]"], [1]),
        (["-cd", "own", "-cn", "main"], [7]),
        (["--config-path", "conf", "-cd=own"], [1]),
    ],
    ids=str,
)
def test_a_sweep_hands_it_on_to_its_jobs(own, run_py, tmp_path, place, seeds):
    swept = [] if seeds == [7] else [f"seed={','.join(map(str, seeds))}"]
    done = run_py("-m", *place, *WORDS, *swept)
    assert done.returncode == 0, done.stderr
    found = summaries(tmp_path / "outputs")
    assert [(run["data"], run["model"], run["seed"]) for run in found] == [("mine", "my_linear", n) for n in seeds]


def test_a_run_is_gone_on_with_wherever_the_option_stands(own, run_py, tmp_path):
    assert run_py(*WORDS, "--config-dir", own, "hydra.run.dir=run").returncode == 0
    for steps, words in enumerate(
        [
            ["--config-dir", "own", "resume=run", "trainer.max_steps=5"],
            ["resume=run", "--config-dir", "own", "trainer.max_steps=6"],
            ["resume=run", "trainer.max_steps=7", "-cd=own"],
            ["trainer.max_steps=8", "hydra.searchpath=[own]", "resume=run"],
        ],
        start=5,
    ):
        done = run_py(*words)
        assert done.returncode == 0, done.stderr
        (run,) = summaries(tmp_path / "run")
        assert (run["steps"], run["data"]) == (steps, "mine")
    words = yaml.safe_load((tmp_path / "run" / ".hydra" / "overrides.yaml").read_text(encoding="utf-8"))
    assert not any("own" in word for word in words)


def test_a_run_does_not_bring_its_own(own, run_py, root, tmp_path):
    """The words of a stranger's run choose from the folders that the user names."""
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    words = tmp_path / "run" / ".hydra" / "overrides.yaml"
    for word, reason in {
        "hydra.searchpath=[own]": "sets Hydra itself, which a run directory must not",
        "--config-dir=own": "an override is KEY=VALUE",
        "model=../evil": "names a file outside of the configuration",
    }.items():
        words.write_text(yaml.safe_dump(["data=mine", word]), encoding="utf-8")
        with pytest.raises(InputError, match=reason):
            prepared([f"resume={tmp_path / 'run'}", "--config-dir", str(tmp_path / own)], root / "conf")


def test_choices_of_the_folder_are_known(own, root, tmp_path):
    folder = str(tmp_path / own)
    words = prepared(["-m", "data=glob(min*)", "--config-dir", folder], root / "conf")
    assert words[0] == "data=glob(min*)"
    with pytest.raises(InputError, match="empty sweep"):
        prepared(["-m", "data=glob(min*)"], root / "conf")
    (tmp_path / own / "further").mkdir()
    with pytest.raises(InputError, match="several choices; -m before the overrides tries each"):
        prepared(["+further=a,b", f"hydra.searchpath=[file://{folder}]"], root / "conf")


def test_a_sweep_with_another_folder_of_configurations_is_another_sweep(own, root, tmp_path):
    def folder_of(*words):
        (found,) = [
            word
            for word in prepared(["-m", "data=L1,L3", *words], root / "conf")
            if word.startswith("hydra.sweep.dir=")
        ]
        return found

    (tmp_path / "two").mkdir()
    folders = [["--config-dir", str(tmp_path / own)], ["--config-dir", str(tmp_path / "two")], []]
    assert len({folder_of(*words) for words in folders}) == 3
    assert folder_of(*folders[0]) == folder_of(*folders[0])


def test_both_ways_of_naming_folders_go_together(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "it's").mkdir()
    words = with_config_dir(["seed=1", "hydra.searchpath=[pkg://a, b]"], "it's")
    assert words == ["seed=1", f"hydra.searchpath=['file://{tmp_path}/it\\'s','pkg://a','b']"]
    assert with_config_dir(["seed=1"], None) == ["seed=1"]
    with pytest.raises(InputError, match="--config-dir none: no such folder"):
        with_config_dir([], "none")


def test_a_file_that_is_no_yaml_is_one_line_that_names_it(own, run_py, tmp_path):
    (tmp_path / own / "model" / "torn.yaml").write_text("a: [1\nb: }\n", encoding="utf-8")
    done = run_py("--config-dir", own, "model=torn")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("error: ") and "own/model/torn.yaml" in done.stderr and "line 2" in done.stderr


@pytest.fixture
def no_hydra():
    """The command starts Hydra by itself; what other tests have started comes back afterwards."""
    started, config = GlobalHydra.instance().hydra, HydraConfig.instance().cfg
    GlobalHydra.instance().hydra = None
    yield
    GlobalHydra.instance().hydra, HydraConfig.instance().cfg = started, config


@pytest.mark.parametrize("place", [["--config-dir", "own"], ["hydra.searchpath=[own]"]], ids=" ".join)
def test_memory_finds_it(own, no_hydra, tmp_path, monkeypatch, capsys, place):
    monkeypatch.chdir(tmp_path)
    assert memory(["data=mine", *place, "model=my_linear", *SIZES]) == 0
    assert "my_linear on mine" in capsys.readouterr().out
    assert memory(["data=mine"]) == 2
    assert "data=mine: no such choice" in capsys.readouterr().err


SEARCH = "words: [data=mine, model=my_linear]\nnum_trials: 1\nspace:\n  optimizer.lr: {low: 1e-4, high: 1.0}\n"


@pytest.mark.parametrize("place", [["--config-dir", "own"], ["hydra.searchpath=[own]"]], ids=" ".join)
def test_a_search_finds_it(own, command, tmp_path, place):
    pytest.importorskip("optuna")
    (tmp_path / "plan.yaml").write_text(SEARCH, encoding="utf-8")
    words = ["-m", "seqlab.search", "plan.yaml", "search.dir=study"]
    done = command(*words, *place, *SIZES, *QUICK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (run,) = summaries(tmp_path / "study" / "trials")
    assert (run["data"], run["model"]) == ("mine", "my_linear")


def test_the_file_of_a_search_brings_none(own, command, tmp_path):
    pytest.importorskip("optuna")
    text = SEARCH.replace("data=mine", "'hydra.searchpath=[own]', data=mine")
    (tmp_path / "plan.yaml").write_text(text, encoding="utf-8")
    done = command("-m", "seqlab.search", "plan.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "the runs of a search take key=value, without resume and Hydra's own keys" in done.stderr


def test_a_sweep_from_a_copy_of_all_configurations(run_py, root, tmp_path):
    shutil.copytree(root / "conf", tmp_path / "copy")
    (tmp_path / "copy" / "data" / "mine.yaml").write_text("defaults: [L5, _self_]\n", encoding="utf-8")
    done = run_py("-m", f"--config-path={tmp_path / 'copy'}", "data=mine", "model=linear", *SIZES, *QUICK)
    assert done.returncode == 0, done.stderr
    assert [run["data"] for run in summaries(tmp_path / "outputs")] == ["mine"]
