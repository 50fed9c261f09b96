"""The baselines of a run: chance, exactly, and four models that have learnt nothing, through the same metrics."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from rule_extrapolation.baselines import EndAtOnce, NGram, Oracle, Uniform, chance
from rule_extrapolation.datamodule import GrammarDataModule
from rule_extrapolation.metrics import rule_results, token_loss
from rule_extrapolation.prompts import Prompt, framed, oracle_sequences
from seqlab.attempts import Attempts
from seqlab.decode import greedy, sample
from seqlab.model import SequenceModel
from seqlab.randomness import derived_seed
from seqlab.share import Share

NUM_UNIFORM_DRAWS = 1000
NUM_NGRAM_STRINGS = 8192

Rows = dict[str, Share | float]


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
    strings: Tensor = torch.cat(list(data.test_dataloader()))
    loss, accuracy, _ = token_loss(model(strings[:, :-1]), strings[:, 1:])
    accuracy_result: Rows = {"test/accuracy": float(accuracy)}
    return accuracy_result | ({"test/loss": float(loss)} if torch.isfinite(loss) else {})
