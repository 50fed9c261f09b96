"""Any model as the body of a network that reads numbers as numbers and answers relative to earlier terms."""

import dataclasses
from collections.abc import Callable
from typing import Annotated, NamedTuple

import torch
from annotated_types import Ge
from torch import Tensor

from seqlab.model import SequenceModel, State, precise
from seqlab.nn import anchors
from seqlab.nn.anchors import ANCHORS
from seqlab.nn.embedding import input_layer
from seqlab.nn.numbers import MISSING, MOST_LAGS, Differences
from seqlab.nn.pointer import mixed, weights
from seqlab.nn.relative import RelativeHead
from seqlab.spec import Classes, Spec, Tokens, Values, Vectors

# B batch, T time, A anchors, J residuals looked back at, P terms kept, S = P + T, V values, C channels

NUM_EXPLAINED = 3
LEAST_EXPLAINED = 0.005


class ArithmeticState(NamedTuple):
    """The body's state, and the last P = look_back + 3 terms: differences, anchors and residuals follow from them."""

    body: State
    terms_BP: Tensor  # int64, MISSING before the first


class Arithmetic(SequenceModel):
    """Terms as numbers, and their differences, into a body; its outputs are read relative to earlier terms.

    body(E(x) + D(x)) = (v, w, s) at each step: ordinary logits v, coefficients w, scores s. E is the input layer of the
    Spec (data.embedding=number: seqlab/nn/numbers.py). With `relative`, the head of seqlab/nn/relative.py adds to v
    what w says of each anchor. With `pointer`, that of seqlab/nn/pointer.py mixes softmax v with candidates:
    anchors, and anchors plus what was to be added to them before, weighed by s. No rule of any data is in it.

    Real vectors in, and outputs that are no classes, have nothing of this: the body alone reads and writes them.

    Args:
        spec: input and output format.
        body: any sequence model, with the options of its YAML; it is given a Spec with vectors in and values out.
        d_model: width of the vectors that the body reads.
        differences: whether the body reads the differences of the terms (`seqlab.nn.numbers.Differences`).
        relative: whether logits relative to the anchors are added.
        pointer: whether candidates are answers, too. Outputs are then log-probabilities.
        look_back: number of earlier residuals of each anchor among the candidates.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        body: Callable[[Spec], SequenceModel],
        d_model: Annotated[int, Ge(1)] = 64,
        differences: bool = True,
        relative: bool = True,
        pointer: bool = True,
        look_back: Annotated[int, Ge(1)] = 7,
    ):
        super().__init__(spec)
        self.look_back = look_back
        self.num_kept = look_back + anchors.NUM_LAGS - 1
        inner, self.on_numbers, self.points = spec, False, False
        if isinstance(spec.input, Tokens) and isinstance(spec.output, Classes):
            self.embedding = input_layer(spec, d_model)
            self.differences = Differences(spec.input.size, d_model) if differences else None
            self.relative = RelativeHead(spec.output.width, len(ANCHORS)) if relative else None
            self.on_numbers, self.points = True, pointer
            self.widths = [
                spec.output.width,
                self.relative.num_coefficients if self.relative is not None else 0,
                len(ANCHORS) * (1 + look_back) + 1 if pointer else 0,
            ]
            inner = dataclasses.replace(spec, input=Vectors(d_model), output=Values(sum(self.widths)))
        self.body = body(inner)
        self.endless_state = self.body.endless_state
        self.reads_parts = self.body.reads_parts
        self.rereads = self.body.rereads

    def init_state(self, batch: int, length: int | None = None) -> ArithmeticState:
        device = next(self.parameters()).device
        return ArithmeticState(self.body.init_state(batch, length), self._no_terms(batch, device))

    def forward(self, inputs: Tensor) -> Tensor:
        terms_BS = self._read_after(self._no_terms(len(inputs), inputs.device), inputs)
        return self._output(self.body(self._embedded(inputs, terms_BS)), terms_BS)

    def prefill(self, inputs: Tensor, state: ArithmeticState) -> tuple[Tensor, ArithmeticState]:
        terms_BS = self._read_after(state.terms_BP, inputs)
        outputs, body = self.body.prefill(self._embedded(inputs, terms_BS), state.body)
        return self._output(outputs, terms_BS), ArithmeticState(body, terms_BS[:, -self.num_kept :])

    def step(self, inputs: Tensor, state: ArithmeticState) -> tuple[Tensor, ArithmeticState]:
        inputs = inputs.unsqueeze(1)
        terms_BS = self._read_after(state.terms_BP, inputs)
        outputs, body = self.body.step(self._embedded(inputs, terms_BS).squeeze(1), state.body)
        outputs = self._output(outputs.unsqueeze(1), terms_BS).squeeze(1)
        return outputs, ArithmeticState(body, terms_BS[:, -self.num_kept :])

    def _no_terms(self, batch: int, device: torch.device) -> Tensor:
        return torch.full((batch, self.num_kept), MISSING, device=device)

    def _read_after(self, terms_BP: Tensor, inputs: Tensor) -> Tensor:
        """The terms kept and those read now, (B, S). Real vectors are no terms."""
        return torch.cat([terms_BP, inputs], 1) if self.on_numbers else terms_BP

    def _embedded(self, inputs: Tensor, terms_BS: Tensor) -> Tensor:
        """What the body reads, (B, T, C)."""
        if not self.on_numbers:
            return inputs
        x_BTC = self.embedding(inputs)
        if self.differences is None:
            return x_BTC
        return x_BTC + self.differences(terms_BS[:, self.num_kept - MOST_LAGS :])

    def _candidates(self, terms_BS: Tensor) -> tuple[Tensor, Tensor]:
        """Values and known of all candidates, (B, T, A (1 + J))."""
        values, known = anchors.candidates(terms_BS, self.look_back)
        return values.flatten(2), known.flatten(2)

    def _output(self, outputs: Tensor, terms_BS: Tensor) -> Tensor:
        """Logits (B, T, V) from what the body says."""
        if not self.on_numbers:
            return outputs
        with torch.autocast(outputs.device.type, enabled=False):
            logits, coefficients, scores = precise(outputs).split(self.widths, -1)
            if self.relative is not None:
                values, _ = anchors.anchors(terms_BS[:, self.look_back :])
                logits = logits + self.relative(coefficients, values)
            return mixed(logits, scores, *self._candidates(terms_BS)) if self.points else logits

    def explanation(self, inputs: Tensor) -> list[str]:
        """The likeliest candidates of the pointer after inputs (1, time), as sums of terms that a person can check."""
        if not self.points:
            return []
        terms_BS = self._read_after(self._no_terms(len(inputs), inputs.device), inputs)
        scores = precise(self.body(self._embedded(inputs, terms_BS))).split(self.widths, -1)[2]
        values, known = self._candidates(terms_BS)
        shares = weights(scores, values, known, self.spec.output.width)[0, -1]
        best = shares[:-1].topk(NUM_EXPLAINED)
        lines = [
            f"{share:.1%}  {values[0, -1, index]} = "
            f"{anchors.explained(inputs[0].tolist(), *divmod(index, 1 + self.look_back))}"
            for share, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
            if share >= LEAST_EXPLAINED
        ]
        return [*lines, f"{shares[-1]:.1%}  not copied"]
