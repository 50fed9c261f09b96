"""What a completion is worth without having learnt anything: exact chance levels, and four baselines.

The baselines are sequence models, so they go through the same decoding and the same metrics as the others: `Uniform`
(sampled), `EndAtOnce`, `NGram` and `Oracle` (greedy).
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rule_extrapolation.grammars import Grammar
from rule_extrapolation.prompts import Prompt, state_after
from rule_extrapolation.rules import EOS, FIRST_SYMBOL, PAD, SOS, All, Rule, State
from seqlab.model import SequenceModel
from seqlab.spec import Spec


def chance(grammar: Grammar, prompts: Sequence[Prompt], max_length: int) -> dict[str, float]:
    """The exact probability that a completion of uniform draws satisfies each rule, as a mean over prompts.

    Each draw is a content symbol or EOS, all equally likely, until EOS or until prompt and completion hold max_length
    symbols; then one more draw may still be EOS. A string without EOS is judged as it stands.

    Args:
        grammar: the language.
        prompts: content ids, each of at most max_length.
        max_length: the most symbols in prompt and completion together.

    Returns:
        Probabilities by name: rule_1, rule_2, rule_2_completion, rule_1_and_rule_2_completion, grammatical,
        finished. Empty if there are no prompts.

    Raises:
        ValueError: a prompt is longer than max_length.
    """
    totals: defaultdict[str, float] = defaultdict(float)
    for length, number in Counter(len(prompt) for prompt in prompts).items():
        if length > max_length:
            raise ValueError(f"{grammar.name}: a prompt has {length} symbols, max_length is {max_length}")
        num_draws = max_length - length
        same_length = [prompt for prompt in prompts if len(prompt) == length]
        later = [prompt[grammar.completion_from(length) :] for prompt in same_length]
        parts = {
            "rule_1": [(grammar.rule_1, same_length)],
            "rule_2": [(grammar.rule_2, same_length)],
            "rule_2_completion": [(grammar.rule_2_completion, later)],
            "rule_1_and_rule_2_completion": [(grammar.rule_1, same_length), (grammar.rule_2_completion, later)],
            "grammatical": [(grammar.rule_1, same_length), (grammar.rule_2, same_length)],
        }
        for name, judged in parts.items():
            rule = All(tuple(rule for rule, _ in judged))
            columns = [[state_after(rule, string) for string in strings] for rule, strings in judged]
            starts = [state for state in zip(*columns, strict=True) if None not in state]
            totals[name] += _expected_successes(rule, starts, grammar.symbol_ids, num_draws)
        num_symbols = len(grammar.symbols)
        totals["finished"] += number * (1 - (num_symbols / (num_symbols + 1)) ** (num_draws + 1))
    return {name: total / len(prompts) for name, total in totals.items()}


def _expected_successes(rule: Rule, starts: Sequence[State], symbols: Sequence[int], num_draws: int) -> float:
    """The sum over start states of the probability that at most num_draws uniform draws end in an accepted state.

    By dynamic programming over the states that can be reached, those with equal lump taken for one: with r draws to
    come, p_r(state) = (accepted(state) + sum over symbols of p_(r-1)(next state)) / (number of symbols + 1).
    """
    index: dict[Hashable, int] = {}
    states: list[State] = []

    def number_of(state: State | None, draws_left: int) -> int:
        if state is None or rule.needs(state) > draws_left:
            return -1
        number = index.setdefault(rule.lump(state), len(states))
        if number == len(states):
            states.append(state)
        return number

    start_numbers = [number_of(state, num_draws) for state in starts]
    successors: list[list[int]] = []
    # Breadth first: a state is first met with the most draws left, so one that is too far from success then always is.
    for draws_left in range(num_draws - 1, -1, -1):
        for state in states[len(successors) :]:
            successors.append([number_of(rule.step(state, symbol), draws_left) for symbol in symbols])
    # The last row is death. States met after the last draw are judged as they stand and lead nowhere.
    table = torch.full((len(states) + 1, len(symbols)), -1)
    table[: len(successors)] = torch.tensor(successors).reshape(-1, len(symbols))
    table[table < 0] = len(states)
    accepted = torch.tensor([*map(rule.accepts, states), False], dtype=torch.float64)
    success = accepted
    for _ in range(num_draws):
        success = (accepted + success[table].sum(1)) / (len(symbols) + 1)
    return float(success[start_numbers].sum())


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
