"""Families against one line of plain Python each; what is drawn, kept and held out."""

import hashlib

import pytest
import torch

from seqlab.randomness import uniforms
from sequences.curriculum import computed, draw, draw_from, mixture, training_table, trains
from sequences.families import FAMILIES, family_shares
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
    terms, rule = draw_from(family, 1, torch.arange(300))
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
    assert whole.any() or family.name == "true_growth"  # its one sequence of nine terms is 2^n - 1, a real one
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


def test_the_table_says_what_making_the_sequences_says(family):
    rules = torch.arange(500) % len(family.rules)
    initial = family.initial(family.rules[rules], uniforms(4, "test", 0, 500, family.order + 1))
    found = computed(family, rules, initial)
    assert torch.equal(trains(family, rules, initial), found)
    assert found.any() and not found.all()
    assert (training_table(family) is None) == (len(family.rules) * 256**family.order > 2**20)


def test_a_sample_does_not_depend_on_its_block():
    whole = draw(5, 0, 60, final)
    part = draw(5, 17, 20, final)
    for ours, theirs in zip(part, whole, strict=True):
        assert torch.equal(ours, theirs[17:37])
    assert not torch.equal(draw(6, 0, 60, final).terms, whole.terms)


def test_the_sequences_stay_the_same():
    """A faster way must draw the same."""
    terms, family, rule, _ = draw(1, 5, 3000, final)
    content = b"".join(values.contiguous().numpy().tobytes() for values in (terms, family, rule))
    assert hashlib.md5(content).hexdigest()[:10] == "fbf2d82e4b"


def test_families_have_the_shares_of_their_phases():
    assert family_shares().tolist() == pytest.approx([0.05] * 4 + [0.05] * 6 + [0.5 / 7] * 7)


def test_shares_of_the_phases_are_those_asked_for():
    samples = draw(1, 0, 6000, final)
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
