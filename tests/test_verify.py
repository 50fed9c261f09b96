"""seqlab check: what it prints for a good and a bad model, its exit code, and how it refuses."""

import re
import sys

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from seqlab.contract import CHECKS
from seqlab.verify import main
from tests.terminal import STYLES, in_terminal

SMALL = ["model.d_model=16", "data.max_length=12"]


@pytest.fixture(autouse=True)
def no_hydra():
    """The command starts Hydra by itself; what other tests have started comes back afterwards."""
    started, config = GlobalHydra.instance().hydra, HydraConfig.instance().cfg
    GlobalHydra.instance().hydra = None
    yield
    GlobalHydra.instance().hydra, HydraConfig.instance().cfg = started, config


def test_a_good_model_passes_every_check(capsys):
    assert main(["model=linear", "data=L5", *SMALL]) == 0
    lines = capsys.readouterr().out.splitlines()
    for check in CHECKS:
        (line,) = (line for line in lines if line.startswith(f"{check}  "))
        assert " passed " in line
    assert f"{len(CHECKS)} of {len(CHECKS)} passed" in lines
    assert any(re.match(r"L5  passed  loss [123]\.\d{3}$", squeezed(line)) for line in lines)


def squeezed(line):
    """A line with two blanks between its cells, however wide these are."""
    return "  ".join(part.strip() for part in line.split("  ") if part.strip())


def test_what_fails_is_named_with_numbers_and_the_likely_cause(capsys):
    """The published mask sees the future (docs/models.md)."""
    assert main(["model=linear", "model.mask=upstream", "data=L5", *SMALL]) == 1
    lines = [squeezed(line) for line in capsys.readouterr().out.splitlines()]
    (row,) = (line for line in lines if line.startswith("no leak from the future  "))
    assert row.startswith("no leak from the future  FAILED  off by ") and row.endswith(", allowed 1e-05, in evaluation")
    cause = "no leak from the future failed. Likely: an output sees later inputs: attention"
    assert any(line.startswith(cause) for line in lines)


def test_it_fits_80_columns():
    def work(file):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", file)
            main(["model=linear", "model.mask=upstream", "data=L5", *SMALL])

    lines = STYLES.sub("", in_terminal(80, work)).splitlines()
    assert max(map(len, lines)) <= 80 and any("FAILED" in line for line in lines)


@pytest.mark.slow
def test_without_data_real_vectors_and_every_data_set_are_tried(capsys, root):
    assert main(["model=linear", "model.d_model=16"]) == 0
    output = capsys.readouterr().out
    assert "linear on real vectors" in output and output.count("no leak from the future") == 2
    last = map(squeezed, output.partition("on each data set")[2].splitlines())
    rows = dict(line.split("  ", 1) for line in last if "  " in line)
    assert {path.stem for path in (root / "conf" / "data").glob("*.yaml")} <= set(rows)
    assert rows["text"].startswith("passed  refused: linear has a matrix for each pair of 257 steps")
    assert rows["series"].startswith("passed  loss ")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=lsmt"], "error: model=lsmt: no such choice; did you mean lstm?"),
        (["model=transformer", "model.num_heads=3"], "error: num_heads=3 does not divide d_model=64"),
        (["model=sine_net", "data=semiprimes"], "error: model=sine_net is a SineNet, not a SequenceModel"),
        (["model=lstm", "data=adding", "data.length=2"], "error: data=adding has 2 steps; at least 4 are needed"),
    ],
)
def test_bad_input_is_one_line(capsys, overrides, message):
    assert main(overrides) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(message)
