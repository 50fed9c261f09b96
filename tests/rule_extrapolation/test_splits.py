"""A string is for training, validation or test by its own symbols, and each split has its part of every length."""

import pytest
import torch

from rule_extrapolation.datamodule import GrammarDataModule
from rule_extrapolation.dyck import Brackets, Dyck, Parentheses, Separated, ShuffleDyck
from rule_extrapolation.letters import ANBM, ANBN, ANBNAN, ANBNCN, AbN, BaN, BbaN
from rule_extrapolation.rules import PAD
from rule_extrapolation.splits import TEST, TRAIN, VAL, Splits

HELD_OUT = [BaN(), BbaN(), Dyck(), ShuffleDyck(), AbN(), ANBM(), Parentheses(), Brackets(), Separated()]
every_language = pytest.mark.parametrize("grammar", HELD_OUT, ids=lambda grammar: grammar.name)


@every_language
def test_a_length_with_three_strings_or_more_is_in_every_split(grammar):
    splits = Splits(grammar, 10)
    for length in grammar.lengths(10).tolist():
        counts = splits.of(grammar.strings(length)).bincount(minlength=3)
        number = int(counts.sum())
        held_out = 0 if number < 3 else max(1, number // 10)
        for part in (VAL, TEST):
            assert counts[part] >= (held_out if number <= 256 else 0.7 * held_out)
            assert counts[part] <= (held_out + 1 if number <= 256 else 1.3 * held_out)
            assert (length in splits.lengths[part]) == (number >= 3)
        assert counts[TRAIN] > 0
        assert length in splits.lengths[TRAIN]


@every_language
def test_the_three_splits_have_their_lengths_equally_often(grammar):
    data = GrammarDataModule(grammar=grammar, max_length=24, prompt_lengths=(4,))
    tests = Splits(grammar, 24).lengths[TEST]
    for part in ("train", "val", "test"):
        lengths = (data.samples(part, 0, 1500) >= 3).sum(1)
        kept = lengths[torch.isin(lengths, tests)]
        expected = len(kept) / len(tests)
        assert kept.bincount(minlength=25)[tests].min() > 0.5 * expected
        assert kept.bincount(minlength=25)[tests].max() < 1.6 * expected
        assert part == "train" or len(kept) == 1500


@pytest.mark.parametrize("grammar", [Dyck(), BbaN()], ids=["many", "few"])
def test_the_split_of_a_string_ignores_padding_and_the_longest_length(grammar):
    strings = torch.cat(
        [torch.nn.functional.pad(grammar.strings(n), (0, 10 - n), value=PAD) for n in grammar.lengths(10).tolist()]
    )
    split = Splits(grammar, 10).of(strings)
    assert torch.equal(Splits(grammar, 32).of(torch.nn.functional.pad(strings, (0, 12), value=PAD)), split)
    assert torch.equal(Splits(grammar, 10).of(strings.flip(0)), split.flip(0))


@pytest.mark.parametrize("grammar", [ANBN(), ANBNCN(), ANBNAN()], ids=lambda grammar: grammar.name)
def test_a_language_with_one_string_per_length_holds_none_out(grammar):
    splits = Splits(grammar, 24)
    assert splits.of(grammar.strings(6)).tolist() == [TRAIN]
    assert splits.lengths[TEST].tolist() == []
    with pytest.raises(ValueError, match=f"{grammar.name} has at most two strings of each length up to max_length=24"):
        GrammarDataModule(grammar=grammar, max_length=24, prompt_lengths=(4,))
