"""Every dataset meets every model: it composes, builds, trains and is evaluated, in tiny sizes; or it is refused."""

from pathlib import Path

import pytest
import torch

from seqlab.errors import InputError
from seqlab.proportion import Proportion, value_of

CONF = Path(__file__).parents[1] / "conf"
PROMPTS = {  # of each module with a task: something to ask, and a word of the answer
    "rule_extrapolation.task": ("", "completion"),
    "sequences.task": ("1 1 2 3 5 8 13 21", "greedily"),
    "forecasting.task": ("", "forecast"),
    "forecasting.copy_task": ("1 2 3 4 5 6 7 8 1 2", "written"),
    "factorization.task": ("8633", "cofactor"),
    "lm.task": ("MENENIUS:\n", "sample"),
    "transduction.task": ("1 0 1", "right"),
    "transduction.task of recall": ("k1 v5 k2 v3 k2 k1", "right"),
    **{
        f"transduction.task of {name}": ("a b", "right")
        for name in ("regex", "even_pairs", "d2", "dyck_2_3", "dyck_8_10", "recognition", "next_set")
    },
    "transduction.task of arithmetic": ("1+2*3", "right"),
    "transduction.task of arithmetic_brackets": ("(1+2)", "right"),
    "transduction.task of addition": ("1 0 + 1 1", "right"),
    "transduction.task of counting": ("98 99 0", "right"),
    "transduction.task of noisy_recall": ("n1 k1 v5 n0 k2 v3 k2 k1", "right"),
    "transduction.task of selective_copy": ("0 _ 1 2 3 4 5 _ 6 7", "right"),
    "transduction.task of memorise": ("k1 k255 k1", "right"),
    "transduction.task of flip_flop": ("w 1 i 0 r", "right"),
}
DATA, MODELS = (sorted(path.stem for path in (CONF / group).glob("*.yaml")) for group in ("data", "model"))

# Models that read a whole number and write one answer meet the data that asks for one.
NEEDS = {"binary_lstm": {"semiprimes"}, "sine_net": {"semiprimes"}, "bits_transformer": {"semiprimes"}}
PAIRS = [(data, model) for data in DATA for model in MODELS]
TOMITA = [f"tomita{number}" for number in range(1, 8)]
ALIKE = {  # like L1, L3 or L5, like parity, or like d2
    *("L2", "L4", "L6", "abN", "aNbM", "aNbNaN", "parentheses", "brackets", "separated"),
    *("mod5", "cycle", "S3", "A5", "majority", "reverse", "sort", "copy_repeats", "copy_unique", "flip_flop"),
    *("noisy_recall", "selective_copy", "memorise"),
    *("arithmetic", "arithmetic_brackets", "addition", "stack", "counting"),
    *("regex", "even_pairs", *TOMITA, "dyck_2_3", "dyck_8_10", "recognition", "next_set"),
}


def works(pair):
    data, model = pair
    return model not in NEEDS or data in NEEDS[model]


def test_the_choices_are_found():
    assert {"L1", "L2", "L3", "L4", "L5", "L6", "abN", "aNbM", "aNbNaN", "parentheses", "brackets", "separated"} <= set(
        DATA
    )
    assert {"transformer", "lstm", "linear"} <= set(MODELS)


def marked(pair):
    """A pair whose data are not like others': of the Transformer, of L5, and one in four of all others are fast."""
    data, model = pair
    quarter = (DATA.index(data) + MODELS.index(model)) % 4 == 0
    fast = data not in ALIKE and (model == "transformer" or data == "L5" or quarter)
    return pytest.param(*pair, marks=[] if fast else [pytest.mark.slow])


@pytest.mark.parametrize(("data", "model"), [marked(pair) for pair in PAIRS if not works(pair)])
def test_a_pair_that_cannot_work_is_refused(prepare, data, model):
    with pytest.raises(InputError, match=f"model={model} reads a whole number .* needs data=semiprimes"):
        prepare(f"data={data}", f"model={model}")


@pytest.mark.parametrize(("data", "model"), [marked(pair) for pair in PAIRS if works(pair)])
def test_pair(prepare, data, model):
    words = ["trainer.max_steps=2", "trainer.val_every=2", "logger=csv"]
    run, trainer = prepare(f"data={data}", f"model={model}", *words)
    before = [parameter.detach().clone() for parameter in run.model.parameters()]
    trainer.fit(run.module, datamodule=run.datamodule)
    assert trainer.global_step == 2
    assert any(not torch.equal(old, new) for old, new in zip(before, run.model.parameters(), strict=True))
    assert torch.isfinite(trainer.callback_metrics["val/loss"])

    run.model.train()
    results = run.task.evaluate(run.model, "test")
    assert run.model.training  # the mode that it was in
    (logged,) = trainer.test(run.module, datamodule=run.datamodule, verbose=False)
    assert logged["test/loss"] == pytest.approx(results["test/loss"], rel=1e-6)
    assert logged.keys() == {name for name, result in results.items() if value_of(result) is not None}
    assert all(
        result.trials > 0 for name, result in results.items() if isinstance(result, Proportion) and "/" not in name[5:]
    )
    assert 0 < results["test/loss"] < 100
    assert set(run.task.columns.values()) <= set(results)
    assert set(run.task.better) <= set(run.task.columns.values())
    assert set(run.task.better.values()) <= {"low", "high"}
    module = type(run.task).__module__
    if module not in PROMPTS:
        pytest.fail(
            f'{module} has no row in PROMPTS of tests/test_pairs.py: add "{module}" with a prompt for '
            "`python -m seqlab.predict` and a word of what it answers"
        )
    prompt, answer = PROMPTS.get(f"{module} of {data}", PROMPTS[module])
    assert answer in run.task.describe(run.model, run.task.parse_prompt(prompt))
