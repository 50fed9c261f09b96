"""Baselines for a factoring network: constants, rules, and classical learners.

Each gets training semiprimes and predicts a factor for each test number. The metrics are those of a model.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from factorization.bits import from_bits, to_bits
from factorization.metrics import BetaBitError, Result, detailed_results
from factorization.primes import primes_below
from factorization.semiprimes import Semiprimes, unsigned
from seqlab.attempts import Attempts
from seqlab.randomness import derived_seed

MAX_FITTED = 10_000  # training numbers for a learner and for the nearest neighbour
MAX_CLASSES = 256  # with more candidate primes, a learner predicts bits instead of classes
TRIAL_DIVISIONS = (7, 13, 43)  # largest primes; 43 is about the last one that a sine net learns on S2
CHUNK = 1024


def mode(factors: Tensor) -> int:
    """The most frequent factor; ties go to the smallest.

    >>> mode(torch.tensor([7, 3, 3, 7, 5]))
    3
    """
    distinct, counts = torch.unique(factors, return_counts=True)
    return int(distinct[counts.argmax()])


def majority(factors: Tensor, num_bits: int) -> int:
    """The bitwise majority of the factors; ties give 1. It need not be a prime.

    >>> majority(torch.tensor([0b101, 0b100, 0b011]), 3)
    5
    """
    bits = to_bits(factors, num_bits)
    return int(from_bits((2 * bits.sum(0) >= len(bits)).long()))


def best_constants(factors: Tensor, num_bits: int) -> list[int]:
    """For each k = 0 .. num_bits, the constant with the highest beta_k: in general a different one for each k.

    The candidates are all numbers of num_bits bits if num_bits <= 10, else the 1,024 most frequent factors and the
    majority.
    """
    if num_bits <= 10:
        candidates = torch.arange(1 << num_bits)
    else:
        distinct, counts = torch.unique(factors, return_counts=True)
        frequent = distinct[counts.argsort(descending=True, stable=True)[:1024]]
        candidates = torch.cat([frequent, torch.tensor([majority(factors, num_bits)])])
    signs = 2.0 * to_bits(candidates, num_bits) - 1
    histogram = torch.zeros(len(candidates), num_bits + 1)
    for chunk in factors.split(4 * CHUNK):
        wrong = ((num_bits - signs @ (2.0 * to_bits(chunk, num_bits) - 1).T) / 2).long()
        histogram += torch.nn.functional.one_hot(wrong, num_bits + 1).sum(1)
    return candidates[histogram.cumsum(1).argmax(0)].tolist()


def last_bit_rule(numbers: Tensor) -> Tensor:
    """Predicts 2 for an even number and 3 for an odd one: it reads one bit.

    >>> last_bit_rule(torch.tensor([10, 21, 35])).tolist()
    [2, 3, 3]
    """
    return 2 + (numbers & 1)


def trial_division(numbers: Tensor, primes: Sequence[int], otherwise: int) -> Tensor:
    """The smallest of the given primes that divides each number, or a constant if none does.

    >>> trial_division(torch.tensor([10, 21, 143]), (2, 3, 5, 7), otherwise=11).tolist()
    [2, 3, 11]
    """
    values = unsigned(numbers)
    predicted = torch.full_like(numbers, otherwise)
    for prime in sorted(primes, reverse=True):
        predicted[torch.from_numpy(values % prime == 0)] = prime
    return predicted


def fitted_trial_division(train: Semiprimes, numbers: Tensor, largest: int) -> Tensor:
    """Trial division by the primes up to `largest`. If none divides, the most frequent larger training factor."""
    primes = primes_below(largest + 1).tolist()
    left = train.factors[train.factors > largest]
    return trial_division(numbers, primes, mode(left if len(left) else train.factors))


def nearest_neighbour(train: Semiprimes, numbers: Tensor, bits: int) -> Tensor:
    """The factor of the training number that differs in the fewest bits; ties go to the smallest number."""
    order = unsigned(train.numbers).argsort(kind="stable")
    known, factors = train.numbers[order], train.factors[order]
    signs = 2.0 * to_bits(known, bits) - 1
    chunks = numbers.split(CHUNK)
    return torch.cat([factors[((2.0 * to_bits(chunk, bits) - 1) @ signs.T).argmax(1)] for chunk in chunks])


def logistic() -> Any:
    """An untrained logistic regression. scikit-learn is loaded here, because only the end of a run needs it."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=300)


