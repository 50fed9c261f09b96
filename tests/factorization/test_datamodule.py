import pytest
import torch

from factorization.bits import from_bits
from factorization.datamodule import SemiprimesDataModule
from factorization.semiprimes import unsigned
from factorization.splits import TEST, TRAIN, VAL, place_of, split_of
from seqlab.spec import Bits, Classes, Spec, Tokens, Vectors


def test_the_asked_for_data():
    data = SemiprimesDataModule(head="bits")
    assert data.spec == Spec(Vectors(1), Bits(7), max_length=14, readout="last")
    assert sum(len(part.numbers) for part in (data.train, data.val, data.test)) == 496
    batch = data.train_batch(0)
    assert batch.inputs.shape == (4, 14, 1) and batch.inputs.dtype == torch.float32
    numbers = from_bits(batch.inputs[:, :, 0])
    known = dict(zip(data.train.numbers.tolist(), data.train.factors.tolist(), strict=True))
    assert [known[number] for number in numbers.tolist()] == batch.factors.tolist()


@pytest.mark.parametrize(
    "options", [{}, {"set": "S1"}, {"set": "S5"}, {"set": "S6"}, {"set": "S7"}, {"set": "S7", "bits": 64}]
)
def test_no_number_is_in_two_splits(options):
    data = SemiprimesDataModule(**options)
    parts = [set(part.numbers.tolist()) for part in (data.train, data.val, data.test)]
    assert sum(map(len, parts)) == len(set.union(*parts))


@pytest.mark.parametrize("fold", [0, 3])
def test_drawn_numbers_are_in_the_split_that_their_hash_says(fold):
    data = SemiprimesDataModule(set="S7", fold=fold)
    for part, split in ((data.train, TRAIN), (data.val, VAL), (data.test, TEST)):
        assert (split_of(place_of(part.numbers), fold=fold) == split).all()


def test_folds_share_no_test_number_and_cover_everything():
    tests = [set(SemiprimesDataModule(fold=fold).test.numbers.tolist()) for fold in range(5)]
    assert sum(map(len, tests)) == len(set.union(*tests)) == 496


def test_held_out_factors():
    data = SemiprimesDataModule(set="S1", protocol="factor", head="classes")
    parts = [set(part.factors.tolist()) for part in (data.train, data.val, data.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 25
    assert data.spec.output == Classes(25)


def test_an_epoch_sees_every_training_number_once():
    data = SemiprimesDataModule(batch_size=16)
    steps = data.steps_per_epoch or 0
    orders = []
    for epoch in range(2):
        batches = [data.train_batch(epoch * steps + step) for step in range(steps)]
        orders.append(from_bits(torch.cat([batch.inputs for batch in batches])).tolist())
        assert sorted(orders[-1]) == sorted(data.train.numbers.tolist())
    assert orders[0] != orders[1]


def test_a_batch_is_a_function_of_the_step():
    for options in ({}, {"set": "S7", "batch_size": 8}):
        first, second = SemiprimesDataModule(**options), SemiprimesDataModule(**options)
        second.train_batch(70)
        for step in (3, 65):
            assert all(map(torch.equal, first.train_batch(step), second.train_batch(step)))


def test_the_full_batch():
    data = SemiprimesDataModule(set="S2", head="classes", batch_size=None)
    assert data.steps_per_epoch == 1
    assert len(data.train_batch(0).factors) == len(data.train.numbers)


def test_fewer_training_numbers():
    few, all_of_them = SemiprimesDataModule(num_train=50), SemiprimesDataModule()
    assert len(few.train.numbers) == 50
    assert set(few.train.numbers.tolist()) <= set(all_of_them.train.numbers.tolist())
    assert torch.equal(few.test.numbers, all_of_them.test.numbers)


def test_inputs():
    number = torch.tensor([8633])
    binary = [int(bit) for bit in f"{8633:014b}"]
    assert SemiprimesDataModule(head="bits").encode(number)[0, :, 0].tolist() == binary
    assert SemiprimesDataModule(head="bits", order="lsb").encode(number)[0, :, 0].tolist() == binary[::-1]
    assert SemiprimesDataModule().encode(number)[0].tolist() == binary
    assert SemiprimesDataModule(base=10).encode(number)[0].tolist() == [0, 8, 6, 3, 3]
    decimal = SemiprimesDataModule(base=10, head="bits")
    assert decimal.encode(number).shape == (1, 5, 10) == (1, decimal.spec.max_length, decimal.spec.input.width)
    residues = SemiprimesDataModule(input="residues", head="bits")
    assert residues.encode(number).shape == (1, 12, 2) == (1, residues.spec.max_length, residues.spec.input.width)
    oracle = SemiprimesDataModule(input="oracle", head="classes")
    divides = oracle.encode(number)[0, :, 0] > 1 - 1e-6
    assert oracle.moduli[divides].tolist() == [89, 97]  # 8633 = 89 · 97
    assert SemiprimesDataModule(base=10).spec.input == Tokens(11)


def test_64_bit_numbers_reach_the_model_exactly():
    data = SemiprimesDataModule(set="S7", bits=64, head="bits")
    bits = data.encode(data.test.numbers)[:, :, 0].long().tolist()
    numbers = [int("".join(map(str, row)), 2) for row in bits]
    assert numbers == unsigned(data.test.numbers).tolist()
    assert all(number % factor == 0 for number, factor in zip(numbers, data.test.factors.tolist(), strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"set": "S7", "head": "classes"}, "S7 has too many primes for .* data.head=classes"),
        ({"set": "S7", "input": "oracle", "head": "bits"}, "S7 has too many primes for data.input=oracle"),
        ({"set": "S7", "batch_size": None}, "S7 is endless: .* data.batch_size"),
        ({"set": "S7", "protocol": "factor"}, "S7 is endless: data.protocol=number"),
        ({"set": "S7", "num_train": 10}, "S7 is endless: data.num_train=null and data.squares=true"),
        ({"set": "S7", "squares": False}, "S7 is endless: data.num_train=null and data.squares=true"),
        ({"input": "residues"}, "data.head=tokens reads data.input=digits, not residues"),
        ({"input": "residues", "head": "bits", "base": 10}, "data.base and data.order need data.input=digits"),
        ({"bits": 20}, "data.bits=20 with data.set=S3"),
    ],
)
def test_options_that_exclude_each_other(options, message):
    with pytest.raises(ValueError, match=message):
        SemiprimesDataModule(**options)
