"""Learns the order of the solvers' rules on validation sequences: python -m sequences.decision_list

The list is that of `sequences.solvers.LEARNED_ORDER`. The command also prints what each step from the cascade to the
list is worth on validation, test and real sequences. It takes some seconds.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from sequences.datamodule import RecurrenceDataModule
from sequences.family import MASKED, NUM_TERMS, NUM_VALUES
from sequences.named import named, windows
from sequences.solver_rules import RULES
from sequences.solvers import Solver, copy_last, decision_list, first_answer, last_difference

NUM_LEARNED_FROM = 20_000  # validation sequences; more than a run validates on
CASCADE = ("period", "constant differences", "recurrence to order 2", "periodic differences")
ORDER_THREE = ("recurrence of order 3", "recurrence of order 3 with constant")
LOOK_UPS = ("last 2 terms seen", "last term seen", "2 equal steps", "last 2 differences seen")


class Fits(NamedTuple):
    """Which of R rules fit each of n rows and which are right, both (R, n) bool; whether the fallback is, (n,)."""

    holds: Tensor
    right: Tensor
    otherwise: Tensor

    def hits(self, order: Sequence[int]) -> int:
        """How many rows the rules answer correctly if they are tried in this order, then the fallback."""
        hit, is_open = self.otherwise.clone(), torch.ones_like(self.otherwise)
        for rule in order:
            hit = torch.where(is_open & self.holds[rule], self.right[rule], hit)
            is_open = is_open & ~self.holds[rule]
        return int(hit.sum())


def fits_of(rows: Tensor) -> Fits:
    """How each rule of RULES does on the last terms of rows (n, k), from the terms before them. Answers are clamped."""
    terms, target = rows[:, :-1], rows[:, -1]
    answers = [rule(terms) for rule in RULES.values()]
    return Fits(
        torch.stack([holds for _, holds in answers]),
        torch.stack([clamped(following) == target for following, _ in answers]),
        clamped(last_difference(terms)) == target,
    )


def learned(fits: Fits) -> list[int]:
    """The order found by hill climbing: insert, move or drop the rule that gains most, until nothing gains.

    Deterministic: it starts with the fallback alone, and ties go to the first change in the order of RULES.
    """
    order: list[int] = []
    best = fits.hits(order)
    while True:
        candidates = []
        for rule in range(len(fits.holds)):
            others = [other for other in order if other != rule]
            candidates.append(others)
            candidates += [[*others[:place], rule, *others[place:]] for place in range(len(others) + 1)]
        found = max(candidates, key=fits.hits)
        if fits.hits(found) <= best:
            return order
        order, best = found, fits.hits(found)


def clamped(answers: Tensor) -> Tensor:
    """Answers outside 0..255 at the nearest value inside."""
    return answers.clamp(0, NUM_VALUES - 1)


def whole(rows: Tensor) -> Tensor:
    """The sequences (n, 9) that have all their terms."""
    return rows[rows[:, -1] != MASKED]


def accuracies(solver: Solver, sets: Sequence[Tensor]) -> str:
    """The accuracy of a solver at the last terms of several sets of rows, as text."""
    return "  ".join(f"{float((solver(rows[:, :-1]) == rows[:, -1]).double().mean()):10.4f}" for rows in sets)


def in_order(names: Sequence[str], otherwise: Solver) -> Solver:
    """The solver that tries these rules in order."""
    return partial(first_answer, rules=[RULES[name] for name in names], otherwise=otherwise)


def main() -> None:
    """Print the learned order, and the accuracy of the cascade, of each addition to it, and of the learned list."""
    data = RecurrenceDataModule(total_steps=1, num_val=NUM_LEARNED_FROM)
    validation, test = whole(data.val_samples.terms), whole(data.test_samples.terms)
    real = [windows(named(), NUM_TERMS, first_only=True), windows(named(), NUM_TERMS)]
    names = list(RULES)
    order = [names[rule] for rule in learned(fits_of(validation))]
    everything = CASCADE + ORDER_THREE + LOOK_UPS
    steps = {
        "cascade": in_order(CASCADE, copy_last),
        "last difference as fallback": in_order(CASCADE, last_difference),
        "recurrences of order 3": in_order(CASCADE + ORDER_THREE, last_difference),
        "look-ups": in_order(everything, last_difference),
        "clamped to 0 .. 255": lambda terms: clamped(in_order(everything, last_difference)(terms)),
        "learned order": lambda terms: clamped(in_order(order, last_difference)(terms)),
        "shipped decision list": decision_list,
    }
    print(f"{'':28}validation        test  real ninth  real windows")
    for name, solver in steps.items():
        print(f"{name:28}{accuracies(solver, [validation, test, *real])}")
    print(f"of {len(validation):,} validation, {len(test):,} test and {len(real[0])} real sequences; learned:")
    print("\n".join(f"  {rule}" for rule in order))


if __name__ == "__main__":
    main()
