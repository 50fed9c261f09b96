"""The shared training module: stops on what is not finite, seeds every step, clips, stops early, counts epochs."""

import pytest
import torch
from lightning import Callback, Trainer

from seqlab.errors import InputError, NonFiniteError
from seqlab.lit.checkpoints import load_checkpoint
from seqlab.run.build import load_run


class EachStep(Callback):
    """Calls `look(trainer, module)` after every step."""

    def __init__(self, look):
        self.look = look

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.look(trainer, pl_module)


class BeforeOptimizer(Callback):
    """The global gradient norm that the optimizer sees, by step."""

    def __init__(self):
        self.norms = []

    def on_before_zero_grad(self, trainer, pl_module, optimizer):
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        if gradients:
            self.norms.append(float(torch.stack([g.norm() for g in gradients]).norm()))


@pytest.fixture
def fit(prepare):
    """Train with a few overrides; returns (run, trainer)."""

    def trained(*overrides, callbacks=(), folder="run"):
        run, trainer = prepare("logger=csv", "trainer.min_steps=0", *overrides, folder=folder)
        trainer.callbacks.extend(callbacks)
        trainer.fit(run.module, datamodule=run.datamodule)
        return run, trainer

    return trained


BLOWS_UP = ["optimizer=sgd", "optimizer.lr=1e30", "schedule=constant", "trainer.gradient_clip=null"]


def test_a_loss_that_is_not_finite_stops_before_the_optimizer(prepare, tmp_path):
    run, trainer = prepare(*BLOWS_UP, "logger=csv", "trainer.max_steps=50", "trainer.val_every=50")
    weights = {}
    trainer.callbacks.append(EachStep(lambda trainer, module: weights.update(after=clone_of(module.state_dict()))))
    with pytest.raises(NonFiniteError, match=r"^the (loss|gradient norm) is (nan|inf) at step \d+$"):
        trainer.fit(run.module, datamodule=run.datamodule)
    assert trainer.global_step >= 1
    for name, value in run.module.state_dict().items():
        assert torch.equal(value, weights["after"][name]), name  # as the last good step left them
    assert not list(tmp_path.rglob("*.ckpt"))


def clone_of(state):
    return {name: value.clone() for name, value in state.items()}


def test_a_run_that_turns_bad_keeps_its_last_good_checkpoints(prepare, tmp_path):
    run, trainer = prepare("logger=csv", "trainer.max_steps=50", "trainer.val_every=4")
    folder = tmp_path / "run" / "checkpoints"
    kept = {}

    def spoil(trainer, module):
        if trainer.global_step == 6:
            kept.update({path.name: path.read_bytes() for path in folder.iterdir()})
            with torch.no_grad():
                next(module.parameters()).fill_(torch.nan)

    trainer.callbacks.append(EachStep(spoil))
    with pytest.raises(NonFiniteError, match=r"^the loss is nan at step 6$"):
        trainer.fit(run.module, datamodule=run.datamodule)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == kept
    content = load_checkpoint(folder / "last.ckpt")
    assert content["global_step"] == 4
    assert all(torch.isfinite(value).all() for value in content["state_dict"].values() if value.is_floating_point())


def test_a_validation_loss_that_is_not_finite_stops_and_saves_nothing(prepare, tmp_path):
    run, trainer = prepare("logger=csv", "trainer.max_steps=50", "trainer.val_every=4")

    def spoil(trainer, module):
        if trainer.global_step == 4:
            with torch.no_grad():
                next(module.parameters()).fill_(torch.nan)

    trainer.callbacks.append(EachStep(spoil))
    with pytest.raises(NonFiniteError, match=r"^val/loss is nan at step 4$"):
        trainer.fit(run.module, datamodule=run.datamodule)
    assert not list(tmp_path.rglob("*.ckpt"))


def test_the_randomness_of_a_step_is_a_function_of_seed_and_step(fit):
    def draws(folder, *overrides, noise=0):
        seen = {}

        def look(trainer, module):
            seen[trainer.global_step] = torch.rand(2).tolist()
            torch.rand(noise)  # who draws more in a step does not change the next

        options = ["trainer.max_steps=3", "model=linear", *overrides]
        fit(*options, callbacks=[EachStep(look)], folder=folder)
        return seen

    first = draws("a")
    assert first == draws("b", noise=5)
    assert len({tuple(numbers) for numbers in first.values()}) == 3
    assert first[1] != draws("c", "seed=2")[1]


