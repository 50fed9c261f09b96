"""A stream makes as many batches at once as the job needs, and each batch is the same however many there are."""

import pytest
import torch

from seqlab.lit.datamodule import BlockStream


@pytest.fixture
def stream():
    """(number of steps) -> a stream of the numbers 0, 1, 2 ..., two a batch, and the list of what it has made."""

    def make(num_steps):
        made = []

        def samples(start, count):
            made.append((start // 2, count // 2))
            return torch.arange(start, start + count)

        found = BlockStream(samples, batch_size=2)
        found.num_steps = num_steps
        return found, made

    return make


@pytest.mark.parametrize(
    ("num_steps", "blocks"),
    [
        (None, [(0, 64), (64, 64), (128, 64)]),
        (1, [(0, 1)]),
        (64, [(0, 64)]),
        (130, [(0, 64), (64, 64), (128, 2)]),
    ],
)
def test_no_more_batches_are_made_than_the_job_needs(stream, num_steps, blocks):
    found, made = stream(num_steps)
    for step in range(num_steps or 130):
        assert found.batch(step).tolist() == [2 * step, 2 * step + 1]
    assert made == blocks


def test_the_batch_after_the_last_step_is_made_alone(stream):
    found, made = stream(3)
    assert [found.batch(step).tolist() for step in (2, 3, 70)] == [[4, 5], [6, 7], [140, 141]]
    assert made == [(0, 3), (3, 1), (70, 1)]


def test_a_job_that_resumes_makes_what_is_left(stream):
    found, made = stream(70)
    found.batch(66)
    assert made == [(64, 6)]


def test_the_trainer_says_how_many_steps(prepare):
    run, trainer = prepare("model=linear", "trainer.max_steps=3", "trainer.val_every=3", "trainer.min_steps=0")
    trainer.fit(run.module, datamodule=run.datamodule)
    assert run.datamodule.stream.num_steps == 3
    assert torch.equal(run.datamodule.train_batch(0), prepare("model=linear")[0].datamodule.train_batch(0))
