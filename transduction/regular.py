"""A regular expression becomes the smallest automaton with the same strings, within limits."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

MOST_SIGNS = 200  # of an expression
MOST_STATES = 200  # of an automaton
SIGNS = "()|*+?"


@dataclass(frozen=True)
class DFA:
    """A deterministic automaton, complete; it starts in state 0.

    Attributes:
        letters: the alphabet.
        moves: `moves[state][letter]` is the next state, by number.
        accepting: for each state, whether a string may end there.
        live: for each state, whether a string that may end can still follow.
    """

    letters: tuple[str, ...]
    moves: tuple[tuple[int, ...], ...]
    accepting: tuple[bool, ...]
    live: tuple[bool, ...]


@cache
def dfa_of(regex: str, alphabet: str = "") -> DFA:
    """The smallest complete automaton of a regular expression; states are numbered in the order of a search in breadth.

    Args:
        regex: letters and digits, ( ) | * + ? with their usual meanings; () is the empty string.
        alphabet: letters that strings may have beside those of the expression.

    Raises:
        ValueError: the expression cannot be read, is too long, or needs too many states; or every string or none is in.
    """
    shown = f"regex={regex[:MOST_SIGNS]}"
    if len(regex) > MOST_SIGNS:
        raise ValueError(f"regex has {len(regex)} signs; allowed: at most {MOST_SIGNS}")
    for sign in regex + alphabet:
        if not (sign.isascii() and sign.isalnum()) and (sign not in SIGNS or sign in alphabet):
            raise ValueError(f"{shown}: {sign!r} is not allowed; allowed: letters, digits and {' '.join(SIGNS)}")
    letters = tuple(sorted({sign for sign in regex + alphabet if sign not in SIGNS}))
    if not letters:
        raise ValueError(f"{shown} has no letter; allowed: one letter or digit at least")
    return _smallest(*_deterministic(regex, letters, shown), letters, shown)


def _deterministic(regex: str, letters: tuple[str, ...], shown: str) -> tuple[list[list[int]], set[int]]:
    """By the construction of subsets, which stops where there are too many: the moves, and the accepting states."""
    from automata.base.exceptions import RegexException
    from automata.fa.nfa import NFA

    try:
        nfa = NFA.from_regex(regex, input_symbols=set(letters))
    except (RegexException, RecursionError) as error:
        raise ValueError(f"{shown} is no regular expression; allowed: letters, digits and {' '.join(SIGNS)}") from error
    arrows: Mapping = nfa.transitions

    def closed(states: set) -> frozenset:
        found, open_ones = set(states), list(states)
        while open_ones:
            for state in arrows.get(open_ones.pop(), {}).get("", ()):
                if state not in found:
                    found.add(state)
                    open_ones.append(state)
        return frozenset(found)

    subsets = [closed({nfa.initial_state})]
    number, moves = {subsets[0]: 0}, []
    for subset in subsets:  # grows
        row = []
        for letter in letters:
            after = closed({end for state in subset for end in arrows.get(state, {}).get(letter, ())})
            row.append(number.setdefault(after, len(subsets)))
            if row[-1] == len(subsets):
                subsets.append(after)
        moves.append(row)
        if len(subsets) > 4 * MOST_STATES:
            raise ValueError(f"{shown} needs too many states; allowed: at most {MOST_STATES}")
    return moves, {index for index, subset in enumerate(subsets) if subset & nfa.final_states}


def _smallest(moves: list[list[int]], ends: set[int], letters: tuple[str, ...], shown: str) -> DFA:
    from automata.fa.dfa import DFA as Automaton

    large = Automaton(
        states=set(range(len(moves))),
        input_symbols=set(letters),
        transitions={state: dict(zip(letters, row, strict=True)) for state, row in enumerate(moves)},
        initial_state=0,
        final_states=ends,
    )
    small = large.minify().to_complete()
    order = [small.initial_state]
    for state in order:  # grows
        for letter in letters:
            if (after := small.transitions[state][letter]) not in order:
                order.append(after)
    if len(order) == 1:
        every = small.initial_state in small.final_states
        raise ValueError(
            f"{shown}: {'every string' if every else 'no string'} of {' '.join(letters)} is in: no question"
        )
    if len(order) > MOST_STATES:
        raise ValueError(f"{shown} needs {len(order)} states; allowed: at most {MOST_STATES}")
    number = {state: index for index, state in enumerate(order)}
    rows = tuple(tuple(number[small.transitions[state][letter]] for letter in letters) for state in order)
    accepting = tuple(state in small.final_states for state in order)
    return DFA(letters, rows, accepting, _live(rows, accepting))


def _live(moves: tuple[tuple[int, ...], ...], accepting: tuple[bool, ...]) -> tuple[bool, ...]:
    live = accepting
    for _ in moves:
        live = tuple(live[state] or any(live[after] for after in row) for state, row in enumerate(moves))
    return live