def test_initial_weights_are_a_function_of_the_seed(prepare):
    torch.manual_seed(5)
    first, _ = prepare("seed=1")
    again, _ = prepare("seed=1")
    other, _ = prepare("seed=2")
    a, b, c = (torch.cat([p.flatten() for p in run.model.parameters()]) for run in (first, again, other))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize(("clip", "bound"), [("0.01", 0.01), ("null", None)])
def test_the_global_norm_is_clipped(fit, clip, bound):
    seen = BeforeOptimizer()
    fit("trainer.max_steps=5", f"trainer.gradient_clip={clip}", callbacks=[seen])
    assert len(seen.norms) >= 4
    if bound is None:
        assert min(seen.norms) > 0.01
    else:
        assert seen.norms == pytest.approx([bound] * len(seen.norms), rel=1e-3)


def test_default_clipping_is_to_norm_1(prepare):
    run, trainer = prepare("logger=csv", "trainer.max_steps=3")
    seen = BeforeOptimizer()
    trainer.callbacks.append(seen)
    loss = run.task.loss
    run.task.loss = lambda model, batch: 1000 * loss(model, batch)
    trainer.fit(run.module, datamodule=run.datamodule)
    assert seen.norms == pytest.approx([1.0] * len(seen.norms), rel=1e-3)
    assert len(seen.norms) >= 2


NO_PROGRESS = ["optimizer.lr=1e-30", "optimizer.weight_decay=0", "trainer.val_every=2"]


def test_early_stopping_stops_early(fit):
    _, trainer = fit(*NO_PROGRESS, "trainer.max_steps=40", "trainer.patience=2")
    assert trainer.global_step == 6  # the first validation sets the mark, two more do not beat it


def test_early_stopping_waits_for_min_steps(fit):
    _, trainer = fit(*NO_PROGRESS, "trainer.max_steps=40", "trainer.patience=2", "trainer.min_steps=11")
    assert trainer.global_step == 12


def test_patience_lost_before_min_steps_is_won_back_by_an_improvement(fit):
    """A learning rate that is real from step 6 on: worse validations before must not stop a run that improves."""

    def wake(trainer, module):
        if trainer.global_step == 6:
            trainer.lr_scheduler_configs[0].scheduler.base_lrs = [1e-2, 1e-2]

    options = ["trainer.max_steps=14", "trainer.patience=2", "trainer.min_steps=8"]
    _, trainer = fit(*NO_PROGRESS, *options, "schedule=constant", callbacks=[EachStep(wake)])
    assert trainer.global_step == 14


def test_a_run_that_improves_goes_on_to_max_steps(fit):
    options = ["optimizer.lr=0.01", "schedule=constant", "trainer.patience=1"]
    _, trainer = fit(*options, "trainer.val_every=4", "trainer.max_steps=12")
    assert trainer.global_step == 12


def test_last_is_saved_at_the_end_and_best_at_its_step(fit, tmp_path):
    fit(*NO_PROGRESS, "trainer.max_steps=7", "trainer.patience=9")
    folder = tmp_path / "run" / "checkpoints"
    assert load_checkpoint(folder / "last.ckpt")["global_step"] == 7
    assert load_checkpoint(folder / "best.ckpt")["global_step"] == 2


@pytest.mark.parametrize(
    ("monitor", "data", "message"),
    [
        ("val/los", "adding", "trainer.monitor=val/los: no such metric; did you mean val/loss?"),
        ("val/symbols", "copy", "trainer.monitor=val/symbols: high is better there, and best.ckpt has the lowest"),
    ],
)
def test_a_monitor_that_cannot_choose_is_refused(fit, tmp_path, monitor, data, message):
    words = [f"data={data}", "model=linear", "trainer.max_steps=4", "trainer.val_every=2"]
    with pytest.raises(InputError) as caught:
        fit(*words, f"+trainer.monitor={monitor}")
    assert str(caught.value).startswith(message)
    assert not list(tmp_path.rglob("*.ckpt"))


