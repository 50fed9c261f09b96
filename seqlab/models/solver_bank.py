"""A network that chooses among candidates which exact arithmetic gives: a hybrid of a bank of solvers and any model."""

import dataclasses
from collections.abc import Callable
from typing import Annotated, NamedTuple

import torch
from annotated_types import Ge
from torch import Tensor, nn

from seqlab.model import SequenceModel, State, precise
from seqlab.nn import bank, views
from seqlab.nn.bank import NUM_CANDIDATES, NUM_GUESSES, NUM_KEPT, Record
from seqlab.nn.embedding import input_layer
from seqlab.nn.numbers import MISSING, MOST_LAGS, Differences
from seqlab.nn.pointer import mixed, weights
from seqlab.spec import Classes, Spec, Tokens, Values, Vectors

# B batch, T time, P terms kept, S = P + T, N candidates, V values, C channels

NUM_EXPLAINED = 3
LEAST_EXPLAINED = 0.005


class BankState(NamedTuple):
    """The body's state, the last P terms, from which all candidates follow, and how often each candidate was right."""

    body: State
    terms_BP: Tensor  # int64, MISSING before the first
    record: Record


class SolverBank(SequenceModel):
    """840 candidates for the next term at each step, and a body that says which of them to believe.

    The candidates are those of seqlab/nn/bank.py: 70 views of the last terms, each with twelve guesses at its residual.
    body(E(x) + D(x) + W r) = (v, s): r says which candidates were right a step before; v are ordinary logits; s + g u
    are the scores of the candidates, where u is the trust in each (`bank.trust`) and g is learned. Values of candidates
    are mixed with softmax v by these scores (seqlab/nn/pointer.py). With s = v = 0 and g = 1 it is the vote of the
    candidates, with which it begins, about; it learns whom to trust when. Nothing in it knows a family of rules, but
    the views and guesses are chosen for rules like these. The vote itself is a baseline on data=recurrence.

    Real vectors in, and outputs that are no classes, have nothing of this: the body alone reads and writes them.

    Args:
        spec: input and output format.
        body: any sequence model, with the options of its YAML; it is given a Spec with vectors in and values out.
        d_model: width of the vectors that the body reads.
    """

    def __init__(self, spec: Spec, *, body: Callable[[Spec], SequenceModel], d_model: Annotated[int, Ge(1)] = 64):
        super().__init__(spec)
        inner = spec
        self.on_numbers = isinstance(spec.input, Tokens) and isinstance(spec.output, Classes)
        if isinstance(spec.input, Tokens) and isinstance(spec.output, Classes):
            self.embedding = input_layer(spec, d_model)
            self.differences = Differences(spec.input.size, d_model)
            self.record = nn.Linear(NUM_CANDIDATES, d_model, bias=False)
            nn.init.normal_(self.record.weight, std=0.05)
            self.gain = nn.Parameter(torch.ones(()))
            self.widths = [spec.output.width, NUM_CANDIDATES + 1]
            inner = dataclasses.replace(spec, input=Vectors(d_model), output=Values(sum(self.widths)))
        self.body = body(inner)
        self.endless_state = self.body.endless_state
        self.reads_parts = self.body.reads_parts
        self.rereads = self.body.rereads

    def init_state(self, batch: int, length: int | None = None) -> BankState:
        return self._start(batch, self.body.init_state(batch, length))

    def forward(self, inputs: Tensor) -> Tensor:
        return self._read(inputs, self._start(len(inputs), ()), lambda x, _: (self.body(x), ()))[0]

    def prefill(self, inputs: Tensor, state: BankState) -> tuple[Tensor, BankState]:
        return self._read(inputs, state, self.body.prefill)

    def step(self, inputs: Tensor, state: BankState) -> tuple[Tensor, BankState]:
        def one(x: Tensor, body: State) -> tuple[Tensor, State]:
            outputs, body = self.body.step(x.squeeze(1), body)
            return outputs.unsqueeze(1), body

        outputs, state = self._read(inputs.unsqueeze(1), state, one)
        return outputs.squeeze(1), state

    def _start(self, batch: int, body: State) -> BankState:
        device = next(self.parameters()).device
        return BankState(body, torch.full((batch, NUM_KEPT), MISSING, device=device), bank.no_record(batch, device))

    def _read(
        self, inputs: Tensor, state: BankState, body: Callable[[Tensor, State], tuple[Tensor, State]]
    ) -> tuple[Tensor, BankState]:
        """The output (B, T, V) of each step and the next state, by one of the body's ways to read."""
        if not self.on_numbers:
            outputs, inner = body(inputs, state.body)
            return outputs, state._replace(body=inner)
        terms_BS = torch.cat([state.terms_BP, inputs], 1)
        found = bank.candidates(terms_BS)
        trust, record = bank.trust(found.right, state.record)
        outputs, inner = body(self._embedded(inputs, terms_BS, found.right), state.body)
        logits, scores = self._parts(outputs, trust)
        with torch.autocast(outputs.device.type, enabled=False):
            mixture = mixed(logits, scores, found.values, found.known)
        return mixture, BankState(inner, terms_BS[:, -NUM_KEPT:], record)

    def _embedded(self, inputs: Tensor, terms_BS: Tensor, right: Tensor) -> Tensor:
        """What the body reads, (B, T, C)."""
        of_record = self.record(right.to(self.record.weight.dtype))
        return self.embedding(inputs) + self.differences(terms_BS[:, NUM_KEPT - MOST_LAGS :]) + of_record

    def _parts(self, outputs: Tensor, trust: Tensor) -> tuple[Tensor, Tensor]:
        """Ordinary logits (B, T, V) and scores (B, T, N + 1) from what the body says."""
        logits, scores = precise(outputs).split(self.widths, -1)
        trusted = scores[..., :-1] + self.gain * trust.to(scores.dtype)
        return logits, torch.cat([trusted, scores[..., -1:]], -1)

    def explanation(self, inputs: Tensor) -> list[str]:
        """The likeliest candidates after inputs (1, time): a view, what is added to it, and why that."""
        if not self.on_numbers:
            return []
        start = self._start(len(inputs), ())
        terms_BS = torch.cat([start.terms_BP, inputs], 1)
        found = bank.candidates(terms_BS)
        trust, _ = bank.trust(found.right, start.record)
        _, scores = self._parts(self.body(self._embedded(inputs, terms_BS, found.right)), trust)
        shares = weights(scores, found.values, found.known, self.spec.output.width)[0, -1]
        terms, lines = inputs[0].tolist(), []
        seen = views.views(terms_BS).values[0, -1]
        for share, index in zip(*(part.tolist() for part in shares[:-1].topk(NUM_EXPLAINED)), strict=True):
            if share >= LEAST_EXPLAINED:
                view, guess = divmod(index, NUM_GUESSES)
                value = int(found.values[0, -1, index])
                added = f"{value - int(seen[view]):+}".replace("+", "+ ").replace("-", "- ")
                lines.append(f"{share:.1%}  {value} = {views.name(view, terms)} {added}  ({bank.GUESSES[guess]})")
        return [*lines, f"{shares[-1]:.1%}  not from the bank"]
