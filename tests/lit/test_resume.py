"""A run that is cut off and resumed is the run that was not, bit for bit."""

import os
import signal

import pytest
import torch
from lightning import Callback

from seqlab.errors import Interrupted
from seqlab.lit.checkpoints import Checkpoints, load_checkpoint, training_seconds
from seqlab.show.curves import read_metrics
from tests.comparison import differences

STEPS = 12  # validations are at 4, 8 and 12


class Signal(Callback):
    """Sends this process SIGTERM in the step that makes `steps` complete."""

    def __init__(self, steps):
        self.steps = steps

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.steps - 1:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def fit(prepare, tmp_path):
    """Train a fresh module with a fresh trainer to max_steps; returns (trainer, everything that was logged)."""

    def trained(folder, max_steps, *overrides, resumed_from=None, interrupted_at=None):
        settings = [
            "optimizer.lr=0.002",
            "schedule.warmup=5",
            "logger=csv",
            "trainer.min_steps=0",
            "trainer.log_every=1",
        ]
        steps = ["trainer.val_every=4", f"trainer.max_steps={max_steps}"]
        run, trainer = prepare(*settings, *steps, *overrides, folder=folder)
        if interrupted_at is None:
            trainer.fit(run.module, datamodule=run.datamodule, ckpt_path=resumed_from, weights_only=True)
        else:
            trainer.callbacks.append(Signal(interrupted_at))
            with pytest.raises(Interrupted):
                trainer.fit(run.module, datamodule=run.datamodule)
            trainer.logger.save()
        file = tmp_path / folder / "metrics.csv"
        metrics = read_metrics(file) if file.exists() else {}
        return trainer, {name: rows for name, rows in metrics.items() if not name.endswith("_per_second")}

    return trained


def joined(first, second):
    """The metrics of two runs one after the other."""
    return {name: first.get(name, []) + second.get(name, []) for name in first.keys() | second.keys()}


MODELS = {
    "transformer": ["model.dropout=0.3"],
    "lstm": ["model.dropout=0.3", "model.num_layers=2", "model.layer_dropout=0.2"],
    "linear": [],
    "deep_lstm": [
        "clipping=adaptive",
        "trainer.clipping.warmup=2",
        "trainer.clipping.deviations=0.2",
        "schedule=warm_restarts",
        "schedule.total=12",
    ],
}
PRECISIONS = ("64-true", "bf16-true")
OPTIONS = MODELS | {f"linear in {precision}": [f"trainer.precision={precision}"] for precision in PRECISIONS}


CUTS = {
    "between validations": {"max_steps": 7},
    "at a validation": {"max_steps": 8},
    "by a signal": {"max_steps": STEPS, "interrupted_at": 7},
    "by a signal at a validation": {"max_steps": STEPS, "interrupted_at": 8},
}
CASES = [(model, num_train, "between validations") for model in MODELS for num_train in ("null", "20")]
CASES.remove(("deep_lstm", "20", "between validations"))  # the set of samples is no matter of the model's
CASES += [(f"linear in {precision}", "20", "between validations") for precision in PRECISIONS]
CASES += [("linear", "20", cut) for cut in CUTS if cut != "between validations"]


