"""Metrics of completions: the proportion that satisfies each rule, and next-token loss and accuracy."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from rule_extrapolation.grammars import Grammar
from rule_extrapolation.prompts import Prompt
from rule_extrapolation.rules import EOS, PAD
from seqlab.decode import Decoded
from seqlab.metrics import Totals
from seqlab.model import SequenceModel, precise
from seqlab.proportion import Proportion

NAMES = ("rule_1", "rule_2", "rule_2_completion", "rule_1_and_rule_2_completion", "grammatical", "finished")


def after(strings: Tensor, starts: Tensor) -> Tensor:
    """The part of row b from starts[b] on, (batch, time), padded with EOS."""
    place = torch.arange(strings.shape[1], device=strings.device) + starts[:, None]
    inside = place < strings.shape[1]
    return strings.gather(1, place.clamp(max=strings.shape[1] - 1)).where(inside, EOS)


def score(grammar: Grammar, strings: Tensor, finished: Tensor, prompt_lengths: Tensor) -> Tensor:
    """Which properties each string has, (batch, 6) bool in the order of NAMES.

    Args:
        grammar: the language.
        strings: (batch, time) ids after SOS: prompt, completion, and EOS if the string is finished. An unfinished
            string is scored as is.
        finished: (batch,) whether EOS was generated.
        prompt_lengths: (batch,) symbols in the prompt, without SOS.
    """
    starts = prompt_lengths
    if grammar.completion_start is not None:
        starts = starts.clamp(max=grammar.completion_start)
    rule_1, rule_2 = grammar.rule_1(strings), grammar.rule_2(strings)
    completion = grammar.rule_2_completion(after(strings, starts))
    return torch.stack([rule_1, rule_2, completion, rule_1 & completion, rule_1 & rule_2, finished], dim=1)


class RuleProportions(Totals):
    """The proportion of completions that satisfy each rule, over all prompts and over finished completions.

    It works standalone: call `metric.update(strings, finished, prompt_lengths)` with the arguments of `score`. Then
    `metric.compute()` returns {name: Proportion}, with the prefix "finished_only/" for finished completions.
    """

    satisfied: Tensor
    satisfied_finished: Tensor
    count: Tensor
    count_finished: Tensor

    def __init__(self, grammar: Grammar):
        super().__init__()
        self.grammar = grammar
        for name, size in (("satisfied", 6), ("satisfied_finished", 6), ("count", 1), ("count_finished", 1)):
            self.add_state(name, torch.zeros(size, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, strings: Tensor, finished: Tensor, prompt_lengths: Tensor) -> None:
        """Add a batch."""
        strings, finished = strings.cpu(), finished.cpu()
        holds = score(self.grammar, strings, finished, prompt_lengths.cpu())
        self.satisfied += holds.sum(0)
        self.satisfied_finished += (holds & finished[:, None]).sum(0)
        self.count += len(strings)
        self.count_finished += finished.sum()

    def compute(self) -> dict[str, Proportion]:
        """{name: Proportion} over all prompts, {"finished_only/name": Proportion} over finished completions."""
        everything = _proportions("", self.satisfied, self.count)
        return everything | _proportions("finished_only/", self.satisfied_finished, self.count_finished)


def _proportions(prefix: str, hits: Tensor, count: Tensor) -> dict[str, Proportion]:
    return {prefix + name: Proportion(int(hit), int(count)) for name, hit in zip(NAMES, hits, strict=True)}


def named(group: str, proportions: dict[str, Proportion]) -> dict[str, Proportion]:
    """The proportions of a set of prompts under their logged names: group/rule_1, group_finished/rule_1, ..."""
    names = {name: f"{group}/{name}" for name in NAMES}
    names |= {f"finished_only/{name}": f"{group}_finished/{name}" for name in NAMES}
    return {names[name]: proportion for name, proportion in proportions.items()}


def rule_results(
    grammar: Grammar, prompts: dict[str, list[Prompt]], stage: str, decoded: Decoded, repeats: int = 1
) -> dict[str, Proportion]:
    """The proportions of each set of prompts under their logged names: stage/ood/rule_1, stage/ood_finished/rule_1 ...

    Args:
        grammar: the language.
        prompts: {"id": [...], "ood": [...], "sos": [...]}.
        stage: the first part of the names.
        decoded: completions of all prompts in this order, `repeats` consecutive rows per prompt.
        repeats: completions per prompt.
    """
    results: dict[str, Proportion] = {}
    row = 0
    for group, members in prompts.items():
        lengths = torch.tensor([len(prompt) for prompt in members for _ in range(repeats)], dtype=torch.long)
        rows = slice(row, row + len(lengths))
        metric = RuleProportions(grammar)
        metric.update(decoded.tokens[rows, 1:], decoded.finished[rows], lengths)
        results |= named(f"{stage}/{group}", metric.compute())
        row = rows.stop
    return results


def token_loss(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean cross-entropy in nats and next-token accuracy over real targets, and the number of real targets.

    EOS is a target, PAD is not: a model could lower a loss over PAD by learning to predict PAD.

    Args:
        logits: (..., vocabulary), of every step or of the real ones alone.
        targets: (...) ids.
    """
    real = targets != PAD
    loss = cross_entropy(precise(logits).flatten(0, -2), targets.flatten(), ignore_index=PAD)
    correct = ((logits.argmax(-1) == targets) & real).sum()
    count = int(real.sum())
    return loss, correct / count, count


def model_loss(model: SequenceModel, strings: Tensor) -> tuple[Tensor, Tensor, int]:
    """`token_loss` of a model on framed strings (batch, time); it reads real steps alone."""
    targets = strings[:, 1:]
    real = targets != PAD
    return token_loss(model.packed(strings[:, :-1], real.sum(1)), targets[real])
