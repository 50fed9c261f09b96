"""Completes one prompt of a language with a model."""

from rule_extrapolation.grammars import Grammar
from rule_extrapolation.prompts import framed
from rule_extrapolation.rules import EOS
from seqlab.decode import greedy
from seqlab.model import SequenceModel, device_of


def complete(model: SequenceModel, prompt: str, grammar: Grammar, *, max_length: int = 32) -> str:
    """The prompt with the model's greedy completion, without blanks.

    Args:
        model: a token model with the ids of the grammar (`GrammarDataModule.spec`).
        prompt: symbols of the language; may be empty. Spaces are ignored.
        grammar: the language.
        max_length: maximum number of symbols in prompt and completion together. A string that long has not ended.

    Raises:
        ValueError: a character is not a symbol of the language, the prompt is too long, or the model is of another
            vocabulary.
    """
    if model.spec.output.width != grammar.vocabulary_size:
        raise ValueError(
            f"the model has {model.spec.output.width} classes, and {grammar.name} has {grammar.vocabulary_size} symbols"
        )
    symbols = grammar.parse(prompt)
    if len(symbols) > max_length:
        raise ValueError(f"the prompt has {len(symbols)} symbols, at most {max_length} are allowed")
    tokens, lengths = (part.to(device_of(model)) for part in framed([tuple(symbols)]))
    string = greedy(model, tokens, lengths, max_length=max_length + 1).tokens[0, 1:].tolist()
    return grammar.text(string[: string.index(EOS)] if EOS in string else string)