def forest(state: int) -> Any:
    """An untrained random forest with a seed."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(random_state=state)


def learner(make: Callable[[], Any], train: Semiprimes, numbers: Tensor, *, bits: int, factor_bits: int) -> Tensor:
    """Predictions of a scikit-learn classifier from the bits of N to its factor.

    With at most MAX_CLASSES training factors, one classifier chooses among them. Otherwise each bit gets its own.

    Args:
        make: returns a new classifier.
        train: the training semiprimes.
        numbers: (count,) numbers to factor.
        bits, factor_bits: bits of a number and of a factor.
    """
    x, seen = to_bits(numbers, bits).numpy(), to_bits(train.numbers, bits).numpy()
    if len(torch.unique(train.factors)) <= MAX_CLASSES:
        return torch.from_numpy(make().fit(seen, train.factors.numpy()).predict(x))
    columns = []
    for target in to_bits(train.factors, factor_bits).T.numpy():
        constant = target.min() == target.max()
        columns.append(torch.full((len(x),), int(target[0])) if constant else make().fit(seen, target).predict(x))
    return from_bits(torch.stack([torch.as_tensor(column) for column in columns], 1))


def compare(
    train: Semiprimes,
    test: Semiprimes,
    *,
    bits: int,
    factor_bits: int,
    slices: dict[str, Tensor],
    seed: int,
) -> Attempts[dict[str, Result]]:
    """The test results of every baseline, under a model's metric names.

    mode: the most frequent training factor. majority: the bitwise majority. constant for each k: the constant with the
    best beta_k on the training numbers, in general a different one for each k. last bit: 2 or 3. neighbour: the
    factor of the training number with the most equal bits. logistic, forest: scikit-learn. trial 7, trial 13, trial 43:
    trial division by the primes up to 7, 13 or 43. oracle: the true factor.

    Args:
        train, test: the semiprimes of the two splits.
        bits, factor_bits: bits of a number and of a factor.
        slices: {name: (count,) mask}, parts of the test set that get their own results.
        seed: seed of the random forest.
    """
    few = train.where(torch.arange(min(len(train.numbers), MAX_FITTED)))
    state = derived_seed(seed, "baselines") % 2**32
    sizes = {"bits": bits, "factor_bits": factor_bits}
    ones = torch.ones_like(test.factors)
    predicted: dict[str, Callable[[], Tensor]] = {
        "mode": lambda: mode(train.factors) * ones,
        "majority": lambda: majority(train.factors, factor_bits) * ones,
        "last bit": lambda: last_bit_rule(test.numbers),
        "neighbour": lambda: nearest_neighbour(few, test.numbers, bits),
        "logistic": lambda: learner(logistic, few, test.numbers, **sizes),
        "forest": lambda: learner(lambda: forest(state), few, test.numbers, **sizes),
        **{
            f"trial {largest}": partial(fitted_trial_division, train, test.numbers, largest)
            for largest in TRIAL_DIVISIONS
        },
        "oracle": lambda: test.factors,
    }
    rows = Attempts[dict[str, Result]]()
    for name, guess in predicted.items():
        with rows.attempt(name):
            rows[name] = detailed_results(guess(), test.factors, factor_bits, slices)
    with rows.attempt("constant for each k"):
        rows["constant for each k"] = constant_results(train.factors, test.factors, factor_bits, slices)
    return rows


def constant_results(train: Tensor, test: Tensor, num_bits: int, slices: dict[str, Tensor]) -> dict[str, Result]:
    """test/beta_k of the constant that is best for this k on the training factors, in total and on each slice."""
    results: dict[str, Result] = {}
    masks = {"": torch.ones_like(test, dtype=torch.bool)} | slices
    for k, constant in enumerate(best_constants(train, num_bits)):
        for name, mask in masks.items():
            metric = BetaBitError(num_bits=num_bits)
            metric.update(torch.full_like(test[mask], constant), test[mask])
            results["/".join(filter(None, ("test", name, f"beta_{k}")))] = metric.compute()[k]
    return results
