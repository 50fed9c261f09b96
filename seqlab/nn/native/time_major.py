"""Time-major rows of different lengths, and what the LSTM's and the GRU's layers over them share.

Steps are stored time-major: step 0 of all rows, the longest row first, then step 1 of the rows that have one, and so
on. So the rows that still run are the first ones of the step before, and no step is computed that is not read. The
products of the inputs of all steps are one product, as are those of each weight's gradient.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seqlab.nn.native.calls import place, threads
from seqlab.nn.native.product import crossed, times
from seqlab.ragged import real_steps, row_starts

# B rows, T steps of the longest row, N steps of all rows, C input width, H hidden units, G gates

FEW_PRODUCTS = 2**19  # terms of a step's product below which a second thread costs more than it gains


class TimeMajor(NamedTuple):
    """The time-major order of the steps of rows of given lengths. All int64."""

    counts: Tensor
    """(T,) the number of rows that have step t: it never grows."""

    starts: Tensor
    """(T + 1,) the place of the first row's step t, and at last N."""

    rows: Tensor
    """(N,) the row of each step."""

    times: Tensor
    """(N,) its time."""

    places: Tensor
    """(N,) its place if the rows lie one after another."""

    before: Tensor | None
    """The place of the step before each step from time 1 on; None if it is always the same number of places ahead."""

    @property
    def num_rows(self) -> int:
        """The number of rows that have a step."""
        return int(self.counts[0]) if len(self.counts) else 0

    def addresses(self) -> tuple[int | None, int | None]:
        """Those of counts and starts, as the kernels take them."""
        return place(self.counts, torch.int64), place(self.starts, torch.int64)

    def restored(self, x: Tensor) -> Tensor:
        """(N, ...) in this order to one row after another."""
        return Reordered.apply(x, self.places.argsort(), self.places)  # type: ignore[return-value]


def time_major(lengths: Tensor) -> TimeMajor:
    """The time-major order of rows, (B,) int64.

    >>> order = time_major(torch.tensor([1, 3]))
    >>> order.counts.tolist(), order.rows.tolist(), order.times.tolist(), order.places.tolist()
    ([2, 1, 1], [1, 0, 1, 1], [0, 0, 1, 2], [1, 0, 2, 3])
    """
    longest_first = lengths.argsort(descending=True, stable=True)
    real_TB = real_steps(lengths[longest_first], int(lengths.max()) if len(lengths) else 0).T
    times, ranks = real_TB.nonzero(as_tuple=True)
    rows, counts = longest_first[ranks], real_TB.sum(1)
    before = None
    if len(counts) and counts[-1] != counts[0]:
        later = slice(int(counts[0]), None)
        before = torch.arange(len(rows))[later] - counts[times[later] - 1]
    return TimeMajor(counts, row_starts(counts), rows, times, row_starts(lengths)[rows] + times, before)


class Reordered(torch.autograd.Function):
    """x[order]; the gradient is ordered by the inverse permutation, which is faster than adding it up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        return x.index_select(0, order)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (inverse,) = ctx.saved_tensors
        return dy.index_select(0, inverse), None, None


def threads_of_all_steps(order: TimeMajor, weight_hh: Tensor) -> int:
    """The number of threads for the steps of a layer with these recurrent weights, (G H, H)."""
    return threads(len(order.rows) / max(1, len(order.counts)) * weight_hh.numel(), FEW_PRODUCTS)


def weights_of(layers: nn.RNNBase, index: int) -> Iterator[Tensor]:
    """weight_ih, weight_hh, bias_ih and bias_hh of layer `index`: (G H, C), (G H, H), (G H,), (G H,)."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return (layers.get_parameter(f"{name}_l{index}") for name in names)


def weight_gradients(
    needed: Sequence[bool], order: TimeMajor, dinput: Tensor, drecurrent: Tensor, x: Tensor, weight_ih: Tensor,
    out: Tensor,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # fmt: skip
    """The gradients of x and of both weights, each where it is wanted (`needed`).

    Args:
        needed: for x, weight_ih, weight_hh.
        order: of the steps.
        dinput: the gradients of the gates as functions of the inputs, (N, G H).
        drecurrent: the same as functions of the hidden states before.
        x: the inputs, (N, C).
        weight_ih: (G H, C).
        out: the hidden states, (N, H).
    """
    dx = times(dinput, weight_ih) if needed[0] else None
    dweight_ih = crossed(dinput, x) if needed[1] else None
    dweight_hh = None
    if needed[2]:
        before = out[: len(out) - order.num_rows] if order.before is None else out.index_select(0, order.before)
        dweight_hh = crossed(drecurrent[order.num_rows :], before)
    return dx, dweight_ih, dweight_hh
