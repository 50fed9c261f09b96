"""One prompt of a language, looked at closely: the model's steps, completions with their faults, the rules left."""

from collections.abc import Mapping, Sequence

import torch

from rule_extrapolation.broken import breaks
from rule_extrapolation.following import Following
from rule_extrapolation.grammars import Grammar
from rule_extrapolation.prompts import Prompt, framed, oracle_completion
from rule_extrapolation.rules import EOS, FIRST_SYMBOL, PAD, SOS, Anything, Rule
from seqlab.answers import Answer, Fault, Sampling, Steps
from seqlab.decode import Decoded, decode
from seqlab.model import SequenceModel, device_of, evaluating, precise

EMPTY, END = "(start)", "(end)"
NAMES = {SOS: EMPTY, EOS: END, PAD: "(pad)"}
WHOLE = "all rules together"


def named_rules(grammar: Grammar) -> dict[str, Rule]:
    """The rules of a language by what they say; the second one only if there is one."""
    first = {_named(1, grammar.rule_1_description): grammar.rule_1}
    if isinstance(grammar.rule_2, Anything):
        return first
    return first | {_named(2, grammar.rule_2_description): grammar.rule_2, WHOLE: grammar.grammatical}


def steps(model: SequenceModel, grammar: Grammar, prompt: Prompt, room: int) -> Steps:
    """P(next symbol) after the start and after each symbol of a prompt; special tokens come last.

    Args:
        model: a token model of the language.
        grammar: the language.
        prompt: content ids.
        room: the number of steps that the model can read.
    """
    with evaluating(model):
        inputs = framed([prompt])[0].to(device_of(model))
        logits, _ = model.prefill(inputs, model.init_state(1, room))
        probabilities = precise(logits[0]).softmax(-1).cpu()
    order = [*grammar.symbol_ids, EOS, SOS, PAD]
    names = [NAMES.get(token) or grammar.text([token]) for token in order]
    return Steps([EMPTY, *(grammar.text([symbol]) for symbol in prompt)], names, probabilities[:, order])


def answers(
    model: SequenceModel, grammar: Grammar, prompt: Prompt, max_length: int, sampling: Sampling
) -> list[Answer]:
    """Completions of a prompt, each with the rules that it breaks and where.

    Args:
        model: a token model of the language.
        grammar: the language.
        prompt: content ids.
        max_length: the maximum number of symbols in prompt and completion together.
        sampling: how, and how many.
    """
    tokens, lengths = (part.to(device_of(model)) for part in framed([prompt] * sampling.number))
    decoded = decode(model, tokens, lengths, max_length=max_length + 1, choose=sampling.chooser(prompt))
    return [answer(grammar, prompt, decoded, row, max_length) for row in range(sampling.number)]


def answer(grammar: Grammar, prompt: Prompt, decoded: Decoded, row: int, max_length: int) -> Answer:
    """One row of some completions of a prompt, with its faults."""
    symbols = decoded.tokens[row, 1:].tolist()
    if EOS in symbols:  # the model itself generated any PAD before EOS, or in a string without EOS
        symbols = symbols[: symbols.index(EOS)]
    note = "" if decoded.finished[row] else f"not finished within {max_length} symbols"
    names = [NAMES.get(token) or grammar.text([token]) for token in symbols]
    found = faults(grammar, symbols, ended=bool(decoded.finished[row]))
    return Answer(names[: len(prompt)], names[len(prompt) :], "", found, note)


def faults(grammar: Grammar, symbols: Sequence[int], *, ended: bool) -> list[Fault]:
    """Where a string breaks each rule: at the first symbol that its automaton refuses, or by ending.

    Args:
        grammar: the language.
        symbols: ids after SOS, without EOS.
        ended: whether the string ends there. One that was cut breaks no rule by ending.
    """
    return [
        Fault(place, f"breaks {_named(number, words)}")
        for number, words, place in breaks(grammar, symbols)
        if ended or place < len(symbols)
    ]


def _named(number: int, words: str) -> str:
    return f"rule {number}: {words}"


def possible(grammar: Grammar, rule: Rule, symbols: Sequence[int]) -> list[bool]:
    """Whether some completion of any length keeps a rule, after the start and after each symbol of a string."""
    content = next((place for place, token in enumerate(symbols) if token < FIRST_SYMBOL), len(symbols))
    search = Following(rule, grammar.symbol_ids)
    left = [any(after) for after in search(list(symbols[:content]))]
    return [True, *left, *[False] * (len(symbols) - content)]


def rules_left(grammar: Grammar, prompt: Prompt) -> Mapping[str, Sequence[bool]]:
    """Which rules can still be kept after the start and after each symbol of a prompt."""
    return {words: possible(grammar, rule, prompt) for words, rule in named_rules(grammar).items()}


def best(grammar: Grammar, prompt: Prompt, max_length: int) -> str:
    """The completion of the oracle, and whether it puts the string into the language."""
    completion = oracle_completion(grammar, prompt, max_length - len(prompt))
    inside = bool(grammar.grammatical(torch.tensor([[*prompt, *completion, EOS]])))
    text = grammar.text(completion) or "(ends at once)"
    return text if inside else f"{text}   (no completion of {max_length} symbols keeps all rules)"
