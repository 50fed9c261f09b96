"""Metrics of predicted factors: beta_k, accuracy per bit, distinct outputs, exact answers by factor."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from factorization.bits import to_bits
from seqlab.metrics import Totals
from seqlab.proportion import Proportion

Result = Proportion | float
LARGER_FACTORS = ((17, 31), (37, 61), (67, 97), (101, 127), (131, 251), (257, 509), (521, 1021), (1031, None))


class BetaBitError(Totals):
    """beta_k: the proportion of predictions with at most k wrong bits, k = 0 .. num_bits. beta_0 is exact answers.

    It works standalone: call `metric.update(predicted, factors)`; then `metric.compute()` returns [beta_0, beta_1, ...]
    as Proportions. Its state counts the predictions by number of wrong bits.

    Args:
        num_bits: number of lowest bits to compare.
        sync_on_compute: as in seqlab.metrics.Totals.

    >>> metric = BetaBitError(num_bits=3)
    >>> metric.update(torch.tensor([0b101, 0b011]), torch.tensor([0b101, 0b000]))
    >>> [beta.value for beta in metric.compute()]
    [0.5, 0.5, 1.0, 1.0]
    """

    wrong: Tensor
    correct_bits: Tensor

    def __init__(self, *, num_bits: int, sync_on_compute: bool = False):
        super().__init__(sync_on_compute=sync_on_compute)
        self.num_bits = num_bits
        self.add_state("wrong", torch.zeros(num_bits + 1, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("correct_bits", torch.zeros(num_bits, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, factors: Tensor) -> None:
        """Add a batch: predicted and true factors, (batch,) int64."""
        equal = to_bits(predicted.cpu(), self.num_bits) == to_bits(factors.cpu(), self.num_bits)
        self.wrong += torch.bincount((~equal).sum(1), minlength=self.num_bits + 1)
        self.correct_bits += equal.sum(0)

    def compute(self) -> list[Proportion]:
        """[beta_0, ..., beta_num_bits]."""
        trials = int(self.wrong.sum())
        return [Proportion(int(hits), trials) for hits in self.wrong.cumsum(0)]

    def bit_accuracies(self) -> list[Proportion]:
        """The accuracy of each bit, most significant first."""
        trials = int(self.wrong.sum())
        return [Proportion(int(hits), trials) for hits in self.correct_bits]


class DistinctOutputs(Totals):
    """The number of distinct factors that a model predicts: 1 for a constant.

    Args:
        sync_on_compute: as in seqlab.metrics.Totals.

    >>> metric = DistinctOutputs()
    >>> metric.update(torch.tensor([45, 45, 47]))
    >>> metric.compute()
    2
    """

    seen: list[Tensor]

    def __init__(self, *, sync_on_compute: bool = False):
        super().__init__(sync_on_compute=sync_on_compute)
        self.add_state("seen", default=[], dist_reduce_fx="cat")

    def update(self, predicted: Tensor) -> None:
        """Add a batch of predicted factors, (batch,) int64."""
        self.seen.append(torch.unique(predicted.cpu()))

    def compute(self) -> int:
        """The number of distinct factors so far."""
        return len(torch.unique(dim_zero_cat(self.seen))) if len(self.seen) else 0


def beta_results(stage: str, predicted: Tensor, factors: Tensor, num_bits: int) -> dict[str, Result]:
    """{stage/beta_0: Proportion, ..., stage/distinct_outputs: number}."""
    beta, outputs = BetaBitError(num_bits=num_bits), DistinctOutputs()
    beta.update(predicted, factors)
    outputs.update(predicted)
    results: dict[str, Result] = {f"{stage}/beta_{k}": value for k, value in enumerate(beta.compute())}
    return results | {f"{stage}/distinct_outputs": float(outputs.compute())}


def detailed_results(
    predicted: Tensor, factors: Tensor, num_bits: int, slices: Mapping[str, Tensor], split: str = "test"
) -> dict[str, Result]:
    """Every metric of predicted factors.

    Args:
        predicted, factors: (count,) int64.
        num_bits: bits of a factor.
        slices: {name: (count,) mask}, parts of the split that get their own beta_k.
        split: prefix of the names.

    Returns:
        test/beta_k and test/distinct_outputs; test/NAME/beta_k for each slice; test/bit/1, 2 ... for each bit, most
        significant first; test/by_factor/2 or /17_31: exact answers for numbers whose smaller factor is that prime or
        in that range.
    """
    results = beta_results(split, predicted, factors, num_bits)
    for name, mask in slices.items():
        metric = BetaBitError(num_bits=num_bits)
        metric.update(predicted[mask], factors[mask])
        results |= {f"{split}/{name}/beta_{k}": value for k, value in enumerate(metric.compute())}
    metric = BetaBitError(num_bits=num_bits)
    metric.update(predicted, factors)
    results |= {f"{split}/bit/{place}": row for place, row in enumerate(metric.bit_accuracies(), start=1)}
    for name, mask in by_factor(factors).items():
        results[f"{split}/by_factor/{name}"] = Proportion(
            int((predicted[mask] == factors[mask]).sum()), int(mask.sum())
        )
    return results


def by_factor(factors: Tensor) -> dict[str, Tensor]:
    """Masks by smaller factor, {"2": mask, "3": mask, ..., "17_31": mask ...}: primes up to 13, then octaves.

    Empty groups are omitted.

    >>> {name: mask.tolist() for name, mask in by_factor(torch.tensor([2, 19, 2])).items()}
    {'2': [True, False, True], '17_31': [False, True, False]}
    """
    masks = {str(prime): factors == prime for prime in (2, 3, 5, 7, 11, 13)}
    for low, high in LARGER_FACTORS:
        name = f"{low}_{high}" if high else f"{low}_up"
        masks[name] = (factors >= low) & (factors <= (high or torch.iinfo(torch.int64).max))
    return {name: mask for name, mask in masks.items() if bool(mask.any())}
