import random

import pytest
import torch

from factorization.metrics import BetaBitError, DistinctOutputs, beta_results, by_factor, detailed_results
from seqlab.proportion import Proportion


def plain_beta(predicted, factors, num_bits):
    """beta_k by counting the ones of p xor p'."""
    wrong = [bin((p ^ q) & ((1 << num_bits) - 1)).count("1") for p, q in zip(predicted, factors, strict=True)]
    return [Proportion(sum(count <= k for count in wrong), len(wrong)) for k in range(num_bits + 1)]


def test_beta_equals_the_plain_count():
    draw = random.Random(1)
    predicted, factors = ([draw.randrange(128) for _ in range(300)] for _ in range(2))
    metric = BetaBitError(num_bits=7)
    for start in (0, 100, 250):
        stop = {0: 100, 100: 250, 250: 300}[start]
        metric.update(torch.tensor(predicted[start:stop]), torch.tensor(factors[start:stop]))
    assert metric.compute() == plain_beta(predicted, factors, 7)
    values = [share.value for share in metric.compute()]
    assert values == sorted(values) and values[-1] == 1.0
    same = [[p >> place & 1 == q >> place & 1 for p, q in zip(predicted, factors, strict=True)] for place in (6, 0)]
    assert [metric.bit_accuracies()[0].hits, metric.bit_accuracies()[6].hits] == [sum(same[0]), sum(same[1])]


def test_an_empty_metric_has_no_value():
    assert BetaBitError(num_bits=3).compute()[0].value is None
    assert DistinctOutputs().compute() == 0


def test_reset():
    metric = BetaBitError(num_bits=3)
    metric.update(torch.tensor([1]), torch.tensor([1]))
    metric.reset()
    assert metric.compute()[0] == Proportion(0, 0)


def _process(rank, folder, results):
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    beta, outputs = BetaBitError(num_bits=4, sync_on_compute=True), DistinctOutputs(sync_on_compute=True)
    predicted = torch.tensor([[1, 2, 3], [3, 3, 9]][rank])
    for metric, arguments in ((beta, (predicted, torch.tensor([1, 1, 1]))), (outputs, (predicted,))):
        metric.update(*arguments)
    results[rank] = (beta.compute(), outputs.compute())
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path):
    context = torch.multiprocessing.get_context("spawn")
    results = context.Manager().dict()
    torch.multiprocessing.spawn(_process, (str(tmp_path), results), nprocs=2)
    assert results[0] == results[1] == (plain_beta([1, 2, 3, 3, 3, 9], [1] * 6, 4), 4)


def test_states_are_reduced_over_processes():
    """What torchmetrics does on a process group, without one: states of two replicas stacked, then reduced."""
    first, second = BetaBitError(num_bits=4), BetaBitError(num_bits=4)
    first.update(torch.tensor([1, 2, 3]), torch.tensor([1, 1, 1]))
    second.update(torch.tensor([3, 3, 9]), torch.tensor([1, 1, 1]))
    for name, reduce in first._reductions.items():
        assert reduce is not None
        setattr(first, name, reduce(torch.stack([getattr(first, name), getattr(second, name)])))
    assert first.compute() == plain_beta([1, 2, 3, 3, 3, 9], [1] * 6, 4)


def test_distinct_outputs():
    metric = DistinctOutputs()
    metric.update(torch.tensor([45, 45]))
    metric.update(torch.tensor([47, 3]))
    metric.update(torch.tensor([45, 3]))
    assert metric.compute() == 3


def test_names():
    results = beta_results("val", torch.tensor([3]), torch.tensor([5]), 7)
    assert list(results) == [*(f"val/beta_{k}" for k in range(8)), "val/distinct_outputs"]


def test_details():
    predicted, factors = torch.tensor([2, 3, 19, 19, 5]), torch.tensor([2, 3, 23, 19, 1031])
    slices = {"part": torch.tensor([False, False, True, True, False])}
    results = detailed_results(predicted, factors, 11, slices)
    assert results["test/beta_0"] == Proportion(3, 5)
    assert results["test/part/beta_0"] == Proportion(1, 2)
    assert results["test/by_factor/17_31"] == Proportion(1, 2)
    assert results["test/by_factor/1031_up"] == Proportion(0, 1)
    assert "test/by_factor/5" not in results
    assert results["test/bit/11"] == Proportion(5, 5)
    assert results["test/bit/1"] == Proportion(4, 5)
    assert results["test/distinct_outputs"] == 4


def test_every_prime_has_its_place_by_factor():
    primes = torch.tensor([2, 3, 5, 7, 11, 13, 17, 31, 37, 61, 67, 97, 101, 127, 131, 251, 257, 509, 521, 1021, 65521])
    assert (torch.stack(list(by_factor(primes).values())).sum(0) == 1).all()
