"""Which semiprimes are for training, validation and test: five folds, by a stable hash."""

import torch
from torch import Tensor

NUM_FOLDS = 5
TEST_SHARE = 1 / NUM_FOLDS
TRAIN, VAL, TEST, UNUSED = range(4)


def place_of(keys: Tensor) -> Tensor:
    """A place in [0, 1) for each key (count,) int64, by a fixed hash: float64.

    The finaliser of splitmix64 (Steele et al. 2014). It does not depend on the set, so a test number of S3 is a test
    number of S4 in the same fold.
    """
    x = keys * -7046029254386353131  # 2^64 / golden ratio, as a signed word
    x = (x ^ (x >> 30 & 0x3FFFFFFFF)) * -4658895280553007687
    x = (x ^ (x >> 27 & 0x1FFFFFFFFF)) * -7723592293110705685
    x = x ^ (x >> 31 & 0x1FFFFFFFF)
    return (x >> 11 & 0x1FFFFFFFFFFFFF).double() / 2**53


def ranked(factors: Tensor) -> Tensor:
    """A place in [0, 1) for each factor (count,), the same for equal ones, spread evenly over the distinct ones.

    By the order of their hashes: a few primes would leave a part empty if each fell where its hash does.
    """
    distinct, inverse = torch.unique(factors, return_inverse=True)
    ranks = place_of(distinct).argsort().argsort()
    return ((ranks + 0.5) / len(distinct))[inverse]


def split_of(places: Tensor, *, fold: int, train_share: float = 1 - TEST_SHARE) -> Tensor:
    """TRAIN, VAL, TEST or UNUSED for each place in [0, 1).

    A fifth is for test, another one in each fold. What follows it, `train_share` of all, is for training, its first
    eighth for validation; with a smaller share than 4/5 the rest is unused.

    >>> split_of(torch.tensor([0.1, 0.25, 0.5, 0.9]), fold=0).tolist()
    [2, 1, 0, 0]
    >>> split_of(torch.tensor([0.1, 0.25, 0.5, 0.9]), fold=4).tolist()
    [0, 0, 0, 2]
    """
    shifted = (places - fold / NUM_FOLDS) % 1
    split = torch.full(places.shape, UNUSED)
    split[shifted < TEST_SHARE + train_share] = TRAIN
    split[shifted < TEST_SHARE + train_share / 8] = VAL
    split[shifted < TEST_SHARE] = TEST
    return split
