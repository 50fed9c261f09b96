"""Accuracy and distance of next-term predictions, by family, phase and number of terms read."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from seqlab.metrics import Totals
from seqlab.proportion import Proportion
from seqlab.randomness import row_hash
from sequences.curriculum import Samples
from sequences.families import FAMILIES, PHASE_OF, PHASES, family_shares
from sequences.family import MASKED, NUM_TERMS

# n sequences, L = 8 prefixes of each, m trials

NUM_PREFIXES = NUM_TERMS - 1
Row = dict[str, Proportion | float]


class NextTermMetrics(Totals):
    """Hits, distances and log-losses of the term after each prefix. Rules and families are weighed (`weights_of`).

    A prediction of MASKED means no prediction for this prefix (a baseline needs more terms) and is not counted.
    """

    hits: list[Tensor]
    known: list[Tensor]
    distance: list[Tensor]
    terms: list[Tensor]
    family: list[Tensor]
    rule: list[Tensor]
    frequency: list[Tensor]
    nats: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("hits", "known", "distance", *Samples._fields):
            self.add_state(name, default=[], dist_reduce_fx="cat")
        self.add_state("nats", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, samples: Samples, nats: Tensor | None = None) -> None:
        """Add a batch: predictions (n, 8) of terms 2 .. 9, the sequences, and log-losses in nats (n, 8)."""
        predictions, samples = predictions.cpu(), Samples(*(part.cpu() for part in samples))
        targets = samples.terms[:, 1:]
        known = (targets != MASKED) & (predictions != MASKED)
        self.hits.append((predictions == targets) & known)
        self.known.append(known)
        self.distance.append(torch.where(known, (predictions - targets).abs(), 0))
        for name, part in zip(Samples._fields, samples, strict=True):
            getattr(self, name).append(part)
        if nats is not None:
            self.nats += torch.where(known, nats.cpu().double(), 0.0).sum()

    def compute(self) -> Row:
        """All results, under names without the stage: accuracy, accuracy_by_family/arithmetic ..."""
        hits, known, distance = (dim_zero_cat(part) for part in (self.hits, self.known, self.distance))
        samples = Samples(*(dim_zero_cat(getattr(self, name)) for name in Samples._fields))
        results: Row = {}
        for part, chosen in parts_of(samples, known):
            if chosen.any():
                rows, places = chosen.nonzero(as_tuple=True)
                some = Samples(*(column[rows] for column in samples))
                results[f"accuracy{part}"] = proportion(hits[rows, places], some)
                results[f"distance{part}"] = float(weights_of(some) @ distance[rows, places].double())
                if not part:
                    right = hits[rows, places]
                    results["accuracy_macro"] = proportion(right, some, shares=torch.ones(len(FAMILIES)))
                    results["accuracy_mixture"] = proportion(right, some, by_frequency=True)
        if self.nats:
            results["cross_entropy"] = float(self.nats / known.sum())
        return dict(sorted(results.items(), key=lambda item: ("/" in item[0], item[0].split("/")[0])))


def parts_of(samples: Samples, known: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Suffix and targets (n, 8) of each part: the last term of each sequence (all, by phase, family), and by length."""
    place = torch.arange(NUM_PREFIXES)
    last = known & (place == (samples.terms[:, 1:] != MASKED).sum(1, keepdim=True) - 1)
    yield "", last
    for phase in PHASES:
        yield f"_by_phase/phase_{phase}", last & (PHASE_OF[samples.family] == phase).unsqueeze(1)
    for index, member in enumerate(FAMILIES):
        yield f"_by_family/{member.name}", last & (samples.family == index).unsqueeze(1)
    for length in range(NUM_PREFIXES):
        yield f"_by_length/{length + 1}", known & (place == length)


def weights_of(samples: Samples, shares: Tensor | None = None, *, by_frequency: bool = False) -> Tensor:
    """The weight of each sequence, (m,) float64; they add up to 1.

    A family has its share, which its rules have in equal parts, and the sequences of a rule in equal parts.

    Args:
        samples: the sequences.
        shares: of each family, (F,); by default those of the final mixture.
        by_frequency: rules have parts as training draws and keeps them, in place of equal ones.
    """
    shares = family_shares() if shares is None else shares.double()
    names, member, counts = _keys(samples).unique(return_inverse=True, return_counts=True)
    family = torch.zeros_like(names).scatter(0, member, samples.family)
    worth = torch.ones(len(names), dtype=torch.float64)
    if by_frequency:
        worth = worth.scatter(0, member, samples.frequency.double())
    worth = shares[family] * worth / family.bincount(weights=worth)[family]
    weights = (worth / counts)[member]
    return weights / weights.sum()


def _keys(samples: Samples) -> Tensor:
    """One number for each rule of each family, (m,)."""
    return samples.family * max(len(family.rules) for family in FAMILIES) + samples.rule


def proportion(
    hits: Tensor, samples: Samples, shares: Tensor | None = None, *, by_frequency: bool = False
) -> Proportion:
    """The proportion of hits (m,) by the weights of `weights_of`, with an interval that resamples rules in families."""
    weights = weights_of(samples, shares, by_frequency=by_frequency)
    return Proportion.weighted(hits, weights, clusters_of(samples), samples.family)


def clusters_of(samples: Samples) -> Tensor:
    """The cluster of each sequence, (n,) int64: the sequences of a rule; each by itself in families of one rule.

    A model that has found a rule is right about nearly all its sequences, so they are no independent trials.
    """
    single = torch.tensor([len(family.rules) == 1 for family in FAMILIES])[samples.family][:, None]
    terms = torch.where(single, samples.terms + 2, 0)
    return row_hash(torch.cat([_keys(samples)[:, None] + 1, terms], 1))


def exact_match(continuations: Tensor, truth: Tensor, samples: Samples) -> Row:
    """Proportions of continuations (n, 8) with all eight terms right, over rows with all true terms in 0 .. 255."""
    inside = ((truth >= 0) & (truth < 256)).all(1)
    right = (continuations == truth).all(1)
    parts = {"exact_match": inside}
    parts |= {f"exact_match_by_phase/phase_{n}": inside & (PHASE_OF[samples.family] == n) for n in PHASES}
    for index, member in enumerate(FAMILIES):
        parts[f"exact_match_by_family/{member.name}"] = inside & (samples.family == index)
    return {
        name: proportion(right[chosen], Samples(*(column[chosen] for column in samples)))
        for name, chosen in parts.items()
    }
