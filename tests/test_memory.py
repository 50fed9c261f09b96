"""python -m seqlab.memory: what it prints, how it refuses, and how near the estimate is."""

import re

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from seqlab.memory import compose, main
from seqlab.run.build import build


@pytest.fixture(autouse=True)
def no_hydra():
    """The command starts Hydra by itself; what other tests have started comes back afterwards."""
    started, config = GlobalHydra.instance().hydra, HydraConfig.instance().cfg
    GlobalHydra.instance().hydra = None
    yield
    GlobalHydra.instance().hydra, HydraConfig.instance().cfg = started, config


def number(name, output):
    """The MiB in a row of the printed table."""
    return float(re.search(rf"{re.escape(name)}\s+([\d,.]+)", output)[1].replace(",", ""))


def test_the_estimate_is_within_two_times_of_what_three_steps_took(capsys):
    sizes = ["model.d_model=128", "model.num_layers=2", "model.ff_dim=512", "data.batch_size=256"]
    assert main(["model=transformer", "data=L5", *sizes, "--measure"]) == 0
    output = capsys.readouterr().out
    parts = [number(name, output) for name in ("weights", "gradients", "optimizer", "activations", "temporaries")]
    total, measured = number("total (estimate)", output), number("measured over 3 steps", output)
    assert total == pytest.approx(sum(parts), abs=0.04)
    GlobalHydra.instance().clear()
    model = build(compose(["model=transformer", "data=L5", *sizes])).model
    weights = sum(tensor.nbytes for tensor in [*model.parameters(), *model.buffers()])
    assert parts[0] == pytest.approx(weights / 2**20, abs=0.006)
    assert total > 50  # large enough for the libraries not to matter
    assert total / 2 < measured < total * 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model=trasformer", "error: model=trasformer: no such choice; did you mean transformer?"),
        ("model.num_heads=3", "error: num_heads=3 does not divide d_model=64"),
        ("model.num_head=2", "error: model.num_head: no such key; did you mean num_heads?"),
    ],
)
def test_bad_input_is_one_line(capsys, override, message):
    assert main([override]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(message)


def test_what_training_needs_is_got_before_the_steps_are_measured(capsys):
    """A teacher that no loss asks for (weight 0) is looked for all the same, as run.py does."""
    words = ["experiment=lm_distill", "task.teacher=gone", "task.weight=0", "data.tokenizer=byte", "data.batch_size=2"]
    assert main([*words, "--measure"]) == 2
    assert "error: gone: no such run directory" in capsys.readouterr().err
