"""Strings of a language as data: grammatical, kept apart, a function of (seed, split, index) and nothing else."""

import pytest
import torch

from rule_extrapolation.datamodule import GrammarDataModule
from rule_extrapolation.dyck import Brackets, Dyck, Parentheses, Separated, ShuffleDyck
from rule_extrapolation.letters import ANBM, ANBN, ANBNAN, ANBNCN, AbN, BaN, BbaN
from rule_extrapolation.metrics import token_loss
from rule_extrapolation.rules import EOS, PAD, SOS

SPLITS = ("train", "val", "test")
HELD_OUT = [BaN(), BbaN(), Dyck(), ShuffleDyck(), AbN(), ANBM(), Parentheses(), Brackets(), Separated()]
SHARED = [ANBN(), ANBNCN(), ANBNAN()]
MODES = [(grammar, "held_out") for grammar in HELD_OUT] + [(grammar, "shared") for grammar in SHARED]
every_language = pytest.mark.parametrize(("grammar", "split"), MODES, ids=[grammar.name for grammar, _ in MODES])


def data_of(grammar, split="held_out", **options):
    return GrammarDataModule(grammar=grammar, split=split, **{"batch_size": 8, "prompt_lengths": (4,)} | options)


def as_set(rows):
    return set(map(tuple, rows.tolist()))


@pytest.mark.parametrize("grammar", HELD_OUT, ids=lambda grammar: grammar.name)
def test_splits_share_no_string(grammar):
    max_length = 24 if grammar.label else 10
    data = data_of(grammar, max_length=max_length)
    train, val, test = (as_set(data.samples(split, 0, 1500)) for split in SPLITS)
    assert min(len(train), len(val), len(test)) > 0
    assert not train & val
    assert not train & test
    assert not val & test


def test_splits_of_other_seeds_share_no_string_either():
    strings = [
        as_set(data_of(BbaN(), seed=seed).samples(split, 0, 2000)) for seed, split in ((1, "train"), (2, "test"))
    ]
    assert not strings[0] & strings[1]


@every_language
@pytest.mark.parametrize("which", SPLITS)
def test_every_sample_is_framed_and_grammatical(grammar, split, which):
    rows = data_of(grammar, split, max_length=18).samples(which, 0, 300)
    assert rows.shape == (300, 20)
    assert (rows[:, 0] == SOS).all()
    assert ((rows == EOS).sum(1) == 1).all()
    assert ((rows == SOS).sum(1) == 1).all()
    ends = (rows == EOS).long().argmax(1)
    place = torch.arange(20)
    assert ((rows == PAD) == (place > ends[:, None])).all()
    assert ends.min() >= 2  # no empty string
    assert grammar.grammatical(rows[:, 1:]).all()


@every_language
def test_a_sample_does_not_depend_on_its_block(grammar, split):
    data = data_of(grammar, split, max_length=16)
    whole = data.samples("train", 0, 300)
    for start, count in ((0, 1), (7, 5), (130, 170), (299, 1)):
        assert torch.equal(data.samples("train", start, count), whole[start : start + count])
    assert torch.equal(data_of(grammar, split, max_length=16).samples("train", 0, 300), whole)


@pytest.mark.parametrize(("grammar", "split"), [(Dyck(), "held_out"), (ANBN(), "shared")], ids=["dyck", "aNbN"])
def test_seed_and_split_name_the_stream(grammar, split):
    rows = [data_of(grammar, split, seed=seed).samples(part, 0, 200) for seed in (1, 2) for part in SPLITS]
    for i, a in enumerate(rows):
        for b in rows[:i]:
            assert not torch.equal(a, b)


def test_an_endless_stream_is_the_samples_in_order():
    data = data_of(Dyck(), max_length=12)
    assert data.steps_per_epoch is None
    whole = data.samples("train", 0, 8 * 130)
    for step in (0, 1, 63, 64, 65, 129, 3):  # over the ends of blocks of 64 batches, and back
        assert torch.equal(data.train_batch(step), whole[8 * step : 8 * step + 8])


