"""Scores of answers: the last one, every one, the whole string; for bins of lengths; and the horizon."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from torch import Tensor

from seqlab.proportion import Proportion
from transduction.problem import Drawn

READOUTS = ("last", "every", "whole")
HORIZON = 0.9  # of last answers, or of strings


class Scored(NamedTuple):
    """Right answers to strings of one length: `last` and `whole` count strings, `every` counts answers."""

    last: Proportion
    every: Proportion
    whole: Proportion


def scored(answers: Tensor, batch: Drawn) -> Scored:
    """Score answers, as `Drawn.targets` has them, to the strings of a batch. A set is right where all of it is."""
    due = batch.mask[0]
    right = (answers == batch.targets).view(*batch.mask.shape, -1).all(2)[:, due]
    return Scored(Proportion.of(right[:, -1]), Proportion.of(right), Proportion.of(right.all(1)))


def results(
    split: str,
    bins: Mapping[str, Sequence[int]],
    lengths: Sequence[int],
    scores: Sequence[Scored | None],
    decisive: Literal["last", "whole"] = "last",
) -> dict[str, Proportion | float]:
    """The scores of each bin, SPLIT/BIN/READOUT, the horizon, and the decisive score by length of test strings.

    If a length of a bin could not be read, the bin has no score. `every` is a plain number: the answers to one string
    are not independent, so an interval over them would be too narrow.

    Args:
        split: val or test.
        bins: the lengths in each bin; bins with other lengths than these strings have are left out.
        lengths: of the strings.
        scores: at each length; None where the model could not read.
        decisive: the score that the horizon is about.
    """
    known = dict(zip(lengths, scores, strict=True))
    found: dict[str, Proportion | float] = {}
    for name, inside in bins.items():
        if not known.keys() >= set(inside):
            continue  # longer ones than those of validation
        parts = [score for length in inside if (score := known[length]) is not None]
        for index, readout in enumerate(READOUTS):
            hits, trials = sum(part[index].hits for part in parts), sum(part[index].trials for part in parts)
            total = Proportion(hits, trials) if len(parts) == len(inside) else Proportion(0, 0)
            value = total.value
            found[f"{split}/{name}/{readout}"] = total if readout != "every" or value is None else value
    found[f"{split}/horizon"] = float(horizon(lengths, scores, decisive))
    if split == "test":
        read = {length: getattr(score, decisive).value for length, score in known.items() if score is not None}
        found |= {by_length(length): value for length, value in read.items() if value is not None}
    return found


def by_length(length: int) -> str:
    """The name of the decisive score of the test strings of one length."""
    return f"test/right_by_length/{length}"


def horizon(
    lengths: Sequence[int], scores: Sequence[Scored | None], decisive: Literal["last", "whole"] = "last"
) -> int:
    """The longest length up to which more than nine of ten last answers, or strings, are right; 0 if there is none.

    >>> right, wrong = (Scored(*[Proportion(hits, 10)] * 3) for hits in (10, 9))
    >>> horizon([1, 20, 40, 60], [right, right, wrong, right]), horizon([5], [None])
    (20, 0)
    """
    reached = 0
    for length, score in zip(lengths, scores, strict=True):
        if score is None or (getattr(score, decisive).value or 0.0) <= HORIZON:
            break
        reached = length
    return reached
