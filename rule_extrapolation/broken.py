"""Where a string breaks the rules of its language."""

from collections.abc import Iterator, Sequence
from typing import TypedDict

from rule_extrapolation.grammars import Grammar
from rule_extrapolation.rules import EOS, Rule


class Broken(TypedDict):
    """A rule, in words, and the character of the text at which it breaks."""

    rule: str
    at: int


def before_end(symbols: list[int]) -> list[int]:
    """The ids before the first EOS. The model itself generated any PAD among them."""
    return symbols[: symbols.index(EOS)] if EOS in symbols else symbols


def broken(grammar: Grammar, symbols: Sequence[int]) -> list[Broken]:
    """The rules that a string breaks, with the place of each: the first symbol that its automaton refuses.

    A rule that no symbol breaks but that does not hold at the end breaks at the length of the text.

    Args:
        grammar: the language.
        symbols: ids before the first EOS.

    >>> from rule_extrapolation.dyck import Dyck
    >>> [(found["rule"], found["at"]) for found in broken(Dyck(), Dyck().parse("[[)"))]
    [('brackets are matched', 3), ('parentheses are matched, and inside each pair of them brackets balance', 2)]
    """
    return [{"rule": words, "at": len(grammar.text(symbols[:place]))} for _, words, place in breaks(grammar, symbols)]


def breaks(grammar: Grammar, symbols: Sequence[int]) -> Iterator[tuple[int, str, int]]:
    """Each rule that a string breaks: its number, what it says, and the index of the symbol as in `break_of`."""
    rules = ((grammar.rule_1, grammar.rule_1_description), (grammar.rule_2, grammar.rule_2_description))
    for number, (rule, words) in enumerate(rules, 1):
        if (place := break_of(rule, symbols)) is not None:
            yield number, words, place


def break_of(rule: Rule, symbols: Sequence[int]) -> int | None:
    """The index of the first symbol that a rule refuses; the number of symbols if only the end does; None if none."""
    state = rule.start
    for place, symbol in enumerate(symbols):
        state = rule.step(state, symbol)
        if state is None:
            return place
    return None if rule.accepts(state) else len(symbols)