def test_a_finite_epoch_takes_every_sample_once_in_a_new_order():
    data = data_of(Dyck(), max_length=32, num_train=20)
    assert data.steps_per_epoch == 3
    samples = data.samples("train", 0, 20)
    epochs = [[data.train_batch(step) for step in range(3 * epoch, 3 * epoch + 3)] for epoch in range(3)]
    assert [len(batch) for batch in epochs[0]] == [8, 8, 4]
    for epoch in epochs:
        assert sorted(torch.cat(epoch).tolist()) == sorted(samples.tolist())
    first, second, third = (torch.cat(epoch) for epoch in epochs)
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)
    assert not torch.equal(first, samples)
    for step in (7, 2, 5, 0):  # in any order of asking
        assert torch.equal(data.train_batch(step), epochs[step // 3][step % 3])


@pytest.mark.parametrize("num_train", [None, 20])
def test_a_batch_is_a_function_of_the_step(num_train):
    a, b = (data_of(Dyck(), max_length=12, num_train=num_train) for _ in range(2))
    for step in (70, 0, 5):
        assert torch.equal(a.train_batch(step), b.train_batch(step))


def test_fixed_parts_have_their_sizes_and_are_the_same_each_time():
    data = data_of(Dyck(), max_length=12, num_val=20, num_test=9)
    val, test = list(data.val_dataloader()), list(data.test_dataloader())
    assert [len(batch) for batch in val] == [8, 8, 4]
    assert [len(batch) for batch in test] == [8, 1]
    assert torch.equal(torch.cat(val), data.samples("val", 0, 20))
    assert torch.equal(torch.cat(test), data.samples("test", 0, 9))
    assert torch.equal(torch.cat(val), torch.cat(list(data.val_dataloader())))


def test_the_spec_follows_the_language():
    spec = data_of(Dyck(), max_length=32).spec
    assert (spec.input.size, spec.output.width, spec.max_length) == (7, 7, 33)
    assert (spec.sos, spec.eos, spec.pad) == (SOS, EOS, PAD)
    assert data_of(ANBNCN(), "shared", max_length=24).spec.input.size == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grammar": Dyck(), "prompt_lengths": (5,)}, "5"),
        ({"grammar": Dyck(), "max_length": 1}, "max_length"),
        ({"grammar": ANBN(), "max_length": 6, "prompt_lengths": (6,), "split": "shared"}, "max_length is 6"),
        ({"grammar": ANBN(), "max_length": 8, "num_train": 4}, "data.split=shared"),
    ],
)
def test_what_a_language_cannot_have_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        data_of(**options)


def test_pad_is_no_target_and_eos_is_one():
    rows = data_of(Dyck(), max_length=12).samples("train", 0, 32)
    logits = torch.randn(32, 13, 7, generator=torch.Generator().manual_seed(0))
    loss, accuracy, count = token_loss(logits, rows[:, 1:])
    assert count == int((rows >= 3).sum()) + len(rows)  # every symbol, and EOS once a string
    wider = torch.nn.functional.pad(rows[:, 1:], (0, 5), value=PAD)
    more = torch.cat([logits, 100 * torch.ones(32, 5, 7)], 1)
    padded_loss, padded_accuracy, padded_count = token_loss(more, wider)
    assert padded_count == count
    assert padded_loss.item() == pytest.approx(loss.item(), rel=1e-6)
    assert padded_accuracy == accuracy

    by_hand = [
        -logits[b, t].double().log_softmax(0)[target].item()
        for b, row in enumerate(rows[:, 1:].tolist())
        for t, target in enumerate(row)
        if target != PAD
    ]
    assert loss.item() == pytest.approx(sum(by_hand) / len(by_hand), rel=1e-6)


def test_no_gradient_reaches_the_logits_of_padding():
    rows = data_of(Dyck(), max_length=12).samples("train", 0, 32)
    logits = torch.zeros(32, 13, 7, requires_grad=True)
    token_loss(logits, rows[:, 1:])[0].backward()
    reached = logits.grad.abs().sum(-1) > 0
    assert torch.equal(reached, rows[:, 1:] != PAD)