def rates(fit, *overrides):
    seen = []
    look = EachStep(lambda trainer, module: seen.append(trainer.optimizers[0].param_groups[0]["lr"]))
    fit("schedule=constant", "optimizer.lr=0.4", "trainer.max_steps=8", *overrides, callbacks=[look])
    return seen  # after step s stands the rate of step s + 1


def test_warmup_counts_steps(fit):
    assert rates(fit, "schedule.warmup=4") == pytest.approx([0.2, 0.3, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4])


def test_warmup_counts_epochs_where_it_says_so(fit):
    """20 samples in batches of 8 are 3 steps an epoch."""
    seen = rates(fit, "schedule.warmup=4", "schedule.unit=epoch", "data.num_train=20")
    assert seen == pytest.approx([0.1, 0.1, 0.2, 0.2, 0.2, 0.3, 0.3, 0.3])


def test_a_cosine_over_epochs_ends_with_the_run(fit):
    """Eight steps are three epochs: two thirds of the way down in the last of them."""
    seen = rates(fit, "schedule=warmup_cosine", "schedule.warmup=0", "schedule.unit=epoch", "data.num_train=20")
    assert seen == pytest.approx([0.4, 0.4, 0.3001, 0.3001, 0.3001, 0.1003, 0.1003, 0.1003], abs=1e-4)


def test_someone_elses_trainer_evaluates_the_whole_set_once(prepare, tmp_path):
    """It has no limit on batches, and no precision or callbacks of ours."""
    run, _ = prepare("data.num_test=40", "data.batch_size=8")
    theirs = Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, default_root_dir=tmp_path)
    (metrics,) = theirs.test(run.module, datamodule=run.datamodule, verbose=False)
    expected = run.task.evaluate(run.model, "test")
    assert metrics["test/loss"] == pytest.approx(expected["test/loss"], rel=1e-6)
    theirs = Trainer(
        max_steps=2, val_check_interval=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path, num_sanity_val_steps=0,
    )  # fmt: skip
    theirs.fit(run.module, datamodule=run.datamodule)
    assert theirs.callback_metrics["val/loss"] == pytest.approx(
        run.task.evaluate(run.model, "val")["val/loss"], rel=1e-6
    )


def test_a_checkpoint_of_someone_elses_trainer_is_loaded(prepare, tmp_path):
    run, _ = prepare("model=linear")
    theirs = Trainer(
        max_steps=1, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=tmp_path, limit_val_batches=0,
    )  # fmt: skip
    theirs.fit(run.module, datamodule=run.datamodule)
    theirs.save_checkpoint(tmp_path / "their.ckpt")
    again = load_run(tmp_path / "their.ckpt")
    assert all(torch.equal(a, b) for a, b in zip(again.model.parameters(), run.model.parameters(), strict=True))


def test_a_plain_loop_trains_and_evaluates_a_task(prepare):
    run, _ = prepare("model=lstm", "optimizer.lr=0.01")
    before = run.task.evaluate(run.model, "val")["val/loss"]
    optimizer = torch.optim.AdamW(run.model.parameters(), lr=0.01)
    for step in range(30):
        optimizer.zero_grad()
        run.task.loss(run.model, run.datamodule.train_batch(step)).backward()
        optimizer.step()
    assert run.task.evaluate(run.model, "val")["val/loss"] < 0.8 * before


def test_epochs_need_a_finite_training_set(prepare):
    with pytest.raises(ValueError, match=r"schedule\.unit=epoch needs a finite training set: set data\.num_train"):
        prepare("schedule.unit=epoch")


def test_only_matrices_decay(fit):
    run, trainer = fit("trainer.max_steps=1", "optimizer.weight_decay=0.25")
    decay = {id(p): group["weight_decay"] for group in trainer.optimizers[0].param_groups for p in group["params"]}
    assert {(p.ndim >= 2, decay[id(p)]) for p in run.model.parameters()} == {(True, 0.25), (False, 0.0)}
