"""Bad input ends in one line on stderr and exit code 2; a sweep outlives its failing jobs."""

import json
import sys

import pytest
from omegaconf import OmegaConf

from seqlab.cli import ending, tell
from seqlab.errors import InputError, Interrupted, NonFiniteError
from seqlab.run.build import build
from seqlab.run.config import RunConfig
from seqlab.run.directory import RunDirectory
from seqlab.run.train import train


@pytest.fixture
def refused(compose, root):
    """Overrides -> the line with which composing or building the configuration is refused; exit code 2."""

    def line(*overrides, full=False):
        with pytest.raises(Exception) as caught:
            build(compose(*overrides, full=full))
        end = ending(caught.value, root / "conf")
        assert end is not None, caught.value
        assert end.code == 2
        assert end.message.startswith("error: ")
        assert "\n" not in end.message
        return end.message

    return line


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (
            ["model=transfromer"],
            ["model=transfromer: no such choice; did you mean transformer? (allowed: ", " linear, lstm, "],
        ),
        (["data=L7"], ["data=L7: no such choice; allowed: A5, L1, L2,", "aNbNaN"]),
        (["optimizer=adam"], ["optimizer=adam: no such choice; did you mean adamw?"]),
        (["experiment=lm_lstmm"], ["experiment=lm_lstmm: no such choice; did you mean lm_lstm?"]),
        (["modle=lstm"], ["modle: no such key; did you mean model?"]),
        (["model.num_layer=2"], ["model.num_layer: no such key; did you mean num_layers?"]),
        (["sede=2"], ["sede: no such key; did you mean seed?"]),
        (["lr=1e-3"], ["lr: no such key; did you mean optimizer.lr? (allowed there: compile, "]),
        (["model.lr=1e-3"], ["model.lr: no such key; did you mean optimizer.lr? (allowed there: ", "d_model"]),
        (["warmup=3"], ["did you mean schedule.warmup?"]),
        (
            ["task=copy"],
            ["task: not a group to choose from; allowed: clipping, data, experiment, language, logger,"],
        ),
        (["search=lstm_lr"], ["search: not a group to choose from; allowed: "]),
        (["trainer.max_stps=2"], ["trainer.max_stps: no such key; did you mean max_steps?"]),
        (["model=lstm,linear"], ["lstm,linear"]),
        (["hydra.mode=walk"], ["error: hydra.mode: Invalid value 'walk', expected one of [RUN, MULTIRUN]"]),
        (["model.d_model=[1"], ["[1"]),
        (["model"], ["model"]),
    ],
)
def test_unknown_words(refused, overrides, parts):
    line = refused(*overrides, full=True)
    for part in parts:
        assert part in line


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["model.d_model=wide"], ["model.d_model=wide: input should be a valid integer"]),
        (["model.dropout=1.5"], ["model.dropout=1.5: input should be less than 1"]),
        (["model.num_heads=3"], ["num_heads=3 does not divide d_model=16"]),
        (["model.num_heads=0"], ["model.num_heads=0: input should be greater than or equal to 1"]),
        (["+model.depth=2"], ["model.depth: no such key"]),
        (["data.max_length=-4"], ["data.max_length=-4: input should be greater than or equal to 1"]),
        (["data.prompt_lengths=[-2]"], ["data.prompt_lengths=[-2]: input should be greater"]),
        (["data.prompt_lengths=[5]"], ["dyck: word length is 5, it must be even"]),
        (["data=L6", "data.prompt_lengths=[5]"], ["shuffle_dyck: word length is 5, it must be even"]),
        (["data.max_length=6", "data.prompt_lengths=[8]"], ["max_length is 6"]),
        (["data.batch_size=0"], ["data.batch_size=0: input should be greater than or equal to 1"]),
        (["data.num_train=0"], ["data.num_train=0"]),
        (["data=L3", "data.split=held_out", "data.max_length=8"], ["aNbN", "data.split=shared"]),
        (["eval.max_length=3"], ["eval.max_length=3 must be at least"]),
        (["eval.max_length=6000"], ["a sequence of 6001 steps: the position table has 5000"]),
        (["data.max_length=15"], ["dyck: max_length is 15, it must be even"]),
        (["eval.max_length=0"], ["error: eval.max_length=0: input should be greater than or equal to 1"]),
        (["eval.max_length=long"], ["error: eval.max_length=long: input should be a valid integer"]),
        (["model=linear", "eval.max_length=20"], ["linear is built for 17 steps and cannot read 21"]),
        (["model=lstm", "model.layer_dropout=0.5"], ["layer_dropout=0.5"]),
        (["optimizer.lr=0"], ["optimizer.lr=0: input should be greater than 0"]),
        (["schedule.unit=epoch"], ["schedule.unit=epoch needs a finite training set: set data.num_train"]),
        (["schedule.unit=batch"], ["schedule.unit=batch: input should be 'step' or 'epoch'"]),
        (["trainer.precision=16"], ["trainer.precision=16: input should be '32-true'"]),
        (["~optimizer.lr"], ["seqlab.optim.adamw needs lr"]),
        (["seed=-1"], ["seed=-1: input should be greater than or equal to 0"]),
        (["seed=x"], ["seed=x: input should be a valid integer"]),
        (["logger.csv._target_=os.system"], ["logger.csv._target_=os.system is not allowed"]),
    ],
)
def test_bad_values(refused, overrides, parts):
    line = refused(*overrides)
    for part in parts:
        assert part in line