@pytest.mark.parametrize(("model", "num_train", "cut_off"), CASES)
def test_resumed_is_uninterrupted(fit, tmp_path, model, num_train, cut_off):
    overrides = [f"model={model.split()[0]}", *OPTIONS[model], f"data.num_train={num_train}"]
    whole, whole_metrics = fit("whole", STEPS, *overrides)
    cut, cut_metrics = fit(
        "cut", CUTS[cut_off]["max_steps"], *overrides, interrupted_at=CUTS[cut_off].get("interrupted_at")
    )
    num_steps = min(CUTS[cut_off].values())
    assert (whole.global_step, cut.global_step) == (STEPS, num_steps)
    checkpoint = tmp_path / "cut" / "checkpoints" / "last.ckpt"
    assert load_checkpoint(checkpoint)["global_step"] == num_steps
    torch.manual_seed(99)  # whatever the process did before does not matter
    resumed, resumed_metrics = fit("resumed", STEPS, *overrides, resumed_from=checkpoint)

    assert resumed.global_step == STEPS
    assert len(whole_metrics["train/loss"]) == STEPS
    assert len(whole_metrics["val/loss"]) == 3
    assert len(resumed_metrics["train/loss"]) == STEPS - num_steps
    assert len(cut_metrics["val/loss"]) == num_steps // 4
    assert joined(cut_metrics, resumed_metrics) == whole_metrics

    a, b = (load_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt") for name in ("whole", "resumed"))
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step"):
        assert differences(a[part], b[part]) == []
    callbacks = {name.split("{")[0]: state for name, state in a["callbacks"].items()}
    assert {"LateEarlyStopping", "Checkpoints"} <= callbacks.keys()
    assert callbacks["Checkpoints"]["best_step"] > num_steps  # so the best weights are the resumed run's
    assert differences(a["callbacks"], b["callbacks"]) == []
    assert ("AdaptiveClipping" in callbacks) == (model == "deep_lstm")
    best, best_resumed = (load_checkpoint(tmp_path / name / "checkpoints/best.ckpt") for name in ("whole", "resumed"))
    assert best["global_step"] == best_resumed["global_step"]
    assert differences(best["state_dict"], best_resumed["state_dict"]) == []


COUNT = """
from lightning import Callback


class Count(Callback):
    def __init__(self):
        self.steps = self.validations = 0

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.steps += 1

    def on_validation_end(self, trainer, pl_module):
        self.validations += 1

    def state_dict(self):
        return {"steps": self.steps, "validations": self.validations}

    def load_state_dict(self, state_dict):
        self.steps, self.validations = state_dict["steps"], state_dict["validations"]
"""


@pytest.mark.parametrize("step", [7, 8])
def test_a_callback_of_a_plugin_goes_on_where_it_was(plugin, fit, tmp_path, step):
    plugin("plug_count", COUNT)
    words = ["model=linear", "+trainer.callbacks=[{_target_: plug_count.model.Count}]"]
    fit("cut", STEPS, *words, interrupted_at=step)
    checkpoint = tmp_path / "cut" / "checkpoints" / "last.ckpt"
    assert load_checkpoint(checkpoint)["callbacks"]["Count"] == {"steps": step, "validations": step // 4}
    fit("resumed", STEPS, *words, resumed_from=checkpoint)
    last = load_checkpoint(tmp_path / "resumed" / "checkpoints" / "last.ckpt")
    assert last["callbacks"]["Count"] == {"steps": STEPS, "validations": 3}


class Look(Callback):
    """What lies on the disk after each step: the step of last.ckpt, and the rows of metrics.csv."""

    def __init__(self, folder):
        self.folder = folder
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        step = load_checkpoint(self.folder / "checkpoints" / "last.ckpt")["global_step"]
        self.seen.append((step, len(read_metrics(self.folder / "metrics.csv")["train/loss"])))


def test_rows_are_on_the_disk_before_a_checkpoint_that_has_them_behind_it(prepare, tmp_path):
    steps = ["trainer.max_steps=3", "trainer.val_every=50", "trainer.log_every=1"]
    run, trainer = prepare("logger=csv", *steps)
    (checkpoints,) = (callback for callback in trainer.callbacks if isinstance(callback, Checkpoints))
    checkpoints.seconds = 0
    look = Look(tmp_path / "run")
    trainer.callbacks.append(look)
    trainer.fit(run.module, datamodule=run.datamodule)
    assert look.seen == [(1, 1), (2, 2), (3, 3)]


def test_the_comparison_sees_a_difference():
    state = {"weights": [torch.zeros(2)], "step": 1}
    assert differences(state, {"weights": [torch.zeros(2)], "step": 1}) == []
    assert differences(state, {"weights": [torch.tensor([0.0, 1e-9])], "step": 1}) == ["/weights/0"]
    assert differences(state, {"weights": [torch.zeros(2)]}) == ["/step"]


def test_training_time_adds_up_over_every_resume(fit, tmp_path):
    """The first part is the longest: a clock that forgot it would go back."""
    parts = [("first", 12), ("second", 13), ("third", 14), ("fourth", 15)]
    times, checkpoint = [0.0], None
    for folder, max_steps in parts:
        trainer, _ = fit(folder, max_steps, "model=linear", resumed_from=checkpoint)
        checkpoint = tmp_path / folder / "checkpoints" / "last.ckpt"
        times.append(load_checkpoint(checkpoint)["environment"]["seconds"])
        assert training_seconds(trainer) == times[-1]
    assert times == sorted(set(times))


def test_patience_is_carried_over(fit, tmp_path):
    """Validations 4, 8, 12 ... that do not improve count on after the cut."""
    hopeless = ["optimizer.lr=1e-30", "optimizer.weight_decay=0", "trainer.patience=3"]
    whole, _ = fit("whole", 40, *hopeless)
    fit("cut", 10, *hopeless)
    resumed, _ = fit("resumed", 40, *hopeless, resumed_from=tmp_path / "cut" / "checkpoints" / "last.ckpt")
    assert whole.global_step == resumed.global_step == 16
    again, _ = fit("again", 40, *hopeless, resumed_from=tmp_path / "whole" / "checkpoints" / "last.ckpt")
    assert again.global_step == 16  # killed behind its last validation, it does not take another step


def test_a_curriculum_goes_on_where_it_was(fit, tmp_path):
    words = ["data=recurrence", "data.total_steps=12", "schedule.total=12"]
    _, whole_metrics = fit("whole", STEPS, *words)
    cut, cut_metrics = fit("cut", 7, *words)
    checkpoint = tmp_path / "cut" / "checkpoints" / "last.ckpt"
    resumed, resumed_metrics = fit("resumed", STEPS, *words, resumed_from=checkpoint)
    assert (cut.global_step, resumed.global_step) == (7, STEPS)
    assert joined(cut_metrics, resumed_metrics) == whole_metrics
    a, b = (load_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt") for name in ("whole", "resumed"))
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step"):
        assert differences(a[part], b[part]) == []
