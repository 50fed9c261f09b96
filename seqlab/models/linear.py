"""A model without nonlinearities: one affine map from all embedded inputs to all outputs."""

from typing import Annotated, Literal, NamedTuple

import torch
from annotated_types import Ge
from torch import Tensor, nn

from seqlab.model import SequenceModel, zeros
from seqlab.nn.embedding import input_layer
from seqlab.spec import Spec

MOST_WEIGHTS = 2**29  # 2 GiB in float32; training needs four times as much

# B batch, S input steps, T output steps, C channels, V output width


class LinearState(NamedTuple):
    """The contribution of the inputs read so far to every output, and their number."""

    sums_BTV: Tensor
    length_B: Tensor  # int64, the same in every row


class Linear(SequenceModel):
    """logits[t] = bias[t] + sum over s of W[s, t] embedding(x[s]), with a separate matrix for each pair (s, t).

    Args:
        spec: input and output format; the model is built for spec.max_length steps and refuses more.
        d_model: width of the embedding.
        mask: `causal` (s <= t). `upstream` (s >= t) reproduces the published model, whose mask was transposed: in
            training each output saw its own target, and decoding saw only one token. It is not a language model.

    The sum is one product with the masked weight matrix (S C, T V) instead of the three-way einsum of the published
    code. The results are the same, but faster (benchmarks/training.py).

    Raises:
        ValueError: the matrices would have more than MOST_WEIGHTS entries.
    """

    reads_parts = False  # the weights of all steps are read for any part

    def __init__(
        self, spec: Spec, *, d_model: Annotated[int, Ge(1)] = 128, mask: Literal["causal", "upstream"] = "causal"
    ):
        super().__init__(spec)
        steps, width = spec.max_length, spec.output.width
        if (weights := (steps * width) * (steps * d_model)) > MOST_WEIGHTS:
            raise ValueError(
                f"linear has a matrix for each pair of {steps} steps, {weights:,} weights with d_model={d_model} and "
                f"{width} outputs: {MOST_WEIGHTS:,} are allowed"
            )
        self.embedding = input_layer(spec, d_model)
        self.weight_SCTV = nn.Parameter(torch.empty(steps, d_model, steps, width))
        self.bias_TV = nn.Parameter(torch.zeros(steps, width))
        nn.init.xavier_uniform_(self.weight_SCTV.data.view(steps * d_model, steps * width))
        ones_ST = torch.ones(steps, steps)
        self.mask_ST: Tensor
        self.register_buffer("mask_ST", ones_ST.triu() if mask == "causal" else ones_ST.tril(), persistent=False)

    def _product(self, inputs: Tensor, rows: slice, columns: slice) -> Tensor:
        """The contribution of the inputs at steps `rows` to the outputs at steps `columns`, (B, T, V)."""
        x_BSC = self.embedding(inputs)
        masked_SCTV = self.weight_SCTV[rows, :, columns] * self.mask_ST[rows, None, columns, None]
        sums = x_BSC.flatten(1) @ masked_SCTV.flatten(2).flatten(0, 1)
        return sums.unflatten(1, (-1, self.spec.output.width))

    def _check(self, steps: int) -> None:
        if steps > self.spec.max_length:
            raise ValueError(f"linear is built for {self.spec.max_length} steps and cannot read {steps}")

    def forward(self, inputs: Tensor) -> Tensor:
        steps = inputs.shape[1]
        self._check(steps)
        return self._product(inputs, slice(0, steps), slice(0, steps)) + self.bias_TV[:steps]

    def init_state(self, batch: int, length: int | None = None) -> LinearState:
        self._check(length or self.spec.max_length)
        return LinearState(
            zeros(self, batch, self.spec.max_length, self.spec.output.width), zeros(self, batch, dtype=torch.int64)
        )

    def prefill(self, inputs: Tensor, state: LinearState) -> tuple[Tensor, LinearState]:
        start = int(state.length_B[0])
        stop = start + inputs.shape[1]
        self._check(stop)
        sums_BTV = state.sums_BTV + self._product(inputs, slice(start, stop), slice(None))
        logits = sums_BTV[:, start:stop] + self.bias_TV[start:stop]
        return logits, LinearState(sums_BTV, state.length_B + inputs.shape[1])
