"""Families against one line of plain Python each; what is drawn, kept and held out."""

import hashlib

import pytest
import torch

from seqlab.randomness import uniforms
from sequences.curriculum import (
    FAMILIES,
    SPLITS,
    computed_split,
    draw,
    draw_from,
    mixture,
    split_of,
    split_of_bucket,
    split_table,
)
from sequences.family import MASKED
from tests.reference.recurrences import NEXT

NAMES = [family.name for family in FAMILIES]
FINAL = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)


def final(indices):
    return FINAL.expand(len(indices), -1)


@pytest.fixture(params=FAMILIES, ids=NAMES)
def family(request):
    return request.param


@pytest.fixture
def drawn(family):
    """(terms, rules as lists) of 300 training samples."""
    terms, rule = draw_from(family, 1, "train", torch.arange(300))
    return terms, family.rules[rule].tolist()


def test_there_is_a_reference_for_every_family():
    assert set(NAMES) == set(NEXT)
    assert [sum(family.phase == phase for family in FAMILIES) for phase in (1, 2, 3)] == [4, 6, 7]


def test_terms_follow_the_rule(family, drawn):
    for terms, rule in zip(drawn[0].tolist(), drawn[1], strict=True):
        length = terms.index(MASKED) if MASKED in terms else 9
        for place in range(family.order, length):
            assert terms[place] == NEXT[family.name](rule, terms[:place]), (rule, terms)
        assert all(0 <= term <= 255 for term in terms[:length])
        assert length >= 4
        assert set(terms[length:]) <= {MASKED}
        if length < 9:
            assert not 0 <= NEXT[family.name](rule, terms[:length]) <= 255


def test_continuation_goes_on_by_the_rule(family, drawn):
    whole = (drawn[0] != MASKED).all(1)
    assert whole.any()
    rules = torch.tensor(drawn[1]).view(len(whole), -1)[whole]
    more = family.continue_(rules, drawn[0][whole], 5)
    for terms, rule, after in zip(drawn[0][whole].tolist(), rules.tolist(), more.tolist(), strict=True):
        for term in after:
            if not 0 <= term <= 255:
                break
            assert term == NEXT[family.name](rule, terms)
            terms.append(term)


def test_sequences_tell_something_of_their_rule(family, drawn):
    exempt = {"constant", "runs", "true_growth", "alternating_signs"}
    constant_tail = (drawn[0][:, -3:] == drawn[0][:, -1:]).all(1)
    assert family.name in exempt or not constant_tail.any()
    if family.name in ("parity_condition", "threshold_condition"):
        seen = drawn[0][:, :7]
        branch = seen % 2 == 1 if family.name == "parity_condition" else seen >= torch.tensor(drawn[1])[:, :1]
        assert (branch.any(1) & ~branch.all(1)).all()


def test_recurrences_of_order_0_1_and_2_are_in_phase_1():
    assert {"constant", "arithmetic", "period_two", "linear_order_two"} == {f.name for f in FAMILIES if f.phase == 1}
    fibonacci = [1, 1, 0]
    assert fibonacci in next(f for f in FAMILIES if f.name == "linear_order_two").rules.tolist()
    assert [1, 1, 0, 3] in next(f for f in FAMILIES if f.name == "linear_modulo").rules.tolist()


def test_initial_probability_is_the_frequency(family):
    """Of the smallest initial terms, drawn 200,000 times under one rule."""
    rules = family.rules[-1:].expand(200_000, -1)
    initial = family.initial(rules, uniforms(3, "test", 0, len(rules), family.order + 1))
    chosen = (initial < 4).all(1)
    corner = torch.cartesian_prod(*[torch.arange(4)] * family.order).view(-1, family.order)
    expected = family.initial_probability(family.rules[-1:].expand(len(corner), -1), corner).sum()
    assert chosen.double().mean() == pytest.approx(float(expected), rel=0.1, abs=2e-4)


