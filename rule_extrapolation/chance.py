"""Exact chance levels: the probability that uniform draws satisfy a rule."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from rule_extrapolation.classes import classes
from rule_extrapolation.grammars import Grammar
from rule_extrapolation.prompts import Prompt, state_after
from rule_extrapolation.rules import All, Rule, State


def chance(grammar: Grammar, prompts: Sequence[Prompt], max_length: int) -> dict[str, float]:
    """The exact probability that a uniformly drawn completion satisfies each rule, as a mean over prompts.

    Each draw is a content symbol or EOS, all with equal probability. Drawing stops at EOS, or when prompt and
    completion have max_length symbols; then one last draw may still be EOS. A string without EOS is scored as is.

    Args:
        grammar: the language.
        prompts: content ids, each prompt with at most max_length.
        max_length: the maximum number of symbols in prompt and completion together.

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
        for name, scored in parts.items():
            rule = All(tuple(rule for rule, _ in scored))
            columns = [[state_after(rule, string) for string in strings] for rule, strings in scored]
            starts = [state for state in zip(*columns, strict=True) if None not in state]
            totals[name] += _expected_successes(rule, starts, grammar.symbol_ids, num_draws)
        num_symbols = len(grammar.symbols)
        totals["finished"] += number * (1 - (num_symbols / (num_symbols + 1)) ** (num_draws + 1))
    return {name: total / len(prompts) for name, total in totals.items()}


def _expected_successes(rule: Rule, starts: Sequence[State], symbols: Sequence[int], num_draws: int) -> float:
    """The sum over start states of the probability that at most num_draws uniform draws end in an accepted state.

    Dynamic programming over the equivalence classes of the reachable states. With r draws left,
    p_r(state) = (accepted(state) + sum over symbols of p_(r-1)(next state)) / (number of symbols + 1).
    """
    graph = classes(rule, starts, symbols, num_draws)
    success = graph.accepted
    for _ in range(num_draws):
        success = (graph.accepted + success[graph.table].sum(1)) / (len(symbols) + 1)
    numbers = [graph.numbers.get(rule.equivalence_class(state), -1) for state in starts]  # -1: the dead state
    return float(success[numbers].sum())
