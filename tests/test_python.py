"""SeqLab from Python: a run is what the command makes, errors are one InputError, and any module can be tested."""

import json
import shutil

import pytest
import torch
from torch import nn

import seqlab
from rule_extrapolation.complete import complete
from rule_extrapolation.dyck import Dyck
from rule_extrapolation.letters import ANBN
from seqlab.errors import InputError
from seqlab.export.__main__ import main as export
from seqlab.export.folder import load_export
from seqlab.places import cache_folder
from seqlab.report.__main__ import main as report
from tests.conftest import ROOT

TINY = "model=lstm data=L3 model.d_model=8 model.hidden_dim=8 data.num_val=32 data.num_test=32 data.batch_size=8 "
TINY += "trainer.accelerator=cpu trainer.val_every=2 trainer.min_steps=0 logger=csv "


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return seqlab.train(TINY + "trainer.max_steps=4", dir=tmp_path_factory.mktemp("python") / "run", quiet=True)


def test_a_run_has_its_results(run):
    assert run.summary["steps"] == 4 and run.directory.name == "run"
    assert run.summary["metrics"]["test/loss"] > 0 and "chance" in run.summary["baselines"]
    assert list(run.metrics["val/loss"].dropna().index) == [2, 4] and run.metrics.index.name == "step"
    assert (
        repr(run)
        == f"TrainedRun(lstm on L3, seed 1, {run.summary['num_parameters']:,} parameters, 4 steps, {run.directory})"
    )
    assert "completion" in run.predict("a a b")
    assert run.task.evaluate(run.model, "test")["test/loss"] == pytest.approx(run.summary["metrics"]["test/loss"])


def test_a_run_answers_and_shows_its_inside(run):
    completion = run.complete("a a b")
    assert f"completion  {completion or '(ends at once)'}" in run.predict("a a b")
    table = run.next_probabilities("a a b")
    assert list(table.index) == ["(start)", "a", "a", "b"] and {"a", "b", "(end)"} <= set(table.columns)
    assert table.sum(axis=1).tolist() == pytest.approx([1, 1, 1, 1], abs=1e-4)
    assert table.iloc[-1].idxmax() == (completion[:1] or "(end)")
    found = run.activations("a a b", names=["lstm", "head"])
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == {"lstm": (1, 4, 8), "head": (1, 4, 5)}
    with pytest.raises(InputError, match="did you mean head"):
        run.activations("a a b", names=["haed"])
    with pytest.raises(InputError, match="not a symbol"):
        run.complete("x")


@pytest.mark.parametrize(("part", "file"), [("summary", "summary.json"), ("metrics", "metrics.csv")])
def test_a_run_without_a_file_says_so(run, tmp_path, part, file):
    shutil.copytree(run.directory, tmp_path / "run")
    (tmp_path / "run" / file).unlink()
    other = seqlab.load_run(tmp_path / "run")
    with pytest.raises(InputError, match=f"{file}: no such file"):
        getattr(other, part)
    assert repr(other).startswith("TrainedRun(lstm on L3") and (part == "metrics" or "no results" in repr(other))


def test_a_damaged_log_is_one_line(run, tmp_path):
    shutil.copytree(run.directory, tmp_path / "run")
    (tmp_path / "run" / "metrics.csv").write_text("step,val/loss\n1,two\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"metrics\.csv is damaged"):
        _ = seqlab.load_run(tmp_path / "run").metrics


def test_a_checkpoint_alone_is_in_no_directory(run, tmp_path):
    best = run.directory / "checkpoints" / "best.ckpt"
    assert seqlab.load_run(best).directory == run.directory
    alone = seqlab.load_run(shutil.copy(best, tmp_path / "alone.ckpt"))
    assert alone.directory is None and "a checkpoint alone" in repr(alone)
    for use in (lambda: alone.summary, lambda: alone.metrics, lambda: alone.resume()):
        with pytest.raises(InputError, match="no run directory"):
            use()


def test_a_tilde_is_the_home_folder(run, tmp_path, monkeypatch):
    monkeypatch.setenv("SEQLAB_CACHE", str(cache_folder()))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run.directory, tmp_path / "run")
    assert seqlab.load_run("~/run").directory == tmp_path / "run"
    assert export(["~/run", "--format", "safetensors", "--out", "~/exported"]) == 0
    assert load_export("~/exported/safetensors").config == run.config
    assert report(["~/run", "--out", "~/table.md"]) == 0 and (tmp_path / "table.md").is_file()
    words = "model=linear data=L3 data.batch_size=8 trainer=fast trainer.max_steps=2 trainer.val_every=2 logger=csv"
    assert seqlab.train(words, dir="~/runs/x", quiet=True).directory == tmp_path / "runs" / "x"
    assert not (tmp_path / "~").exists()


def test_it_is_the_run_of_the_command(run, command, tmp_path):
    words = [*TINY.split(), "trainer.max_steps=4", f"hydra.run.dir={tmp_path}/other"]
    assert command(ROOT / "run.py", *words).returncode == 0
    other = json.loads((tmp_path / "other" / "summary.json").read_text(encoding="utf-8"))
    for part in ("metrics", "baselines", "intervals", "seed", "num_parameters", "description"):
        assert other[part] == run.summary[part]
    for name in (".hydra/config.yaml", ".hydra/overrides.yaml"):
        assert (run.directory / name).exists()