def test_splits_share_no_rule(family):
    if not family.holds_out_rules:
        assert len(family.rules) < 50
        return
    split_of_rule = split_of_bucket(family.buckets)
    for index, split in enumerate(SPLITS):
        _, rule = draw_from(family, 1, split, torch.arange(400))
        assert (split_of_rule[rule] == index).all()
        assert len(rule.unique()) > 1
    shares = split_of_rule.bincount(minlength=3) / len(split_of_rule)
    assert shares[0] == pytest.approx(0.8, abs=0.12)


def test_the_table_says_what_making_the_sequences_says(family):
    rules = torch.arange(500) % len(family.rules)
    initial = family.initial(family.rules[rules], uniforms(4, "test", 0, 500, family.order + 1))
    computed = computed_split(family, rules, initial)
    assert torch.equal(split_of(family, rules, initial).long(), computed)
    assert computed.unique().tolist()[-1] >= 0
    assert (split_table(family) is None) == (len(family.rules) * 256**family.order > 2**20)


def test_splits_share_no_sequence():
    seen = {split: {tuple(row) for row in draw(1, split, 0, 4000, final).terms.tolist()} for split in SPLITS}
    assert not seen["train"] & seen["test"]
    assert not seen["train"] & seen["val"]
    assert not seen["val"] & seen["test"]
    assert all(len(sequences) > 1500 for sequences in seen.values())


@pytest.mark.parametrize("split", SPLITS)
def test_a_sample_does_not_depend_on_its_block(split):
    whole = draw(5, split, 0, 60, final)
    part = draw(5, split, 17, 20, final)
    for ours, theirs in zip(part, whole, strict=True):
        assert torch.equal(ours, theirs[17:37])
    assert not torch.equal(draw(6, split, 0, 60, final).terms, whole.terms)


GOLDEN = {"train": "9b0df635ba", "val": "5f45086bb6", "test": "b040b8cf14"}


@pytest.mark.parametrize("split", SPLITS)
def test_the_sequences_stay_the_same(split):
    """A faster way must draw the same. Training is as in version 0.1; validation and test are balanced since 0.3."""
    samples = draw(1, split, 5, 3000, final)
    content = b"".join(values.contiguous().numpy().tobytes() for values in samples)
    assert hashlib.md5(content).hexdigest()[:10] == GOLDEN[split]


def test_held_out_rules_are_equally_frequent():
    """Of growing steps, a rule with large steps keeps few of its draws, and one with small steps many."""
    family = next(family for family in FAMILIES if family.name == "growing_steps")
    counts = {
        split: draw_from(family, 1, split, torch.arange(4000))[1].bincount().double() for split in ("train", "test")
    }
    spread = {split: float(count[count > 0].std() / count[count > 0].mean()) for split, count in counts.items()}
    assert spread["train"] > 0.5
    assert spread["test"] < 0.2  # that of 4,000 fair draws among 44 rules is 0.1


def test_shares_of_the_phases_are_those_asked_for():
    samples = draw(1, "train", 0, 6000, final)
    phases = torch.tensor([family.phase for family in FAMILIES])[samples.family]
    assert (phases.bincount()[1:] / 6000).tolist() == pytest.approx([0.2, 0.3, 0.5], abs=0.02)
    of_phase_3 = samples.family[phases == 3].bincount()[10:] / (phases == 3).sum()
    assert of_phase_3.tolist() == pytest.approx([1 / 7] * 7, abs=0.03)


def test_the_curriculum_has_the_stated_corners():
    corners = {0.0: (1, 0, 0), 0.2: (1, 0, 0), 0.45: (0.4, 0.6, 0), 0.8: (0.2, 0.3, 0.5), 1.0: (0.2, 0.3, 0.5)}
    shares = mixture(torch.tensor(list(corners), dtype=torch.float64))
    assert shares.tolist() == [pytest.approx(list(row)) for row in corners.values()]
    between = mixture(torch.linspace(0, 1, 101, dtype=torch.float64))
    assert torch.allclose(between.sum(1), torch.ones(101, dtype=torch.float64))
    assert (between >= 0).all()
