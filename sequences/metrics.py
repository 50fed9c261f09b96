"""Accuracy and distance of next-term predictions, by family, phase and number of terms read."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.metrics import Totals
from seqlab.proportion import Proportion
from sequences.curriculum import FAMILIES, PHASES
from sequences.family import MASKED, NUM_TERMS

# n sequences, L = 8 prefixes of each, F families

NUM_PREFIXES = NUM_TERMS - 1
Row = dict[str, Proportion | float]


class NextTermMetrics(Totals):
    """Hits, distances and log-losses of the term after each prefix, summed by family and prefix length.

    A prediction of MASKED means no prediction for this prefix (a baseline needs more terms) and is not counted.
    """

    hits: Tensor
    trials: Tensor
    distance: Tensor
    nats: Tensor
    final_hits: Tensor
    final_trials: Tensor
    final_distance: Tensor

    def __init__(self) -> None:
        super().__init__()
        shape = (len(FAMILIES), NUM_PREFIXES)
        for name in ("hits", "trials", "distance", "nats"):
            self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")
        for name in ("final_hits", "final_trials", "final_distance"):
            self.add_state(name, torch.zeros(shape[0], dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, terms: Tensor, family: Tensor, nats: Tensor | None = None) -> None:
        """Add a batch: predictions (n, 8) of terms 2 .. 9, terms (n, 9), family (n,), log-losses in nats (n, 8)."""
        predictions, terms, family = predictions.cpu(), terms.cpu(), family.cpu()
        targets = terms[:, 1:]
        known = (targets != MASKED) & (predictions != MASKED)
        hit = (predictions == targets) & known
        off = torch.where(known, (predictions - targets).abs(), 0)
        final = known & (torch.arange(NUM_PREFIXES) == (targets != MASKED).sum(1, keepdim=True) - 1)
        for state, values in (("hits", hit), ("trials", known), ("distance", off)):
            getattr(self, state).index_add_(0, family, values.double())
        for state, values in (("final_hits", hit), ("final_trials", known), ("final_distance", off)):
            getattr(self, state).index_add_(0, family, (values * final).sum(1).double())
        if nats is not None:
            self.nats.index_add_(0, family, torch.where(known, nats.cpu().double(), 0.0))

    def compute(self) -> Row:
        """All results, under names without the stage: accuracy, accuracy_by_family/arithmetic ..."""
        results: Row = {}
        for part, chosen in self._parts():
            trials = chosen.trials.sum()
            if trials:
                results[f"accuracy{part}"] = Proportion(int(chosen.hits.sum()), int(trials))
                results[f"distance{part}"] = float(chosen.distance.sum() / trials)
        if self.nats.any():
            results["cross_entropy"] = float(self.nats.sum() / self.trials.sum())
        return dict(sorted(results.items(), key=lambda item: ("/" in item[0], item[0].split("/")[0])))

    def _parts(self) -> Iterator[tuple[str, "Sums"]]:
        """Name suffix and sums of each part: after eight terms (all, by phase), last term by family, by length."""
        eight = Sums(self.hits[:, -1], self.trials[:, -1], self.distance[:, -1])
        yield "", eight
        for phase in PHASES:
            members = [i for i, family in enumerate(FAMILIES) if family.phase == phase]
            yield f"_by_phase/phase_{phase}", Sums(*(values[members] for values in eight))
        for index, family in enumerate(FAMILIES):
            final = (self.final_hits[index], self.final_trials[index], self.final_distance[index])
            yield f"_by_family/{family.name}", Sums(*final)
        for place in range(NUM_PREFIXES):
            yield f"_by_length/{place + 1}", Sums(self.hits[:, place], self.trials[:, place], self.distance[:, place])


class Sums(NamedTuple):
    """Hits, trials and summed distance of some predictions."""

    hits: Tensor
    trials: Tensor
    distance: Tensor


def exact_match(continuations: Tensor, truth: Tensor, family: Tensor) -> Row:
    """Proportions of continuations (n, 8) with all eight terms right, over rows with all true terms in 0 .. 255."""
    inside = ((truth >= 0) & (truth < 256)).all(1)
    right = (continuations == truth).all(1) & inside
    phases = torch.tensor([member.phase for member in FAMILIES])[family]
    results: Row = {"exact_match": Proportion(int(right.sum()), int(inside.sum()))}
    for phase in PHASES:
        chosen = phases == phase
        results[f"exact_match_by_phase/phase_{phase}"] = Proportion(
            int((right & chosen).sum()), int((inside & chosen).sum())
        )
    for index, member in enumerate(FAMILIES):
        chosen = family == index
        results[f"exact_match_by_family/{member.name}"] = Proportion(
            int((right & chosen).sum()), int((inside & chosen).sum())
        )
    return results
