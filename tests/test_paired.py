"""Paired comparison against enumeration, and the command on a run."""

from itertools import product

import pytest
import torch

from seqlab.errors import InputError
from seqlab.paired import paired
from seqlab.run.build import build
from sequences.paired import compare
from sequences.solvers import SOLVERS


def test_the_sign_flip_test_agrees_with_all_signs():
    differences = torch.tensor([1.0, 0.0, 1.0, 1.0, -1.0, 1.0, 1.0, 0.0, 1.0])
    clusters = torch.tensor([0, 0, 1, 1, 2, 3, 4, 4, 5])
    sums = [1.0, 2.0, -1.0, 1.0, 1.0, 1.0]
    far = [abs(sum(s * d for s, d in zip(signs, sums, strict=True))) >= 5 for signs in product((-1, 1), repeat=6)]
    assert paired(differences, clusters).p == pytest.approx(sum(far) / len(far), abs=0.02)


def test_the_interval_is_that_of_students_test_where_every_item_is_alone():
    differences = torch.tensor([1.0, 1.0, 0.0, 1.0])
    half = 3.182446 * 0.5 / 2  # Student's quantile, sample deviation 0.5, root of 4
    found = paired(differences, torch.tensor([4, 8, 1, 0]))
    assert found.interval == pytest.approx((0.75 - half, 0.75 + half), abs=1e-6)


def test_items_that_are_copies_add_nothing():
    differences, clusters = torch.tensor([1.0, 0.0, 1.0, -1.0, 1.0]), torch.arange(5)
    once, often = paired(differences, clusters), paired(differences.repeat(20), clusters.repeat(20))
    assert often.value == once.value and often.clusters == 5
    assert often.interval == pytest.approx(once.interval)
    assert often.p == once.p


def test_an_item_of_weight_two_is_two_items():
    differences, clusters = torch.tensor([1.0, 0.0, -1.0, 1.0]), torch.arange(4)
    weighted = paired(differences, clusters, weights=torch.tensor([2.0, 1.0, 1.0, 2.0]))
    twice = torch.tensor([0, 0, 1, 2, 3, 3])
    repeated = paired(differences[twice], clusters[twice])
    assert weighted.value == pytest.approx(repeated.value)
    assert weighted.interval == pytest.approx(repeated.interval) and weighted.p == repeated.p


def test_a_single_cluster_gives_no_interval_and_proves_nothing():
    found = paired(torch.ones(50), torch.zeros(50, dtype=torch.int64))
    assert (found.value, found.interval, found.p) == (1.0, None, 1.0)


def test_a_run_is_compared_with_every_solver(compose):
    run = build(compose("model=linear", "data=recurrence", "data.num_test=150"))
    first, heading, *rows = compare(run).splitlines()
    num_items, accuracy = int(first.split()[0]), float(first.split()[-1])
    assert "clusters" in first and heading.startswith("solver")
    assert [row.split()[0] for row in rows] == list(SOLVERS)
    for row in rows:
        _, theirs, alone, solver_alone, value, *_ = row.replace(",", "").split()
        assert float(value) == pytest.approx(accuracy - float(theirs), abs=2e-4)
        assert int(alone) + int(solver_alone) <= num_items
    assert rows[-1].startswith("vote") and "p = 0.0001" in rows[-1]


def test_a_run_on_other_data_is_refused(compose):
    with pytest.raises(InputError, match="this run is not on data=recurrence"):
        compare(build(compose("model=linear", "data=L3")))