def test_endings():
    assert ending(Interrupted(15, 30)) == ("interrupted: SIGTERM at step 30; last.ckpt is saved", 143)
    assert ending(Interrupted(2, 30)) == ("interrupted: SIGINT at step 30; last.ckpt is saved", 130)
    assert ending(NonFiniteError("the loss is nan at step 3")).code == 1
    assert ending(InputError("two\n  lines")) == ("error: two lines", 2)
    assert ending(FileNotFoundError(2, "No such file", "x.ckpt")) == ("error: x.ckpt: No such file", 2)
    for error in (
        MemoryError("5 TiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried\n 1e9 bytes"),
    ):
        end = ending(error)
        assert end is not None and end.code == 1
        assert end.message.startswith("failed: not enough memory for such sizes") and "\n" not in end.message
    assert ending(ZeroDivisionError()) is None


@pytest.fixture
def job(compose, tmp_path):
    """Overrides -> the summary of an in-process job in tmp_path/run."""

    def ran(*overrides):
        run_dir = tmp_path / "run"
        run_dir.mkdir(exist_ok=True)
        config = OmegaConf.create(compose("logger=csv", "trainer=fast", *overrides))
        hydras = OmegaConf.create({"overrides": {"task": list(overrides)}})
        return train(RunConfig.of(config, hydras), RunDirectory(run_dir))

    return ran


def test_a_refused_job_leaves_nothing_behind(job, tmp_path):
    for overrides in (["model.num_heads=3"], ["eval.max_length=2"], ["trainer.max_steps=0"]):
        with pytest.raises(InputError):
            job(*overrides)
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["summary.json", "metrics.csv", "checkpoints/last.ckpt"])
def test_a_used_directory_is_refused_and_left_as_it_is(job, tmp_path, name):
    file = tmp_path / "run" / name
    file.parent.mkdir(parents=True)
    file.write_text("kept", encoding="utf-8")
    with pytest.raises(InputError, match="already holds a run"):
        job()
    assert file.read_text(encoding="utf-8") == "kept"


def test_other_files_in_a_refused_directory_are_left(job, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError):
        job("model.num_heads=3")
    assert (tmp_path / "run" / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_run_that_blows_up_says_so_in_its_summary(job, tmp_path):
    with pytest.raises(NonFiniteError):
        job("optimizer=sgd", "optimizer.lr=1e30", "schedule=constant", "trainer.gradient_clip=null")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text(encoding="utf-8"))
    assert summary["stopped"] == "not_finite"
    assert summary["steps"] < 40


def test_one_layer_of_an_lstm_on_text_needs_no_other_key(compose):
    full = compose("data=text", "model=lstm", "data.path=null", full=True)
    one = compose("data=text", "model=lstm", "model.num_layers=1", "data.path=null", full=True)
    assert (full["model"]["layer_dropout"], one["model"]["layer_dropout"]) == (0.2, 0.0)
    assert compose("experiment=lm_lstm", "model.num_layers=1", full=True)["model"]["layer_dropout"] == 0.0


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["debug=true"], True),
        (["debug=True"], True),
        (["++debug=TRUE"], True),
        (["debug= tRuE "], True),
        (["debug=false", "debug=true"], True),
        (["debug=true", "debug=False"], False),
        (["seed=2"], False),
        (["debug"], False),
        (["+a.debug=true"], False),
    ],
)
def test_only_debug_shows_the_traceback(compose, monkeypatch, capsys, words, shown):
    monkeypatch.setattr(sys, "argv", ["run.py", "model.num_heads=7", *words])
    with pytest.raises(InputError) as caught:
        build(compose("model.num_heads=7"))
    assert tell(caught.value) == 2
    *before, last = capsys.readouterr().err.splitlines()
    assert last.startswith("error: num_heads=7")
    assert any("Traceback" in line for line in before) == bool(before) == shown


def test_a_message_is_one_line_whatever_stands_in_it():
    for name in ("a\nb", "a\u2028b", "a\rb"):
        for error in (InputError(name), FileNotFoundError(2, "No such file", name)):
            assert len(ending(error).message.splitlines()) == 1


def test_a_crash_is_told_with_its_traceback(capsys):
    try:
        raise ZeroDivisionError
    except ZeroDivisionError as error:
        assert tell(error) == 1
    assert "Traceback" in capsys.readouterr().err
