"""The strings of a formal language as training, validation and test data."""

from functools import cached_property
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le, MinLen
from torch import Tensor

from rule_extrapolation.grammars import Grammar
from rule_extrapolation.optimum import NextToken, Optimum
from rule_extrapolation.prompts import Prompts, prompts
from rule_extrapolation.rules import EOS, PAD, SOS
from rule_extrapolation.splits import TEST, Splits
from seqlab.lit.datamodule import BlockStream, DataModule, EpochStream
from seqlab.randomness import uniforms
from seqlab.spec import Classes, Spec, Tokens

LONGEST_COUNTED = 64  # symbols


class GrammarDataModule(DataModule):
    """Strings of one language, framed as SOS, symbols, EOS, PAD ..., (batch, max_length + 2).

    Sample i of a split is a function of (seed, split, i). The length is uniform over the language's lengths up to
    max_length (for validation and test over those with three strings or more), the string uniform over the strings of
    that length. Within its length it is resampled while it belongs to another split (`rule_extrapolation.splits`).

    Args:
        grammar: the language.
        max_length: the maximum number of symbols in a string (without SOS and EOS).
        batch_size: rows in a batch.
        num_train: number of training samples, permuted again each epoch; None: an endless stream.
        num_val, num_test: number of samples for validation and test loss.
        split: `held_out`: no string occurs in two splits. `shared`: all three splits draw from the same strings, for
            languages with one string per length, where nothing can be held out.
        prompt_lengths: numbers of symbols of the evaluation prompts (None: the one of the published study). All
            prompts of each length are enumerated, up to 1,000 in a set.
        seed: seed of the data.

    Raises:
        ValueError: max_length or prompt_lengths is impossible for the language or leaves an in-distribution prompt no
            room for a completion, or the language has too few strings for held-out splits.
    """

    def __init__(
        self,
        *,
        grammar: Grammar,
        max_length: Annotated[int, Ge(1)] = 32,
        batch_size: Annotated[int, Ge(1)] = 128,
        num_train: Annotated[int, Ge(1)] | None = None,
        num_val: Annotated[int, Ge(1)] = 512,
        num_test: Annotated[int, Ge(1)] = 1024,
        split: Literal["held_out", "shared"] = "held_out",
        prompt_lengths: Annotated[tuple[Annotated[int, Ge(1), Le(1000)], ...], MinLen(1)] | None = None,
        seed: Annotated[int, Ge(0)] = 1,
    ):
        super().__init__()
        self.grammar = grammar
        self.max_length = max_length
        self.batch_size = self.evaluation_batch_size = batch_size
        self.num_val, self.num_test = num_val, num_test
        self.split = split
        self.seed = seed
        self.lengths = grammar.lengths(max_length)
        self.prompts: Prompts = prompts(grammar, *(prompt_lengths or ()), max_length=max_length)
        size = grammar.vocabulary_size
        self.spec = Spec(Tokens(size), Classes(size), max_length=max_length + 1, sos=SOS, eos=EOS, pad=PAD)
        self.splits = self.held_out() if split == "held_out" else None
        self.stream = (
            BlockStream(lambda start, count: self.samples("train", start, count), batch_size)
            if num_train is None
            else EpochStream(self.samples("train", 0, num_train), batch_size, seed)
        )

    @property
    def kept_apart(self) -> str:
        """How the splits are kept apart, for the title of a table."""
        return {
            "held_out": "train, validation and test share no string",
            "shared": "train, validation and test share all strings: the language has one string per length",
        }[self.split]

    @cached_property
    def val_strings(self) -> Tensor:
        """All validation samples, framed."""
        return self.samples("val", 0, self.num_val)

    @cached_property
    def test_strings(self) -> Tensor:
        """All test samples, framed."""
        return self.samples("test", 0, self.num_test)

    @cached_property
    def next_token(self) -> NextToken | None:
        """The exact probabilities of the sampler.

        None for strings of more than 64 symbols, which take minutes, and for a sampler that is not uniform.
        """
        known = self.grammar.uniform and self.max_length <= LONGEST_COUNTED
        return NextToken(self.grammar, self.max_length) if known else None

    @cached_property
    def test_optimum(self) -> Optimum | None:
        """The best possible loss and accuracy on the test strings, where `next_token` is known."""
        return None if self.next_token is None else self.next_token.optimum(self.test_strings)

    @cached_property
    def val_optimum(self) -> Optimum | None:
        """The same on the validation strings."""
        return None if self.next_token is None else self.next_token.optimum(self.val_strings)

    def optimum(self, split: Literal["val", "test"]) -> Optimum | None:
        """The best possible loss and accuracy on the strings of a split, where `next_token` is known."""
        return self.val_optimum if split == "val" else self.test_optimum

    def evaluation_set(self, split: Literal["val", "test"]) -> Tensor:
        return self.val_strings if split == "val" else self.test_strings

    def held_out(self) -> Splits | None:
        """The splits of the language's strings, at its construction; None: all three draw from the same strings.

        Raises:
            ValueError: no length has three strings.
        """
        splits = Splits(self.grammar, self.max_length)
        if len(splits.lengths[TEST]) == 0:
            raise ValueError(
                f"{self.grammar.name} has at most two strings of each length up to max_length={self.max_length}, so "
                "none can be held out; set data.split=shared or a larger data.max_length"
            )
        return splits

    def samples(self, split: Literal["train", "val", "test"], start: int, count: int) -> Tensor:
        """Samples start .. start + count - 1 of a split, framed, (count, max_length + 2)."""
        part = ("train", "val", "test").index(split)
        allowed = self.lengths if self.splits is None else self.splits.lengths[part]
        width = 1 + self.grammar.num_uniforms(self.max_length)
        numbers = uniforms(self.seed, split, start, count, width)
        lengths = allowed[(numbers[:, 0] * len(allowed)).long()]
        strings = torch.full((count, self.max_length), PAD)
        missing, attempt = torch.arange(count), 0
        while len(missing):
            drawn = self.grammar.batch(lengths[missing], numbers[missing, 1:])
            strings[missing, : drawn.shape[1]] = drawn
            if self.splits is None:
                break
            missing = missing[self.splits.of(drawn) != part]
            attempt += 1
            numbers = uniforms(self.seed, split, start, count, width, attempt=attempt)
        return self._framed(strings)

    def _framed(self, strings: Tensor) -> Tensor:
        rows = torch.full((len(strings), self.max_length + 2), PAD)
        rows[:, 0] = SOS
        rows[:, 1:-1] = strings
        ends = (strings != PAD).sum(1) + 1
        rows[torch.arange(len(rows)), ends] = EOS
        return rows
