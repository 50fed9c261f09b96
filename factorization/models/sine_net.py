"""One hidden layer of sine units: residues modulo small primes are sines of a weighted sum of bits."""

import math
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn

from factorization.models.input_checks import input_width
from seqlab.spec import Spec


class SineNet(nn.Module):
    """A network with one hidden layer: inputs (batch, time, width) -> sin(W x + b) -> logits (batch, outputs).

    The phase of exp(2 pi i N / q) determines N mod q. It is the sum of 2 pi 2^j / q over the set bits j of N, so a unit
    with these weights detects whether q divides N. The idea is from Jansen & Nakayama (2005). Frequencies are
    initialized at random, wide enough to wrap. Weight decay makes the net generalize; it acts only on the head and not
    on the frequencies.

    Args:
        spec: input and output types.
        hidden_dim: number of sine units.
        frequency_scale: the weights of the sine units are initialized uniformly within plus and minus this (radians per
            bit).

    Raises:
        ValueError: the Spec does not ask for one answer.
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
