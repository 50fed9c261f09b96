"""The baselines of a run: chance, exactly, and four models that have learnt nothing, through the same metrics.

The four are sequence models, so they go through the same decoding and the same metrics as a trained one: `Uniform`
(sampled), `EndAtOnce`, `NGram` and `Oracle` (greedy).
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
    """Results under the names that a model's have (test/ood/rule_1 ...), for chance and each baseline.

    chance: exact probabilities of uniform draws. eos: ends at once. uniform: the same process as chance, drawn (at
    least 1,000 times for each set of prompts) and decoded: a check of the machinery. ngram: order 3, fitted on
    training strings, greedy. oracle: the shortest completion that satisfies all rules; out of distribution, where
    there is none, the shortest that satisfies rule 1 and rule_2_completion.

    Args:
        data: the language with its training and test strings.
        prompts: {"id": [...], "ood": [...], "sos": [...]}.
        max_length: the most symbols in prompt and completion together.
        seed: of the uniform draws.
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
            known = {} if name == "oracle" else token_results(model, data)  # it knows prompts, not test strings
            rows[name] = {**rule_results(grammar, prompts, "test", decoded), **known}
    return rows


def uniform_results(data: GrammarDataModule, prompts: dict[str, list[Prompt]], max_length: int, seed: int) -> Rows:
    """Uniform draws through the decoder, at least NUM_UNIFORM_DRAWS for each set of prompts."""
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
    """Exact chance levels of every set of prompts, and of the next token."""
    choices = len(data.grammar.symbol_ids) + 1
    results: Rows = {"test/loss": math.log(choices), "test/accuracy": 1 / choices}
    for group, members in prompts.items():
        for name, probability in chance(data.grammar, members, max_length).items():
            results[f"test/{group}/{name}"] = probability
    return results


def token_results(model: SequenceModel, data: GrammarDataModule) -> Rows:
    """Loss and accuracy on the test strings; the loss is left out where a string has probability 0."""
    strings = data.test_strings
    loss, accuracy, _ = token_loss(model(strings[:, :-1]), strings[:, 1:])
    accuracy_result: Rows = {"test/accuracy": float(accuracy)}
    return accuracy_result | ({"test/loss": float(loss)} if torch.isfinite(loss) else {})


class Steps(NamedTuple):
    """The state of a model that needs nothing but the time: inputs read so far, (batch,) int64."""

    num_steps: Tensor


class Constant(SequenceModel):
    """The same distribution at each step: equal logits for some tokens, -inf for all others."""

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


class Uniform(Constant):
    """Content symbols and EOS equally likely: to be sampled."""

    def __init__(self, spec: Spec):
        super().__init__(spec, [EOS, *range(FIRST_SYMBOL, spec.output.width)])


class EndAtOnce(Constant):
    """EOS whatever came before."""

    def __init__(self, spec: Spec):
        super().__init__(spec, [EOS])


class LastTokens(NamedTuple):
    """The state of an n-gram model: the last order - 1 inputs, (batch, order - 1), PAD before the first one."""

    tokens: Tensor


class NGram(SequenceModel):
    """The relative frequency of each token after the last order - 1 tokens, shorter contexts standing in for unseen.

    Args:
        spec: of the language.
        strings: training strings (number, time) as SOS, symbols, EOS, PAD ...
        order: length of context and next token together, at least 2.
    """

    def __init__(self, spec: Spec, strings: Tensor, *, order: int = 3):
        super().__init__(spec)
        if order < 2:
            raise ValueError(f"order={order} must be at least 2")
        self.order = order
        self.register_buffer("logits", self._fitted(strings))
        self.logits: Tensor

    def _fitted(self, strings: Tensor) -> Tensor:
        """Log frequencies, one row a context, contexts numbered as digits in base vocabulary: (contexts, width)."""
        width = self.spec.output.width
        before = strings.new_full((len(strings), self.order - 1), PAD)
        grams = torch.cat([before, strings], 1).unfold(1, self.order, 1).reshape(-1, self.order)
        grams = grams[(grams[:, -1] != SOS) & (grams[:, -1] != PAD)]
        counts = [torch.bincount(self._number(grams), minlength=width**self.order).view((width,) * self.order)]
        while counts[-1].dim() > 1:
            counts.append(counts[-1].sum(0))  # forgets the oldest token of the context
        table = counts.pop()
        while counts:
            longer = counts.pop()
            table = torch.where(longer.sum(-1, keepdim=True) > 0, longer, table)
        table = table.reshape(-1, width).double()
        return (table / table.sum(1, keepdim=True)).log().float()

    def _number(self, tokens: Tensor) -> Tensor:
        """(..., n) ids to one number each, the first token being the leading digit."""
        width = self.spec.output.width
        return (tokens * width ** torch.arange(tokens.shape[-1] - 1, -1, -1, device=tokens.device)).sum(-1)

    def init_state(self, batch: int, length: int | None = None) -> LastTokens:
        return LastTokens(torch.full((batch, self.order - 1), PAD, device=self.logits.device))

    def prefill(self, inputs: Tensor, state: LastTokens) -> tuple[Tensor, LastTokens]:
        tokens = torch.cat([state.tokens, inputs], 1)
        contexts = tokens.unfold(1, self.order - 1, 1)[:, 1:]
        return self.logits[self._number(contexts)], LastTokens(tokens[:, inputs.shape[1] :])


class OracleState(NamedTuple):
    """What each row is to say, (batch, length) int64, and how many inputs it has read, (batch,) int64."""

    targets: Tensor
    num_steps: Tensor


class Oracle(SequenceModel):
    """Row b of a batch follows sequence b whatever its inputs are, and writes EOS from the sequence's end on.

    Args:
        spec: of the language.
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
