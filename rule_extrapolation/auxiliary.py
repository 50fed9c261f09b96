"""A second training loss on OOD prompts: the likelihood of completions that keep rule 1, or of those that just miss it.

So rule extrapolation can be trained in, or out, while the strings of the language are learned as well as before: what a
model does out of distribution does not follow from its loss in distribution (Reizinger et al. 2024, "Position:
Understanding LLMs Requires More Than Statistical Generalization", section 4).
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from rule_extrapolation.grammars import Grammar
from rule_extrapolation.prompts import Prompt, framed, oracle_completion
from rule_extrapolation.rules import EOS, PAD
from seqlab.model import SequenceModel, device_of, precise


class AuxiliaryLoss:
    """The mean cross-entropy of chosen completions of prompts, in nats per token of a completion, EOS included.

    Args:
        grammar: the language.
        prompts: out of distribution, content ids.
        kind: `oracle`: a shortest completion that keeps rule 1 and what rule 2 asks of a completion. `adversarial`:
            the same and one symbol more, which breaks rule 1.
        max_length: the maximum number of symbols in prompt and completion together.

    Attributes:
        strings: (number, time) int64: SOS, prompt, completion, EOS, PAD ...
        scored: (number, time - 1) bool, the targets that belong to a completion.

    Raises:
        ValueError: no prompt has such a completion.
    """

    def __init__(
        self, grammar: Grammar, prompts: Sequence[Prompt], kind: Literal["adversarial", "oracle"], max_length: int
    ):
        choose = oracle if kind == "oracle" else adversarial
        found = [(prompt, choose(grammar, prompt, max_length - len(prompt))) for prompt in prompts]
        chosen = [(prompt, completion) for prompt, completion in found if completion is not None]
        if not chosen:
            raise ValueError(f"task.auxiliary={kind}: no OOD prompt of {grammar.name} has such a completion")
        self.strings, _ = framed([(*prompt, *completion, EOS) for prompt, completion in chosen])
        starts = torch.tensor([len(prompt) for prompt, _ in chosen])
        targets = self.strings[:, 1:]
        self.scored = (targets != PAD) & (torch.arange(targets.shape[1]) >= starts[:, None])

    def __call__(self, model: SequenceModel) -> Tensor:
        """The loss of a model, a scalar. It reads every prompt with its completion."""
        strings, scored = (part.to(device_of(model)) for part in (self.strings, self.scored))
        targets = strings[:, 1:]
        real = targets != PAD
        logits = model.packed(strings[:, :-1], real.sum(1))
        return cross_entropy(precise(logits[scored[real]]), targets[scored])


def oracle(grammar: Grammar, prompt: Prompt, room: int) -> Prompt | None:
    """A shortest completion that keeps rule 1 and rule_2_completion, of at most `room` symbols; None without one."""
    completion = oracle_completion(grammar, prompt, room)
    return completion if _keeps_rule_1(grammar, (*prompt, *completion)) else None


def adversarial(grammar: Grammar, prompt: Prompt, room: int) -> Prompt | None:
    """`oracle` and one symbol more that breaks rule 1, one that keeps rule_2_completion if there is; None without."""
    kept = oracle(grammar, prompt, room - 1)
    if kept is None:
        return None
    start = grammar.completion_from(len(prompt))
    broken = []
    for symbol in (*kept[-1:], *reversed(grammar.symbol_ids)):
        string = (*prompt, *kept, symbol)
        if not _keeps_rule_1(grammar, string):
            keeps_rule_2 = bool(grammar.rule_2_completion(torch.tensor([[*string[start:], EOS]])))
            broken.append((not keeps_rule_2, (*kept, symbol)))
    return min(broken, key=lambda item: item[0])[1] if broken else None


def _keeps_rule_1(grammar: Grammar, string: Prompt) -> bool:
    return bool(grammar.rule_1(torch.tensor([[*string, EOS]])))
