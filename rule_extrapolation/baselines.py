"""The baselines of a run: exact chance levels, and four models that are not trained networks.

The four are sequence models, so they share the decoding and the metrics of a trained model: `Uniform` (sampled),
`EndAtOnce`, `NGram` and `Oracle` (greedy).
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rule_extrapolation.chance import chance
from rule_extrapolation.datamodule import GrammarDataModule
from rule_extrapolation.metrics import rule_results, token_loss
from rule_extrapolation.prompts import Prompt, framed, oracle_sequences
from rule_extrapolation.rules import EOS, FIRST_SYMBOL, PAD, SOS
from seqlab.attempts import Attempts
from seqlab.decode import greedy, sample
from seqlab.model import SequenceModel
from seqlab.proportion import Proportion
from seqlab.randomness import derived_seed
from seqlab.spec import Spec

NUM_UNIFORM_DRAWS = 1000
NUM_NGRAM_STRINGS = 8192

Rows = dict[str, Proportion | float]


def compare(data: GrammarDataModule, prompts: dict[str, list[Prompt]], max_length: int, seed: int) -> Attempts[Rows]:
    """Results of chance and of each baseline, under a model's metric names (test/ood/rule_1 ...).

    chance: exact probabilities under uniform draws.
    eos: ends every completion at once.
    uniform: the process of chance, sampled at least 1,000 times per set of prompts and decoded. It checks the code.
    ngram: order 3, fitted on training strings, decoded greedily.
    optimal: the lowest possible loss on the test strings and the accuracy of the best guesses, exactly (optimum.py).
    oracle: the shortest completion that satisfies all rules. Out of distribution there is none; then the shortest
        that satisfies rule 1 and rule_2_completion.

    Args:
        data: the language with its training and test strings.
        prompts: {"id": [...], "ood": [...], "sos": [...]}.
        max_length: the maximum number of symbols in prompt and completion together.
        seed: seed of the uniform draws.
    """
    grammar, spec = data.grammar, data.spec
    everything = [prompt for members in prompts.values() for prompt in members]
    tokens, lengths = framed(everything)
    rows = Attempts[Rows]()
    with rows.attempt("chance"):
        rows["chance"] = chance_results(data, prompts, max_length)
    with rows.attempt("uniform"):
        rows["uniform"] = uniform_results(data, prompts, max_length, seed)
    models: dict[str, Callable[[], SequenceModel]] = {
        "eos": lambda: EndAtOnce(spec),
        "ngram": lambda: NGram(spec, data.samples("train", 0, NUM_NGRAM_STRINGS), order=3),
        "oracle": lambda: Oracle(spec, oracle_sequences(grammar, everything, max_length)),
    }
    for name, make in models.items():
        with rows.attempt(name):
            model = make()
            decoded = greedy(model, tokens, lengths, max_length=max_length + 1)
            # the oracle has completions of the prompts, not of the test strings
            known = {} if name == "oracle" else token_results(model, data)
            rows[name] = {**rule_results(grammar, prompts, "test", decoded), **known}
    with rows.attempt("optimal"):
        if (best := data.test_optimum) is not None:
            rows["optimal"] = {**loss_results(best.loss, data), "test/accuracy": best.accuracy}
    return rows


def uniform_results(data: GrammarDataModule, prompts: dict[str, list[Prompt]], max_length: int, seed: int) -> Rows:
    """Results of at least NUM_UNIFORM_DRAWS uniformly sampled completions per set of prompts."""
    generator = torch.Generator().manual_seed(derived_seed(seed, "uniform baseline"))
    uniform = Uniform(data.spec)
    results: Rows = {}
    for group, members in prompts.items():
        repeats = -(-NUM_UNIFORM_DRAWS // len(members)) if members else 1
        several = framed([prompt for prompt in members for _ in range(repeats)])
        drawn = sample(uniform, *several, max_length=max_length + 1, generator=generator)
        results |= rule_results(data.grammar, {group: members}, "test", drawn, repeats)
    return results


def chance_results(data: GrammarDataModule, prompts: dict[str, list[Prompt]], max_length: int) -> Rows:
    """Exact chance levels for each set of prompts and for the next token."""
    choices = len(data.grammar.symbol_ids) + 1
    results: Rows = {**loss_results(math.log(choices), data), "test/accuracy": 1 / choices}
    for group, members in prompts.items():
        for name, probability in chance(data.grammar, members, max_length).items():
            results[f"test/{group}/{name}"] = probability
    return results


def token_results(model: SequenceModel, data: GrammarDataModule) -> Rows:
    """Loss and accuracy on the test strings. The loss is omitted when a string has probability 0."""
    strings = data.test_strings
    loss, accuracy, _ = token_loss(model(strings[:, :-1]), strings[:, 1:])
    accuracy_result: Rows = {"test/accuracy": float(accuracy)}
    return accuracy_result | (loss_results(float(loss), data) if torch.isfinite(loss) else {})


def loss_results(loss: float, data: GrammarDataModule) -> Rows:
    """A loss on the test strings, and how far it is above the lowest possible one, where that is known."""
    results: Rows = {"test/loss": loss}
    if (best := data.test_optimum) is not None:
        results["test/nats_above_optimal"] = loss - best.loss
    return results


class Steps(NamedTuple):
    """State of a model that only counts its steps: inputs read so far, (batch,) int64."""

    num_steps: Tensor


class ConstantLogits(SequenceModel):
    """The same distribution at each step: equal logits for the given tokens, -inf for all others."""

    def __init__(self, spec: Spec, tokens: Sequence[int]):
        super().__init__(spec)
        logits = torch.full((spec.output.width,), -torch.inf)
        logits[list(tokens)] = 0.0
        self.register_buffer("logits", logits)
        self.logits: Tensor

    def init_state(self, batch: int, length: int | None = None) -> Steps:
        return Steps(torch.zeros(batch, dtype=torch.long, device=self.logits.device))

    def prefill(self, inputs: Tensor, state: Steps) -> tuple[Tensor, Steps]:
        return self.logits.expand(*inputs.shape, -1), Steps(state.num_steps + inputs.shape[1])


class Uniform(ConstantLogits):
    """Content symbols and EOS with equal probability, for sampling."""

    def __init__(self, spec: Spec):
        super().__init__(spec, [EOS, *range(FIRST_SYMBOL, spec.output.width)])


class EndAtOnce(ConstantLogits):
    """Always predicts EOS."""

    def __init__(self, spec: Spec):
        super().__init__(spec, [EOS])


class LastTokens(NamedTuple):
    """State of an n-gram model: the last order - 1 inputs, (batch, order - 1), with PAD before the first."""

    tokens: Tensor


class NGram(SequenceModel):
    """Relative frequencies of the next token given the last order - 1 tokens. Unseen contexts back off to shorter ones.

    Args:
        spec: spec of the language.
        strings: training strings (number, time) as SOS, symbols, EOS, PAD ...
        order: length of context and next token together, at least 2.

    Raises:
        ValueError: order is below 2.
    """

    def __init__(self, spec: Spec, strings: Tensor, *, order: int = 3):
        super().__init__(spec)
        if order < 2:
            raise ValueError(f"order={order} must be at least 2")
        self.order = order
        self.register_buffer("logits", self._fitted(strings))
        self.logits: Tensor

    def _fitted(self, strings: Tensor) -> Tensor:
        """Log frequencies, one row per context: (contexts, width). A context is a number in base `width`."""
        width = self.spec.output.width
        before = strings.new_full((len(strings), self.order - 1), PAD)
        grams = torch.cat([before, strings], 1).unfold(1, self.order, 1).reshape(-1, self.order)
        grams = grams[(grams[:, -1] != SOS) & (grams[:, -1] != PAD)]
        counts = [torch.bincount(self._number(grams), minlength=width**self.order).view((width,) * self.order)]
        while counts[-1].dim() > 1:
            counts.append(counts[-1].sum(0))  # sums over the oldest token of the context
        table = counts.pop()
        while counts:
            longer = counts.pop()
            table = torch.where(longer.sum(-1, keepdim=True) > 0, longer, table)
        table = table.reshape(-1, width).double()
        return (table / table.sum(1, keepdim=True)).log().float()

    def _number(self, tokens: Tensor) -> Tensor:
        """(..., n) ids -> (...) numbers in base `width`, the first token as the leading digit."""
        width = self.spec.output.width
        return (tokens * width ** torch.arange(tokens.shape[-1] - 1, -1, -1, device=tokens.device)).sum(-1)

    def init_state(self, batch: int, length: int | None = None) -> LastTokens:
        return LastTokens(torch.full((batch, self.order - 1), PAD, device=self.logits.device))

    def prefill(self, inputs: Tensor, state: LastTokens) -> tuple[Tensor, LastTokens]:
        tokens = torch.cat([state.tokens, inputs], 1)
        contexts = tokens.unfold(1, self.order - 1, 1)[:, 1:]
        return self.logits[self._number(contexts)], LastTokens(tokens[:, inputs.shape[1] :])


class OracleState(NamedTuple):
    """The targets of each row, (batch, length) int64, and the number of inputs read, (batch,) int64."""

    targets: Tensor
    num_steps: Tensor


class Oracle(SequenceModel):
    """Row b of a batch outputs sequence b regardless of its inputs, and EOS after the end of the sequence.

    Args:
        spec: spec of the language.
        sequences: (batch, time) as SOS, symbols, EOS, PAD ..., see `prompts.oracle_sequences`.
    """

    def __init__(self, spec: Spec, sequences: Tensor):
        super().__init__(spec)
        targets = sequences[:, 1:].masked_fill(sequences[:, 1:] == PAD, EOS)
        self.register_buffer("targets", torch.nn.functional.pad(targets, (0, 1), value=EOS))
        self.targets: Tensor

    def init_state(self, batch: int, length: int | None = None) -> OracleState:
        if batch != len(self.targets):
            raise ValueError(f"the oracle has {len(self.targets)} sequences for a batch of {batch}")
        return OracleState(self.targets, torch.zeros(batch, dtype=torch.long, device=self.targets.device))

    def prefill(self, inputs: Tensor, state: OracleState) -> tuple[Tensor, OracleState]:
        num_steps = inputs.shape[1]
        places = state.num_steps[:, None] + torch.arange(num_steps, device=inputs.device)
        tokens = state.targets.gather(1, places.clamp(max=state.targets.shape[1] - 1))
        logits = torch.full((*tokens.shape, self.spec.output.width), -torch.inf, device=inputs.device)
        logits.scatter_(2, tokens[:, :, None], 0.0)
        return logits, OracleState(state.targets, state.num_steps + num_steps)
