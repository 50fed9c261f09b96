"""The twelve languages of rule_extrapolation: half of the strings are in, and the oracle knows what was drawn."""

import pytest
import torch
import yaml

from rule_extrapolation.dyck import Brackets, Dyck, Parentheses, Separated, ShuffleDyck
from rule_extrapolation.letters import ANBM, ANBN, ANBNAN, ANBNCN, AbN, BaN, BbaN
from rule_extrapolation.published_grammars import PrimitiveDyck
from seqlab.randomness import uniforms
from tests.conftest import ROOT
from transduction.datamodule import TransductionDataModule
from transduction.grammatical import Grammatical, OfGrammar

LETTERS = [ANBM(), ANBN(), ANBNAN(), ANBNCN(), AbN(), BaN(), BbaN()]
GRAMMARS = [*LETTERS, Brackets(), Dyck(), Parentheses(), Separated(), ShuffleDyck()]


@pytest.mark.parametrize("readout", ["member", "accept", "next"])
@pytest.mark.parametrize("grammar", GRAMMARS, ids=lambda grammar: grammar.name)
def test_the_oracle_reads_what_was_drawn(grammar, readout):
    problem = Grammatical(language=grammar, readout=readout)
    for length in [n for n in (1, 2, 3, 6, 18, 30) if problem.has(n)]:
        drawn = problem.draw(length, uniforms(1, "x", 0, 30, problem.num_uniforms(length)))
        assert torch.equal(problem.oracle(drawn.inputs)[drawn.mask], drawn.targets[drawn.mask])


@pytest.mark.parametrize("grammar", GRAMMARS, ids=lambda grammar: grammar.name)
def test_half_of_the_strings_are_in_the_language_by_its_own_judgement(grammar):
    problem = Grammatical(language=grammar)
    drawn = problem.draw(12, uniforms(1, "x", 0, 2000, problem.num_uniforms(12)))
    texts = ["".join(problem.symbols[symbol] for symbol in row) for row in drawn.inputs[:200, :-1].tolist()]
    inside = torch.tensor([grammar.judge(text)["grammatical"] for text in texts]).long()
    assert torch.equal(drawn.targets[:200, -1], inside)
    assert abs(drawn.targets[:, -1].double().mean() - 0.5) < 5 * 0.5 / 2000**0.5


@pytest.mark.parametrize("grammar", GRAMMARS, ids=lambda grammar: grammar.name)
def test_there_are_both_kinds_of_strings_where_it_says_so(grammar):
    language = OfGrammar(grammar)
    for length in range(1, 7):
        everything = language.all_strings(length)
        inside = language.contains(everything)
        assert language.has_members(length) == bool(inside.any())
        assert language.has_others(length) == bool((~inside).any())


def test_only_some_lengths_exist():
    data = TransductionDataModule(problem=Grammatical(language=ANBNCN()), max_length=10, test_lengths=(11, 16))
    assert data.bins == {"1-10": [3, 6, 9], "12-16": [12, 15]}
    with pytest.raises(ValueError, match="no strings of lengths 1 to 2"):
        TransductionDataModule(problem=Grammatical(language=ANBNCN()), max_length=2)


def test_every_language_is_a_choice(compose):
    """A name stands for the same language here and in conf/data."""
    targets = []
    for path in sorted((ROOT / "conf" / "language").glob("*.yaml")):
        data = yaml.safe_load((ROOT / "conf" / "data" / path.name).read_text(encoding="utf-8"))
        targets.append(yaml.safe_load(path.read_text(encoding="utf-8"))["_target_"])
        assert targets[-1] == data["grammar"]["_target_"]
    assert sorted(target.rsplit(".")[-1] for target in targets) == sorted(type(one).__name__ for one in GRAMMARS)
    chosen = compose("data=next_set", "language=L4", full=True)["data"]["problem"]["language"]
    assert chosen == {"_target_": "rule_extrapolation.letters.ANBNCN"}


@pytest.mark.parametrize("grammar", [ANBN(), ANBNCN(), ANBNAN()], ids=lambda grammar: grammar.name)
def test_what_begins_like_a_member_may_go_on_as_that_member_does(grammar):
    """Also in long strings, whose members are made part by part."""
    language = OfGrammar(grammar)
    length = 900
    member = language.members(length, torch.empty(1, 0, dtype=torch.float64))[0].tolist()
    after = language.read(member)
    assert after[-1].inside and not any(one.inside for one in after[: length // 3])
    assert all(following in one.following for one, following in zip(after[:-1], member[1:], strict=True))
    other = (member[-1] + 1) % len(language.letters)
    assert not language.read([*member[:-1], other])[-1].inside


def test_a_sampler_that_prefers_some_strings_is_refused():
    with pytest.raises(ValueError, match="PrimitiveDyck does not draw the strings of a length alike"):
        Grammatical(language=PrimitiveDyck())


def test_whether_there_are_other_strings_is_known_at_once_of_long_ones():
    assert OfGrammar(Dyck()).has_others(10**15)
