"""Training does today what it did when tests/golden/losses.json was written (see make_losses.py), on any processor."""

import copy
import json
import shutil

import pytest
import torch

from tests.golden.make_losses import (
    FILE,
    OURS,
    STEPS,
    TOLERANCE,
    float64,
    main,
    next_symbol_loss,
    no_dropout,
    strings_of_L5,
    training_losses,
)
from tests.small_models import small_model

GOLDEN = json.loads(FILE.read_text(encoding="utf-8"))


def golden(name):
    """The stored losses of a model."""
    if name not in GOLDEN:
        pytest.fail(f"conf/model/{name}.yaml has no golden losses: run `python -m tests.golden.make_losses`")
    return GOLDEN[name]


def larger_weights(model, optimizer):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.0001)


def larger_step(model, optimizer):
    for group in optimizer.param_groups:
        group["lr"] *= 1.0001


def larger_eps_of_norms(model, optimizer):
    for module in model.modules():
        if isinstance(getattr(module, "eps", None), float):
            module.eps *= 1.1


def difference(losses, others):
    """The largest relative one."""
    return max(abs(one / other - 1) for one, other in zip(losses, others, strict=True))


@pytest.mark.parametrize("name", OURS)
def test_first_losses(name):
    assert training_losses(name) == pytest.approx(golden(name), rel=TOLERANCE)


def test_every_model_learns():
    for name, losses in GOLDEN.items():
        assert len(losses) == STEPS
        assert sum(losses[-5:]) / 5 < 0.9 * losses[0], name


def test_golden_losses_name_models_that_exist():
    assert set(GOLDEN) <= set(OURS)


@pytest.mark.parametrize("name", OURS)
def test_rounding_stays_far_below_the_tolerance(name):
    """Sums in another order round otherwise, as other processors and numbers of threads do."""
    plain = training_losses(name)
    reordered = training_losses(name, order=lambda strings: strings.flip(0))
    assert reordered != plain and difference(reordered, plain) < TOLERANCE / 1000


@pytest.mark.parametrize("fault", [larger_weights, larger_step])
@pytest.mark.parametrize("name", OURS)
def test_a_constant_off_by_a_ten_thousandth_is_far_above_the_tolerance(name, fault):
    assert difference(training_losses(name, change=fault), golden(name)) > 1000 * TOLERANCE


@pytest.mark.parametrize("name", ["deep_lstm", "mamba", "transformer", "xlstm"])
def test_the_epsilon_of_a_norm_is_seen(name):
    assert difference(training_losses(name, change=larger_eps_of_norms), golden(name)) > 100 * TOLERANCE


@pytest.mark.parametrize("name", OURS)
def test_dropout_is_used_where_a_model_has_it(name):
    strings = strings_of_L5().train_batch(0)
    for key in no_dropout(name):
        model = small_model(name, strings_of_L5().spec, **no_dropout(name) | {key: 0.5})
        losses = [next_symbol_loss(model.train(training), strings) for training in (True, False)]
        assert losses[0] != losses[1], key


@pytest.mark.parametrize("name", OURS)
def test_float32_has_the_loss_and_the_gradients_of_float64(name):
    """The golden losses say nothing of kernels for float32 (the native scan, fused LSTMs): this does, for one step."""
    data = strings_of_L5()
    with float64():
        exact = small_model(name, data.spec, seed=1, **no_dropout(name))
    rounded = copy.deepcopy(exact).float()
    losses = [next_symbol_loss(model, data.train_batch(0)) for model in (exact, rounded)]
    for loss in losses:
        loss.backward()
    assert losses[0].dtype == torch.float64 and losses[1].dtype == torch.float32
    assert losses[1].item() == pytest.approx(losses[0].item(), rel=1e-5)
    for (parameter, one), other in zip(exact.named_parameters(), rounded.parameters(), strict=True):
        assert one.grad is not None and other.grad is not None
        assert (other.grad - one.grad).norm() < 2e-5 * one.grad.norm(), parameter


def test_only_what_is_missing_or_named_is_written(tmp_path, capsys):
    file = tmp_path / "losses.json"
    kept = {name: losses for name, losses in GOLDEN.items() if name != "linear"} | {"lstm": [1.0]}
    file.write_text(json.dumps(kept), encoding="utf-8")
    assert main([], file) == 0
    written = json.loads(file.read_text(encoding="utf-8"))
    assert written.pop("linear") == pytest.approx(GOLDEN["linear"], rel=TOLERANCE) and written == kept
    assert main(["lstm"], file) == 0
    written = json.loads(file.read_text(encoding="utf-8"))
    assert written.pop("lstm") == pytest.approx(GOLDEN["lstm"], rel=TOLERANCE)
    assert all(written[name] == GOLDEN[name] for name in written if name != "linear")
    assert "wrote linear\n" in (out := capsys.readouterr().out) and "wrote lstm\n" in out


def test_another_name_is_refused(tmp_path, capsys):
    shutil.copy(FILE, tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(["lstn"], tmp_path / FILE.name)
    assert "no such model: lstn; allowed: arithmetic, deep_lstm, " in capsys.readouterr().err
    assert (tmp_path / FILE.name).read_bytes() == FILE.read_bytes()
