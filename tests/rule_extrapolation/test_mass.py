"""The probability of all short strings, against one forward pass per string."""

import csv
import json
from itertools import product
from math import comb

import pytest
import torch

from rule_extrapolation import mass
from rule_extrapolation.dyck import Dyck
from rule_extrapolation.letters import ANBN, AbN
from rule_extrapolation.mass import CATEGORIES, masses
from seqlab.errors import InputError
from seqlab.run.build import build
from seqlab.spec import Classes, Spec, Tokens
from tests.small_models import MODELS, lively, small_model


def spec_of(grammar, max_length=9):
    size = grammar.vocabulary_size
    return Spec(Tokens(size), Classes(size), max_length=max_length, sos=0, eos=1, pad=2)


@torch.inference_mode()
def by_hand(model, grammar, length):
    """String by string: the product of the probabilities of its symbols and of EOS, and its rules."""
    totals = dict.fromkeys(CATEGORIES, 0.0)
    for size in range(length + 1):
        for word in product(grammar.symbols, repeat=size):
            ids = grammar.parse("".join(word))
            logs = model(torch.tensor([[0, *ids]]))[0].double().log_softmax(-1)
            chance = sum(logs[step, token].item() for step, token in enumerate([*ids, 1]))
            kept = grammar.judge("".join(word))
            name = ("neither", "rule_2_only", "rule_1_only", "both_rules")[2 * kept["rule_1"] + kept["rule_2"]]
            totals[name] += torch.tensor(chance).double().exp().item()
    return totals


@pytest.mark.parametrize("name", [name for name in MODELS if name != "hf"])
def test_masses_are_those_of_each_string_by_itself(name):
    grammar = ANBN()
    model = lively(small_model(name, spec_of(grammar))).eval()
    found, expected = masses(model, grammar, 5), by_hand(model, grammar, 5)
    assert found == pytest.approx(expected, rel=2e-4)
    assert min(found.values()) > 0 and sum(found.values()) < 1


def test_four_symbols_in_small_parts(monkeypatch):
    monkeypatch.setattr(mass, "ROWS", 7)  # so that the states of a level are read in many parts
    grammar = Dyck()
    model = lively(small_model("lstm", spec_of(grammar))).eval()
    assert masses(model, grammar, 4) == pytest.approx(by_hand(model, grammar, 4), rel=1e-4)


def test_the_whole_probability_is_that_of_ending_in_time():
    """Which a model without symbols in its future has exactly: 1 - (2/3)^(n+1) of a, b and EOS drawn alike."""
    from rule_extrapolation.baselines import ConstantLogits

    model = ConstantLogits(spec_of(ANBN()), [1, 3, 4])
    found = masses(model, ANBN(), 8)
    assert sum(found.values()) == pytest.approx(1 - (2 / 3) ** 9, rel=1e-6)
    assert found["both_rules"] == pytest.approx(sum(3.0 ** -(n + 1) for n in range(0, 9, 2)), rel=1e-6)
    counted = sum(comb(n, n // 2) * 3.0 ** -(n + 1) for n in range(0, 9, 2))
    assert masses(model, AbN(), 8)["rule_2_only"] == pytest.approx(sum(found.values()) - counted, rel=1e-6)
    assert masses(model, AbN(), 8)["neither"] == masses(model, AbN(), 8)["rule_1_only"] == 0  # any order keeps rule 2


def test_a_model_s_mode_does_not_change():
    model = small_model("transformer", spec_of(ANBN())).train()
    first = masses(model, ANBN(), 3)
    assert model.training and masses(model, ANBN(), 3) == first  # without dropout


def test_a_run_logs_them_and_draws_them(command, root, tiny, tmp_path):
    words = [*tiny("transformer", "L3"), "data=L3", "model=transformer", "task.mass_length=4", "trainer=fast"]
    quick = ["trainer.max_steps=8", "trainer.val_every=2", "trainer.accelerator=cpu", "hydra.run.dir=run"]
    done = command(root / "run.py", *words, *quick, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    with open(tmp_path / "run" / "metrics.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row.get("val/loss")]
    assert len(rows) == 4
    for row in rows:
        assert 0 < sum(float(row[f"val/mass/{name}"]) for name in CATEGORIES) < 1
    summary = json.loads((tmp_path / "run" / "summary.json").read_text(encoding="utf-8"))
    assert {f"test/mass/{name}" for name in CATEGORIES} <= set(summary["metrics"])
    assert (tmp_path / "run" / "plots" / "mass.png").stat().st_size > 5000


def test_it_is_off_unless_asked_for_and_has_a_limit(compose):
    task = build(compose("data=L3", "model=lstm")).task
    assert not any("mass" in name for name in task.evaluate(small_model("lstm", task.data.spec), "test"))
    assert task.curves({}) == {}
    with pytest.raises(InputError, match=r"task\.mass_length=11: dyck allows 1 to 10 here"):
        build(compose("data=L5", "task.mass_length=11"))
    with pytest.raises(InputError, match=r"task\.mass_length=17: aNbN allows 1 to 16 here"):
        build(compose("data=L3", "task.mass_length=17"))
