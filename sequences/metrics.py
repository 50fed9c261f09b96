"""Accuracy and distance of next-term predictions, by family, phase and number of terms read."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from seqlab.metrics import Totals
from seqlab.proportion import Proportion
from seqlab.randomness import row_hash
from sequences.curriculum import FAMILIES, PHASES, Samples
from sequences.family import MASKED, NUM_TERMS

# n sequences, L = 8 prefixes of each

NUM_PREFIXES = NUM_TERMS - 1
Row = dict[str, Proportion | float]
PHASE_OF = torch.tensor([family.phase for family in FAMILIES])


class NextTermMetrics(Totals):
    """Hits, distances and log-losses of the term after each prefix. The intervals know how sequences cluster.

    A prediction of MASKED means no prediction for this prefix (a baseline needs more terms) and is not counted.
    """

    hits: list[Tensor]
    known: list[Tensor]
    last: list[Tensor]
    distance: list[Tensor]
    family: list[Tensor]
    clusters: list[Tensor]
    nats: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("hits", "known", "last", "distance", "family", "clusters"):
            self.add_state(name, default=[], dist_reduce_fx="cat")
        self.add_state("nats", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, samples: Samples, nats: Tensor | None = None) -> None:
        """Add a batch: predictions (n, 8) of terms 2 .. 9, the sequences, and log-losses in nats (n, 8)."""
        predictions, samples = predictions.cpu(), Samples(*(part.cpu() for part in samples))
        targets = samples.terms[:, 1:]
        known = (targets != MASKED) & (predictions != MASKED)
        self.hits.append((predictions == targets) & known)
        self.known.append(known)
        self.last.append(torch.arange(NUM_PREFIXES) == (targets != MASKED).sum(1, keepdim=True) - 1)
        self.distance.append(torch.where(known, (predictions - targets).abs(), 0))
        self.family.append(samples.family)
        self.clusters.append(clusters_of(samples))
        if nats is not None:
            self.nats += torch.where(known, nats.cpu().double(), 0.0).sum()

    def compute(self) -> Row:
        """All results, under names without the stage: accuracy, accuracy_by_family/arithmetic ..."""
        hits, known, distance = (dim_zero_cat(part) for part in (self.hits, self.known, self.distance))
        clusters = dim_zero_cat(self.clusters)[:, None].expand_as(known)
        results: Row = {}
        for part, chosen in self._parts(known):
            if chosen.any():
                results[f"accuracy{part}"] = Proportion.clustered(hits[chosen], clusters[chosen])
                results[f"distance{part}"] = float(distance[chosen].double().mean())
        if self.nats:
            results["cross_entropy"] = float(self.nats / known.sum())
        return dict(sorted(results.items(), key=lambda item: ("/" in item[0], item[0].split("/")[0])))

    def _parts(self, known: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Suffix and targets (n, 8) of each part: the ninth term (all, by phase), the last by family, by length."""
        family = dim_zero_cat(self.family)[:, None]
        place = torch.arange(NUM_PREFIXES)
        ninth = known & (place == NUM_PREFIXES - 1)
        yield "", ninth
        for phase in PHASES:
            yield f"_by_phase/phase_{phase}", ninth & (PHASE_OF[family] == phase)
        last = known & dim_zero_cat(self.last)
        for index, member in enumerate(FAMILIES):
            yield f"_by_family/{member.name}", last & (family == index)
        for length in range(NUM_PREFIXES):
            yield f"_by_length/{length + 1}", known & (place == length)


def clusters_of(samples: Samples) -> Tensor:
    """The cluster of each sequence, (n,) int64: what was held out of training as one.

    The sequences of a rule, in families that hold out rules; equal sequences of a family, in the others. A model that
    has found a rule is right about nearly all its sequences, so they are no independent trials.
    """
    holds_out = torch.tensor([family.holds_out_rules for family in FAMILIES])[samples.family][:, None]
    rule = torch.where(holds_out, samples.rule[:, None] + 1, 0)
    terms = torch.where(holds_out, 0, samples.terms + 2)
    return row_hash(torch.cat([samples.family[:, None] + 1, rule, terms], 1))


def exact_match(continuations: Tensor, truth: Tensor, samples: Samples) -> Row:
    """Proportions of continuations (n, 8) with all eight terms right, over rows with all true terms in 0 .. 255."""
    inside = ((truth >= 0) & (truth < 256)).all(1)
    right = (continuations == truth).all(1)
    clusters = clusters_of(samples)
    parts = {"exact_match": inside}
    parts |= {f"exact_match_by_phase/phase_{n}": inside & (PHASE_OF[samples.family] == n) for n in PHASES}
    for index, member in enumerate(FAMILIES):
        parts[f"exact_match_by_family/{member.name}"] = inside & (samples.family == index)
    return {name: Proportion.clustered(right[chosen], clusters[chosen]) for name, chosen in parts.items()}
