"""Batches are a function of the step; held-out parts are fixed."""

import torch

from sequences.curriculum import draw, mixture
from sequences.datamodule import RecurrenceDataModule
from sequences.families import FAMILIES
from sequences.family import MASKED


def phases_seen(data, step):
    """The phases of the families in the batch of a step, which is drawn again with its labels."""
    shares = mixture(torch.tensor([step / data.total_steps], dtype=torch.float64))
    start = step * data.batch_size
    samples = draw(data.seed, start, data.batch_size, lambda indices: shares.expand(len(indices), -1))
    assert torch.equal(samples.terms, data.train_batch(step))
    return {FAMILIES[number].phase for number in samples.family.tolist()}


def test_training_follows_the_curriculum_step_by_step():
    data = RecurrenceDataModule(total_steps=1000, batch_size=64, wide=0)
    assert phases_seen(data, 0) == phases_seen(data, 199) == {1}
    assert phases_seen(data, 400) == {1, 2}
    assert phases_seen(data, 999) == {1, 2, 3}


def test_a_batch_does_not_depend_on_the_batches_before():
    one, other = (RecurrenceDataModule(total_steps=300, batch_size=8) for _ in range(2))
    batches = [one.train_batch(step) for step in range(130)]
    for step in (129, 64, 63, 5):
        assert torch.equal(other.train_batch(step), batches[step])
    assert not torch.equal(batches[0], batches[1])


def test_validation_is_fixed_and_balanced():
    small, again = (RecurrenceDataModule(total_steps=10, num_val=340) for _ in range(2))
    assert torch.equal(small.val_samples.terms, again.val_samples.terms)
    counts = small.val_samples.family.bincount()
    assert len(counts) == len(FAMILIES) and counts.max() == 20
    assert (counts == 20).sum() >= len(FAMILIES) - 2  # constants and growth have few
    assert RecurrenceDataModule(total_steps=10).num_val >= 2000


def test_a_fold_holds_out_other_rules():
    first, second = (RecurrenceDataModule(total_steps=10, num_test=340, fold=fold) for fold in (0, 1))
    own = [set(zip(d.test_samples.family.tolist(), d.test_samples.rule.tolist(), strict=True)) for d in (first, second)]
    holds_out = {number for number, family in enumerate(FAMILIES) if family.holds_out_rules}
    assert not {pair for pair in own[0] & own[1] if pair[0] in holds_out}
    assert not torch.equal(first.train_batch(0), second.train_batch(0))


def test_the_spec_reads_eight_terms():
    data = RecurrenceDataModule(total_steps=10, embedding="scalar")
    assert (data.spec.max_length, data.spec.input.size, data.spec.input.embedding) == (8, 256, "scalar")
    assert data.train_batch(0).shape == (32, 9)
    assert data.test_samples.terms.min() == MASKED
