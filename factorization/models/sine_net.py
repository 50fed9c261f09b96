"""One hidden layer of sine units: residues modulo small primes are sines of a weighted sum of bits."""

import math
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn

from factorization.models.input_checks import input_width
from seqlab.spec import Spec


class SineNet(nn.Module):
    """All inputs (batch, time, width) -> sin(W x + b) -> logits (batch, outputs).

    N mod q is the phase of exp(2 pi i N / q), and that phase is the sum over the bits b_j of N of 2 pi 2^j / q: a unit
    with these weights sees whether q divides N. The idea is Jansen & Nakayama's (2005). Frequencies start at random,
    wide enough to wrap; weight decay, which is what makes the net generalise, spares them and acts on the head alone.

    Args:
        spec: what goes in and comes out.
        hidden_dim: sine units.
        frequency_scale: weights of the sine units start uniform in plus and minus this (radians a bit).

    Raises:
        ValueError: for a Spec that asks for anything but one answer.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        hidden_dim: Annotated[int, Ge(1)] = 128,
        frequency_scale: Annotated[float, Gt(0)] = math.pi,
    ):
        super().__init__()
        width = input_width("sine_net", spec)
        self.sines = nn.Linear(spec.max_length * width, hidden_dim)
        self.head = nn.Linear(hidden_dim, spec.output.width)
        nn.init.uniform_(self.sines.weight, -frequency_scale, frequency_scale)
        nn.init.uniform_(self.sines.bias, -math.pi, math.pi)
        nn.init.normal_(self.head.weight, std=hidden_dim**-0.5)
        nn.init.zeros_(self.head.bias)
        self.sines.weight._no_weight_decay = True  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.sin(self.sines(x.flatten(1))))
