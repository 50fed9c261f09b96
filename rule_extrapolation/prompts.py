"""Test prompts of a language, split into in and out of distribution, and their shortest completions.

In distribution (ID): some completion satisfies all rules. Out of distribution (OOD): none does. One search over the
rules' automata gives both the split and the completions.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rule_extrapolation.grammars import Grammar
from rule_extrapolation.rules import EOS, PAD, SOS, Rule, State

Prompt = tuple[int, ...]
MOST_PROMPTS = 1000  # of a set


class Prompts(NamedTuple):
    """Test prompts as tuples of content ids, without SOS: in and out of distribution, and the empty prompt."""

    id: list[Prompt]
    ood: list[Prompt]
    sos: list[Prompt]


def prompts(grammar: Grammar, *lengths: int, max_length: int | None = None) -> Prompts:
    """The test prompts of the language, split into ID, OOD and empty. Deterministic, without repeats.

    All prompts of the lengths are enumerated. Of a set of more than 1,000, as many are taken, evenly spread.

    Args:
        grammar: the language.
        lengths: of prompts, for `grammar.prompt_candidates` (default: grammar.prompt_length).
        max_length: the maximum number of symbols in prompt and completion together (default: no limit).

    Raises:
        ValueError: the language has no prompts of a length, or max_length leaves a prompt no room.
    """
    candidates = [grammar.prompt_candidates(length) for length in lengths or [grammar.prompt_length]]
    split = Prompts([], [], [()])
    for prompt in dict.fromkeys(prompt for some in candidates for prompt in some):
        completion = grammatical_completion(grammar, prompt)
        (split.ood if completion is None else split.id).append(prompt)
        needed = len(prompt) + len(completion or ())
        if max_length is not None and needed > max_length:
            raise ValueError(
                f"{grammar.name}: max_length is {max_length}, the prompt {grammar.text(prompt)} needs {needed}"
            )
    return Prompts(*map(spread, split))


def spread(prompts: list[Prompt]) -> list[Prompt]:
    """Up to 1,000 of some prompts, evenly spread."""
    number = min(len(prompts), MOST_PROMPTS)
    return [prompts[index * len(prompts) // number] for index in range(number)]


def framed(prompts: Sequence[Prompt]) -> tuple[Tensor, Tensor]:
    """Prompts as model inputs: SOS, prompt, PAD ... (number, width), and their lengths with SOS (number,), int64."""
    lengths = [1 + len(prompt) for prompt in prompts]
    width = max(lengths, default=1)
    rows = [[SOS, *prompt] + [PAD] * (width - 1 - len(prompt)) for prompt in prompts]
    return torch.tensor(rows, dtype=torch.long).reshape(-1, width), torch.tensor(lengths, dtype=torch.long)


def grammatical_completion(grammar: Grammar, prompt: Prompt, room: int | None = None) -> Prompt | None:
    """The shortest completion of at most `room` symbols that satisfies all rules, or None.

    The search always stops after 2n + 4 symbols, where n is the prompt's length. So without `room`, None means that no
    completion of any length satisfies all rules. The bound holds for the languages of this package. A prompt is
    completed by raising its counts to the largest one (in aNbNcN and aNbNaN by two symbols for each prompt symbol), by
    closing its open symbols (one for each), or, if it is odd or empty, by a few more symbols. Tests compare the bound
    with a longer search.
    """
    scored = [(grammar.rule_1, 0), (grammar.rule_2, 0)]
    bound = 2 * len(prompt) + 4
    return shortest_completion(scored, prompt, grammar.symbol_ids, bound if room is None else min(room, bound))


def oracle_completion(grammar: Grammar, prompt: Prompt, room: int) -> Prompt:
    """The best completion of at most `room` symbols: a shortest one that satisfies all rules.

    If there is none, a shortest one that satisfies rule 1 on the whole string and rule_2_completion from its start
    position on. If that is impossible too, the empty completion.
    """
    completion = grammatical_completion(grammar, prompt, room)
    if completion is None:
        scored = [(grammar.rule_1, 0), (grammar.rule_2_completion, grammar.completion_from(len(prompt)))]
        completion = shortest_completion(scored, prompt, grammar.symbol_ids, room)
    return completion or ()


def oracle_sequences(grammar: Grammar, prompts: Sequence[Prompt], max_length: int) -> Tensor:
    """Each prompt with its oracle completion, as SOS, prompt, completion, EOS, PAD ...: (number, longest) int64.

    Args:
        grammar: the language.
        prompts: at least one.
        max_length: the maximum number of symbols in prompt and completion together, without SOS and EOS.
    """
    completed = [prompt + oracle_completion(grammar, prompt, max_length - len(prompt)) for prompt in prompts]
    return framed([(*string, EOS) for string in completed])[0]


def shortest_completion(
    scored: Sequence[tuple[Rule, int]], prompt: Prompt, symbols: Sequence[int], room: int
) -> Prompt | None:
    """The shortest completion of a prompt that satisfies the given rules, by breadth-first search over their automata.

    Args:
        scored: rules, each with the position in prompt + completion where it starts.
        prompt: content ids.
        symbols: ids allowed in a completion. Ties between shortest completions go to the first in this order.
        room: the maximum number of symbols in the completion.

    Returns:
        The completion, or None if there is none of at most `room` symbols.
    """
    states = [state_after(rule, prompt[start:]) for rule, start in scored]
    if None in states:
        return None
    rules = [rule for rule, _ in scored]
    found: dict[tuple[State, ...], Prompt] = {tuple(states): ()}
    frontier = list(found)
    for remaining in range(room, -1, -1):
        reached = []
        for state in frontier:
            if all(rule.accepts(part) for rule, part in zip(rules, state, strict=True)):
                return found[state]
            for symbol in symbols if remaining else ():
                after = tuple(rule.step(part, symbol) for rule, part in zip(rules, state, strict=True))
                if None not in after and after not in found:
                    found[after] = (*found[state], symbol)
                    reached.append(after)
        frontier = reached
    return None


def state_after(rule: Rule, prompt: Prompt) -> State | None:
    """The automaton's state after a prompt, or None if it is dead."""
    state = rule.start
    for token in prompt:
        if state is None:
            return None
        state = rule.step(state, token)
    return state
