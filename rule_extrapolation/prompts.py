"""Test prompts of a language, split by whether they can still be completed, and their shortest completions.

In distribution (ID): some completion satisfies all rules. Out of distribution (OOD): none does. Both the split and
the completions come from one search over the rules' automata.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rule_extrapolation.grammars import Grammar
from rule_extrapolation.rules import EOS, PAD, SOS, Rule, State

Prompt = tuple[int, ...]


class Prompts(NamedTuple):
    """Test prompts as tuples of content ids, without SOS: in and out of distribution, and the empty one."""

    id: list[Prompt]
    ood: list[Prompt]
    sos: list[Prompt]


def prompts(grammar: Grammar, length: int | None = None, max_length: int | None = None) -> Prompts:
    """The language's test prompts, split. Nothing is drawn and nothing occurs twice.

    Args:
        grammar: the language.
        length: of the prompts, as `grammar.prompt_candidates` counts it (default: grammar.prompt_length).
        max_length: the most symbols that prompt and completion may have together (default: no limit).

    Raises:
        ValueError: the language has no prompts of that length, or max_length leaves a prompt no room.
    """
    candidates = grammar.prompt_candidates(grammar.prompt_length if length is None else length)
    split = Prompts([], [], [()])
    for prompt in candidates:
        completion = grammatical_completion(grammar, prompt)
        (split.ood if completion is None else split.id).append(prompt)
        needed = len(prompt) + len(completion or ())
        if max_length is not None and needed > max_length:
            raise ValueError(
                f"{grammar.name}: max_length is {max_length}, the prompt {grammar.text(prompt)} takes {needed}"
            )
    return split


def framed(prompts: Sequence[Prompt]) -> tuple[Tensor, Tensor]:
    """Prompts as a model reads them: SOS, prompt, PAD ... (number, width), and their lengths with SOS (number,)."""
    lengths = [1 + len(prompt) for prompt in prompts]
    width = max(lengths, default=1)
    rows = [[SOS, *prompt] + [PAD] * (width - 1 - len(prompt)) for prompt in prompts]
    return torch.tensor(rows, dtype=torch.long).reshape(-1, width), torch.tensor(lengths, dtype=torch.long)


def grammatical_completion(grammar: Grammar, prompt: Prompt, room: int | None = None) -> Prompt | None:
    """The shortest completion that satisfies all rules, of at most `room` symbols; None where there is none.

    The search ends after 2n + 4 symbols, n being the prompt's length, whatever the room: None without `room` means
    that no completion of any length satisfies all rules. In the languages of this package a prompt that can be
    completed is completed by raising counts to at most the prompt's largest (two further symbols for each that
    stands there, in aNbNcN and aNbNaN), by closing what is open (one for each), or, for an odd or empty prompt, by
    a few symbols more; tests hold the bound against a longer search.
    """
    scored = [(grammar.rule_1, 0), (grammar.rule_2, 0)]
    bound = 2 * len(prompt) + 4
    return shortest_completion(scored, prompt, grammar.symbol_ids, bound if room is None else min(room, bound))


def oracle_completion(grammar: Grammar, prompt: Prompt, room: int) -> Prompt:
    """The best that can be done in at most `room` symbols: a shortest completion that satisfies all rules.

    Where none does, a shortest that satisfies rule 1 as a whole and rule_2_completion from where it looks on; where
    that is impossible too, the empty one.
    """
    completion = grammatical_completion(grammar, prompt, room)
    if completion is None:
        scored = [(grammar.rule_1, 0), (grammar.rule_2_completion, grammar.completion_from(len(prompt)))]
        completion = shortest_completion(scored, prompt, grammar.symbol_ids, room)
    return completion or ()


def oracle_sequences(grammar: Grammar, prompts: Sequence[Prompt], max_length: int) -> Tensor:
    """SOS, prompt, its oracle completion, EOS, PAD ...: (number, longest) int64.

    Args:
        grammar: the language.
        prompts: at least one.
        max_length: the most symbols in prompt and completion together, SOS and EOS not counted.
    """
    completed = [prompt + oracle_completion(grammar, prompt, max_length - len(prompt)) for prompt in prompts]
    return framed([(*string, EOS) for string in completed])[0]


def shortest_completion(
    scored: Sequence[tuple[Rule, int]], prompt: Prompt, symbols: Sequence[int], room: int
) -> Prompt | None:
    """The shortest completion of a prompt that satisfies some rules, by breadth-first search over their automata.

    Args:
        scored: rules, each with the position in prompt and completion from which it looks at them.
        prompt: content ids.
        symbols: ids that a completion may have; of equally short ones the first in this order is found.
        room: the most symbols that a completion may have.

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
    """The automaton's state after a prompt, None if it is dead."""
    state = rule.start
    for token in prompt:
        if state is None:
            return None
        state = rule.step(state, token)
    return state
