"""A Spec is possible, or it is refused in one line; and inputs are held against it."""

import dataclasses
import re

import pytest
import torch

from seqlab.errors import InputError
from seqlab.spec import Bits, Classes, Spec, Tokens, Values, Vectors

IDS = Spec(Tokens(3), Classes(3), max_length=8)
NUMBERS = Spec(Vectors(2), Values(1), max_length=8)


@pytest.mark.parametrize("kind", [Tokens, Vectors, Classes, Bits, Values])
@pytest.mark.parametrize("number", [0, -1, 2.0, None])
def test_sizes_below_one_are_refused(kind, number):
    name = dataclasses.fields(kind)[0].name
    with pytest.raises(InputError, match=f"^{kind.__name__}: {name}={number}: an integer of at least 1 is needed$"):
        kind(number)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_length": 0}, "Spec: max_length=0: an integer of at least 1 is needed"),
        ({"max_length": -4}, "Spec: max_length=-4: an integer of at least 1 is needed"),
        ({"pad": 3}, "Spec: pad=3 is no id of the input; allowed: ids 0 .. 2"),
        ({"sos": -1}, "Spec: sos=-1 is no id of the input; allowed: ids 0 .. 2"),
    ],
)
def test_an_impossible_spec_is_refused(change, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        dataclasses.replace(IDS, **change)


def test_frequencies_are_at_least_one():
    with pytest.raises(InputError, match="num_waves=0"):
        Tokens(3, "fourier", 0)


@pytest.mark.parametrize(
    ("spec", "inputs"),
    [
        (IDS, torch.tensor([[0, 2]])),
        (IDS, torch.tensor([[0, 2]], dtype=torch.int32)),
        (IDS, torch.zeros(1, 99, dtype=torch.int64)),  # how much it reads is for the model to say
        (NUMBERS, torch.zeros(1, 4, 2)),
        (NUMBERS, torch.zeros(1, 4, 2, dtype=torch.float64)),
    ],
)
def test_inputs_of_a_spec_pass(spec, inputs):
    spec.check_inputs(inputs)


@pytest.mark.parametrize(
    ("spec", "inputs", "message"),
    [
        (IDS, torch.tensor([[0, 7, 1]]), "there is no id 7; allowed: ids 0 .. 2"),
        (IDS, torch.tensor([[0, -1]]), "there is no id -1; allowed: ids 0 .. 2"),
        (IDS, torch.zeros(1, 2), "inputs (1, 2) in float32; expected (batch, time) in int64: ids 0 .. 2"),
        (IDS, torch.tensor([0, 1]), "inputs (2,) in int64; expected (batch, time) in int64: ids 0 .. 2"),
        (IDS, torch.tensor([[]]), "there is nothing to read; allowed: ids 0 .. 2, one or more"),
        (
            NUMBERS,
            torch.zeros(1, 4, 3),
            "inputs (1, 4, 3) in float32; expected (batch, time, 2) in float32: vectors of 2 numbers",
        ),
        (
            NUMBERS,
            torch.zeros(1, 4, 2, dtype=torch.int64),
            "inputs (1, 4, 2) in int64; expected (batch, time, 2) in float32: vectors of 2 numbers",
        ),
    ],
)
def test_other_inputs_are_refused(spec, inputs, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        spec.check_inputs(inputs)
