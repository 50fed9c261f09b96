"""seqlab check: what it prints for a good and a bad model, its exit code, and how it refuses."""

import re
import sys

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

import seqlab
from seqlab.contract import CHECKS
from seqlab.errors import InputError
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


SHAPES = """
from torch import nn

from seqlab.model import Rereading
from seqlab.nn.embedding import input_layer


class Broken(Rereading):
    further = 1

    def __init__(self, spec):
        super().__init__(spec)
        self.embedding = input_layer(spec, 8)
        self.head = nn.Linear(8 + self.further, spec.output.width)

    def forward(self, inputs):
        return self.head(self.embedding(inputs))  # raises


class Wrong(Broken):
    further = 0

    def forward(self, inputs):
        return super().forward(inputs)[:, -1]
"""


@pytest.fixture
def shapes(tmp_path, monkeypatch):
    """The file of a plug-in with the models broken, which raises, and wrong, which returns the last step alone."""
    name = f"shapes_{tmp_path.name}"
    file = tmp_path / name / "models.py"
    (file.parent / "conf" / "model").mkdir(parents=True)
    file.write_text(SHAPES, encoding="utf-8")
    for model in ("Broken", "Wrong"):
        yaml = file.parent / "conf" / "model" / f"{model.lower()}.yaml"
        yaml.write_text(f"_target_: {name}.models.{model}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("SEQLAB_PLUGINS", name)
    yield file
    for loaded in [loaded for loaded in sys.modules if loaded.startswith(name)]:
        del sys.modules[loaded]


@pytest.mark.parametrize("words", [[], ["debug=true"]])
def test_what_a_model_raises_is_said_once_with_its_line(shapes, capsys, words):
    assert main(["model=broken", "data=L5", "data.max_length=12", *words]) == 1
    told = capsys.readouterr()
    contract, _, trains = told.out.partition("broken trains")
    assert contract.count("RuntimeError: ") == 1 and "Likely" not in contract
    rows = [line for line in map(squeezed, contract.splitlines()) if "  FAILED  " in line]
    assert len(rows) == 14 and all(row.endswith("  FAILED  an error at the same line") for row in rows[1:])
    (line,) = [number for number, text in enumerate(SHAPES.splitlines(), start=1) if text.endswith("# raises")]
    place = f"failed. The model raises this at {shapes}:{line}, in forward."
    (note,) = [text for text in contract.splitlines() if text.endswith(place)]
    assert note.startswith("shapes of outputs, no leak from the future, ")
    assert f"L5 {place}" in trains
    assert told.err.count("Traceback (most recent call last)") == 2 * len(words)
    assert ("debug=true adds the traceback." in contract) == (not words)


def test_outputs_of_another_shape_stand_beside_those_expected(shapes, capsys):
    assert main(["model=wrong", "data=L5", "data.max_length=12"]) == 1
    out = capsys.readouterr().out
    assert "shapes of outputs  FAILED  (1, 7) in float32, expected (1, 1, 7) in float32" in map(
        squeezed, out.splitlines()
    )
    assert out.count("Likely: outputs have another shape than the check expects.") == 1


def test_training_on_outputs_of_another_shape_ends_in_one_line(shapes, tmp_path):
    words = "model=wrong data=L5 data.max_length=12 trainer=fast trainer.accelerator=cpu logger=csv"
    message = (
        "the model returns (2, 7) for inputs (2, 3); expected logits (2, 3, 7); "
        "seqlab check model=wrong data=L5 says more"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        seqlab.train(words, dir=tmp_path / "run", quiet=True)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):  # a fault of the model's own stays what it is
        seqlab.train(words.replace("wrong", "broken"), dir=tmp_path / "broken", quiet=True)


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
