"""What training never sees, against plain loops over rules; the sets of validation and test."""

from itertools import product

import pytest
import torch

from sequences.curriculum import draw
from sequences.evaluation import held_out
from sequences.families import FAMILIES
from sequences.held_out import (
    code_of,
    held_out_codes,
    kept_by,
    made_in_training,
    may_train,
    rules_of,
    split_of_bucket,
)
from sequences.metrics import weights_of
from sequences.named import named, windows
from tests.reference.recurrences import NEXT

BY_NAME = {family.name: family for family in FAMILIES}
FINAL = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)


def final(indices):
    return FINAL.expand(len(indices), -1)


def makes(name, rule, terms):
    """Whether a rule of a family makes and keeps a sequence, term by term."""
    family = BY_NAME[name]
    if any(terms[n] != NEXT[name](rule, terms[:n]) for n in range(family.order, 9)):
        return False
    row, sequence = torch.tensor([rule]).view(1, -1), torch.tensor([terms])
    below = all(term < int(family.limits(row)) for term in terms[: family.order])
    return below and not bool(family.degenerate(row, sequence))


@pytest.mark.parametrize("name", ["arithmetic", "doubled_terms", "linear_modulo", "true_growth"])
def test_every_kept_sequence_is_found(name):
    family = BY_NAME[name]
    chosen = [0, len(family.rules) // 2]
    found = kept_by(family, torch.tensor(chosen))
    expected = set()
    for place in chosen:
        rule = family.rules[place]
        for initial in product(range(min(256, int(family.limits(rule[None])))), repeat=family.order):
            terms, kept = family.sequences(rule[None], torch.tensor([initial]))
            if kept.item():
                expected.add((place, *initial, int(code_of(terms))))
    rows = torch.cat([found.rule[:, None], found.initial, found.code[:, None]], 1).tolist()
    assert len(rows) == len(expected) > 0
    assert set(map(tuple, rows)) == expected


def test_training_sees_nothing_that_a_held_out_rule_makes():
    """Held out by behaviour: -2 x_{t-1} ... makes sequences that many other rules make, too."""
    terms = draw(3, 0, 400, final).terms
    for name in ("arithmetic", "linear_order_two", "growing_steps", "alternating_steps"):
        family = BY_NAME[name]
        rules = torch.cat([rules_of(family, split) for split in ("val", "test")])
        for rule in family.rules[rules].tolist():
            assert not any(makes(name, rule, row) for row in terms.tolist() if -1 not in row)
    known = {tuple(row) for row in windows(named(), 9).tolist()}
    assert not known & {tuple(row) for row in terms.tolist()}
    assert may_train(code_of(windows(named(), 9))).sum() == 0


def test_a_training_rule_may_not_make_a_held_out_rules_sequence():
    family = BY_NAME["arithmetic"]
    step = family.rules[rules_of(family, "test")[0]]
    terms = family.extended(step[None], torch.tensor([[100]]), 9)
    if not ((terms >= 0) & (terms < 256)).all():
        terms = family.extended(step[None], torch.tensor([[100 - 8 * int(step.sign()) * 12]]), 9)
    assert not may_train(code_of(terms)).any()
    assert made_in_training(terms).all()  # x'' = 2 x' - x makes it, with other steps


def test_rules_that_make_a_whole_family_are_never_held_out():
    family = BY_NAME["linear_order_two"]
    for fold in range(10):
        trained = family.rules[rules_of(family, "train", fold)].tolist()
        assert [2, -1, 0] in trained and [0, 1, 0] in trained


def test_splits_share_no_rule():
    for family in FAMILIES:
        sets = [set(rules_of(family, split, 3).tolist()) for split in ("train", "val", "test")]
        if family.holds_out_rules:
            assert sum(map(len, sets)) == len(set.union(*sets)) == len(family.rules)
            assert 0.65 < len(sets[0]) / len(family.rules) < 0.95
        else:
            assert sets[0] == sets[1] == sets[2]
    assert [split_of_bucket(torch.arange(10), fold).tolist().index(2) for fold in range(10)] == list(range(10))


@pytest.fixture(scope="module")
def sets():
    return {"val": held_out(1, "val", 1700), "test": held_out(1, "test", 1700)}


def test_sets_have_each_sequence_once_and_none_of_another(sets):
    rows = {split: [tuple(row) for row in samples.terms.tolist()] for split, samples in sets.items()}
    for found in rows.values():
        assert len(found) == len(set(found)) > 1400
    assert not set(rows["val"]) & set(rows["test"])
    codes = code_of(torch.cat([samples.terms for samples in sets.values()]))
    assert not may_train(codes).any()


def test_rules_have_the_same_number_where_they_keep_so_many(sets):
    for number, family in enumerate(FAMILIES):
        samples = sets["test"]
        rules = samples.rule[samples.family == number]
        own = rules_of(family, "test")
        assert torch.isin(rules, own).all() and len(rules) <= 100
        kept = kept_by(family, own).rule.bincount(minlength=len(family.rules))[own]
        keeping = int((kept > 0).sum())
        counts = rules.bincount()
        if family.holds_out_rules and keeping >= 100:
            assert counts.max() == 1 and len(rules) > 90  # a few are another family's, too
        elif family.holds_out_rules:
            assert (counts > 0).sum() == keeping  # rules that keep nothing are counted out
            full = kept[kept > 0] >= counts.max()
            assert counts[own[kept > 0][full]].min() >= counts.max() - 3


def test_every_family_and_every_rule_of_it_weighs_the_same(sets):
    samples = sets["test"]
    weights = weights_of(samples, torch.ones(len(FAMILIES)))
    of_families = samples.family.bincount(weights=weights)
    assert of_families.tolist() == pytest.approx([1 / len(FAMILIES)] * len(FAMILIES))
    for number in (1, 10):
        own = samples.family == number
        of_rules = samples.rule[own].bincount(weights=weights[own])
        assert of_rules[of_rules > 0].max() == pytest.approx(float(of_rules[of_rules > 0].min()))


def test_what_a_training_rule_makes_is_found():
    terms = torch.tensor([[3, 8] * 4 + [3], [5, 12, 10, 17, 15, 22, 20, 27, 25], [1, 200, 3, 99, 17, 4, 250, 0, 77]])
    assert made_in_training(terms).tolist()[0::2] == [True, False]
    loop = any(
        makes(name, BY_NAME[name].rules[rule].tolist(), terms[1].tolist())
        for name in ("alternating_steps", "linear_order_two", "linear_modulo")
        for rule in rules_of(BY_NAME[name], "train").tolist()
    )
    assert bool(made_in_training(terms)[1]) == loop


def test_codes_are_sorted_and_single():
    codes = held_out_codes("test")
    assert (codes[1:] > codes[:-1]).all() and len(codes) > 500_000
