import pytest
import torch

from factorization.semiprimes import semiprime_set, semiprimes_below
from factorization.splits import TEST, TRAIN, UNUSED, VAL, place_of, ranked, split_of


def test_places_are_stable():
    """Golden: a change of the hash would move every published split."""
    assert place_of(torch.tensor([4, 8633, -1])).tolist() == pytest.approx(GOLDEN_PLACES, abs=1e-12)


GOLDEN_PLACES = [0.9708819781538285, 0.9534056707264106, 0.20076011277725214]


def test_places_are_spread_evenly():
    places = place_of(semiprimes_below(100_000).numbers)
    assert float(places.min()) >= 0 and float(places.max()) < 1
    counts = torch.histc(places.float(), 20, 0, 1)
    expected = len(places) / 20
    assert float(((counts - expected) ** 2 / expected).sum()) < 43.8  # chi squared, 19 degrees of freedom, p = 0.001


def test_every_number_is_for_test_in_one_fold():
    places = place_of(semiprimes_below(10_001).numbers)
    splits = torch.stack([split_of(places, fold=fold) for fold in range(5)])
    assert ((splits == TEST).sum(0) == 1).all()
    assert not (splits == UNUSED).any()
    for split, share in ((TRAIN, 0.7), (VAL, 0.1), (TEST, 0.2)):
        assert ((splits == split).float().mean(1) - share).abs().max() < 0.03


def test_a_tenth_for_training():
    split = split_of((torch.arange(1000) + 0.5) / 1000, fold=2, train_proportion=0.1)
    counts = torch.bincount(split, minlength=4).tolist()
    assert counts[TEST] == 200
    assert counts[TRAIN] + counts[VAL] == 100
    assert counts[UNUSED] == 700
    assert counts[VAL] in (12, 13)


def test_a_number_is_in_the_same_split_of_every_set():
    small, large = (semiprime_set(name, bits=None, squares=True).items.numbers for name in ("S3", "S4"))
    of_large = dict(zip(large.tolist(), split_of(place_of(large), fold=1).tolist(), strict=True))
    assert split_of(place_of(small), fold=1).tolist() == [of_large[number] for number in small.tolist()]


def test_held_out_factors_are_large_and_small_ones():
    factors = semiprime_set("S1", bits=None, squares=True).items.factors
    split = split_of(ranked(factors), fold=0)
    held_out, known = factors[split == TEST], factors[split == TRAIN]
    assert known.min() < held_out.max() and held_out.min() < known.max()


@pytest.mark.parametrize("fold", range(5))
def test_held_out_factors(fold):
    factors = semiprime_set("S1", bits=None, squares=True).items.factors
    splits = split_of(ranked(factors), fold=fold)
    parts = [set(factors[splits == split].tolist()) for split in (TRAIN, VAL, TEST)]
    assert all(parts)
    assert len(set.union(*parts)) == sum(map(len, parts)) == 25
    assert len(parts[2]) == 5