def test_resumed_equals_uninterrupted(tmp_path):
    whole = seqlab.train(TINY + "trainer.max_steps=6", dir=tmp_path / "whole", quiet=True)
    part = seqlab.train(TINY + "trainer.max_steps=2", dir=tmp_path / "part", quiet=True)
    resumed = part.resume(max_steps=6, quiet=True)
    assert resumed.summary["steps"] == 6 and resumed.summary["metrics"] == whole.summary["metrics"]
    for one, other in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert seqlab.load_run(tmp_path / "part").summary == resumed.summary


@pytest.mark.parametrize("quiet", [True, False])
def test_quiet_prints_nothing(tmp_path, capsys, quiet):
    seqlab.train(TINY + "trainer.max_steps=2", dir=tmp_path / "run", quiet=quiet)
    out, err = capsys.readouterr()
    assert ("id/grammatical" in out) != quiet and (not quiet or (out, err) == ("", ""))


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("model=lsm data=L3", "did you mean lstm?"),
        ("model=lstm nope=3", "nope: no such key"),
        ("model=lstm optimizer.lr=-1", "optimizer.lr=-1"),
        ("-m model=lstm", "-m is for the command line"),
        ("model=lstm,linear", "model=lstm,linear"),
        ("trainer.devices=2", "trainer.devices=2"),
        ("model=lstm 'data=L3", "No closing quotation"),
        (nn.Linear(3, 3), "words such as 'model=lstm data=L5' are needed, not Linear: a model to train has a YAML"),
        (["model=lstm", 3], "words such as 'model=lstm data=L5' are needed, not list"),
        (None, "are needed, not NoneType"),
    ],
)
def test_errors_are_one_line(words, part, tmp_path):
    with pytest.raises(InputError) as raised:
        seqlab.train(words, dir=tmp_path / "run")
    assert part in str(raised.value) and "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_a_used_directory_is_refused(run):
    before = run.summary
    with pytest.raises(InputError, match="already holds a run"):
        seqlab.train(TINY + "trainer.max_steps=4", dir=run.directory)
    assert run.summary == before


def test_choices():
    assert {"model", "data", "optimizer"} <= set(seqlab.choices()) and "L5" in seqlab.choices("data")
    with pytest.raises(InputError, match="did you mean data"):
        seqlab.choices("dta")


class Table(nn.Module):
    """Logits by the last symbol alone: the next symbol of an a is an a, of a b it is the end."""

    def __init__(self):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(5, 5))
        with torch.no_grad():
            self.logits[3, 3] = self.logits[4, 1] = self.logits[0, 3] = 9

    def forward(self, ids):
        return self.logits[ids]


def test_any_module_is_evaluated_beside_the_baselines():
    rows = seqlab.evaluate(Table(), "data=L3 data.num_test=32 data.prompt_lengths=[4]")
    assert {"model", "chance", "oracle", "ngram"} <= rows.keys()
    assert rows["oracle"]["id/grammatical"] == 1
    # by hand: of the prompts of four symbols with a completion (aaaa, aaab, aabb), aabb alone ends at once
    assert rows["model"]["id/grammatical"] == pytest.approx(1 / 3)
    assert rows["model"]["sos/grammatical"] == 0


def test_a_baseline_that_fails_is_a_row_of_none_with_its_reason(tmp_path, capsys):
    (tmp_path / "v.csv").write_text("v\n" + "".join(f"{step % 7}\n" for step in range(300)), encoding="utf-8")
    series = f"data=series data.csv={tmp_path}/v.csv data.column=v data.window=24 data.horizon=4 data.seasons=[7]"
    rows = seqlab.evaluate(nn.Linear(1, 4), series)
    assert rows["ARIMA"] == dict.fromkeys(rows["model"])
    assert rows["ETS"]["mae"] is not None and rows["model"]["mae"] is not None
    assert "warning: baseline ARIMA is missing: the series always changes by 0 over 7 steps" in capsys.readouterr().err


@pytest.mark.parametrize("training", [True, False])
def test_an_evaluation_leaves_every_part_in_its_mode(training):
    model = nn.Sequential(Table(), nn.Dropout(0.5)).train(training)
    model[1].train(not training)  # as a part that somebody froze
    seqlab.evaluate(model, "data=L3 data.num_test=32 data.prompt_lengths=[4]")
    with pytest.raises(InputError, match="expected logits"):
        seqlab.evaluate(model, "data=L5")
    assert [module.training for module in model.modules()] == [training, training, not training]


@pytest.mark.parametrize(
    ("model", "words", "part"),
    [
        (3, "data=L5", "torch.nn.Module, not int"),
        (nn.Linear(3, 3), "data=L5", "Linear does not fit"),
        (nn.Embedding(7, 4), "data=L5", "expected logits"),
        (Table(), "data=L3 model=lstm", "leave model=... out"),
        (Table(), "data=L33", "did you mean L3?"),
    ],
)
def test_what_cannot_be_evaluated_is_said(model, words, part):
    with pytest.raises(InputError) as raised:
        seqlab.evaluate(model, words)
    assert part in str(raised.value)


def test_completing_one_prompt(run):
    grammar = ANBN()
    string = complete(run.model, "a a b", grammar)
    assert string.startswith("aab") and set(string) <= {"a", "b"} and len(string) <= 32
    assert string in run.predict("aab").replace("prompt      ", "").replace("\ncompletion  ", "")
    with pytest.raises(ValueError, match="not a symbol"):
        complete(run.model, "x", grammar)
    with pytest.raises(ValueError, match="has 7 symbols"):
        complete(run.model, "(", Dyck())
    with pytest.raises(ValueError, match="at most 4"):
        complete(run.model, "aaaaa", grammar, max_length=4)
