"""Splits semiprimes into training, validation and test: five folds, by a stable hash."""

import torch
from torch import Tensor

NUM_FOLDS = 5
TEST_PROPORTION = 1 / NUM_FOLDS
TRAIN, VAL, TEST, UNUSED = range(4)


def place_of(keys: Tensor) -> Tensor:
    """A fixed hash of each key (count,) int64 to [0, 1): (count,) float64.

    This is the finalizer of splitmix64 (Steele et al. 2014). It does not depend on the set, so a test number of S3 is a
    test number of S4 in the same fold.
    """
    x = keys * -7046029254386353131  # 2^64 / golden ratio, as a signed word
    x = (x ^ (x >> 30 & 0x3FFFFFFFF)) * -4658895280553007687
    x = (x ^ (x >> 27 & 0x1FFFFFFFFF)) * -7723592293110705685
    x = x ^ (x >> 31 & 0x1FFFFFFFF)
    return (x >> 11 & 0x1FFFFFFFFFFFFF).double() / 2**53


def ranked(factors: Tensor) -> Tensor:
    """The rank of each factor's hash, scaled to (0, 1): (count,) float64, equal for equal factors.

    Distinct factors are evenly spaced. With the hashes themselves, a few primes could leave a split empty.
    """
    distinct, inverse = torch.unique(factors, return_inverse=True)
    ranks = place_of(distinct).argsort().argsort()
    return ((ranks + 0.5) / len(distinct))[inverse]


def split_of(places: Tensor, *, fold: int, train_proportion: float = 1 - TEST_PROPORTION) -> Tensor:
    """TRAIN, VAL, TEST or UNUSED for each place in [0, 1).

    A fifth is for test, a different one in each fold. The next `train_proportion` of all is for training, except its
    first eighth, which is for validation. If train_proportion is below 4/5, the rest is unused.

    >>> split_of(torch.tensor([0.1, 0.25, 0.5, 0.9]), fold=0).tolist()
    [2, 1, 0, 0]
    >>> split_of(torch.tensor([0.1, 0.25, 0.5, 0.9]), fold=4).tolist()
    [0, 0, 0, 2]
    """
    shifted = (places - fold / NUM_FOLDS) % 1
    split = torch.full(places.shape, UNUSED)
    split[shifted < TEST_PROPORTION + train_proportion] = TRAIN
    split[shifted < TEST_PROPORTION + train_proportion / 8] = VAL
    split[shifted < TEST_PROPORTION] = TEST
    return split
