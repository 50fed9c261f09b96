"""The strings of a formal language as training, validation and test data."""

from functools import cached_property
from typing import Annotated, Literal

import torch
from annotated_types import Ge, MinLen
from torch import Tensor

from rule_extrapolation.grammars import Grammar
from rule_extrapolation.optimum import NextToken, Optimum
from rule_extrapolation.prompts import Prompts, prompts
from rule_extrapolation.rules import EOS, PAD, SOS
from seqlab.lit.datamodule import BlockStream, DataModule, EpochStream
from seqlab.randomness import row_hash, uniforms
from seqlab.spec import Classes, Spec, Tokens

LONGEST_COUNTED = 64  # symbols
MAX_ATTEMPTS = 512  # the smallest split has a tenth of the strings: all attempts miss with probability 0.9^512 = 4e-24


def split_of(strings: Tensor) -> Tensor:
    """The split of each string (batch, time): 0 train (8 of 10), 1 val, 2 test.

    A fixed hash of the symbols alone, independent of seed and padding, so a test string is one in every run.
    """
    bucket = row_hash(torch.where(strings == PAD, 0, strings)) % 10
    return torch.where(bucket == 0, 2, torch.where(bucket == 1, 1, 0))


class GrammarDataModule(DataModule):
    """Strings of one language, framed as SOS, symbols, EOS, PAD ..., (batch, max_length + 2).

    Sample i of a split is a function of (seed, split, i). The length is uniform over the language's lengths up to
    max_length, the string uniform over the strings of that length. It is resampled while it belongs to another split.

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
        prompt_lengths: Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)] | None = None,
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
        if split == "held_out":
            for part in ("train", "val", "test"):
                self.samples(part, 0, 1)  # raises early for a language with too few strings
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
        """The exact probabilities of the sampler; None for strings of more than 64 symbols, which take minutes."""
        return NextToken(self.grammar, self.max_length) if self.max_length <= LONGEST_COUNTED else None

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

    def samples(self, split: Literal["train", "val", "test"], start: int, count: int) -> Tensor:
        """Samples start .. start + count - 1 of a split, framed, (count, max_length + 2)."""
        wanted = ("train", "val", "test").index(split)
        strings = torch.full((count, self.max_length), PAD)
        missing = torch.arange(count)
        for attempt in range(MAX_ATTEMPTS):
            drawn = self._draw(split, start, count, attempt, missing)
            if self.split == "shared":
                return self._framed(drawn)
            belongs = split_of(drawn) == wanted
            strings[missing[belongs]] = drawn[belongs]
            missing = missing[~belongs]
            if len(missing) == 0:
                return self._framed(strings)
        raise ValueError(
            f"{self.grammar.name} has no strings up to max_length={self.max_length} for the {split} split; "
            "set data.split=shared or a larger data.max_length"
        )

    def _draw(self, split: str, start: int, count: int, attempt: int, rows: Tensor) -> Tensor:
        """The strings of the given rows of a block, (len(rows), max_length). Each row uses only its own uniforms."""
        width = 1 + self.grammar.num_uniforms(self.max_length)
        numbers = uniforms(self.seed, split, start, count, width, attempt=attempt)[rows]
        lengths = self.lengths[(numbers[:, 0] * len(self.lengths)).long()]
        strings = self.grammar.batch(lengths, numbers[:, 1:])
        return torch.nn.functional.pad(strings, (0, self.max_length - strings.shape[1]), value=PAD)

    def _framed(self, strings: Tensor) -> Tensor:
        rows = torch.full((len(strings), self.max_length + 2), PAD)
        rows[:, 0] = SOS
        rows[:, 1:-1] = strings
        ends = (strings != PAD).sum(1) + 1
        rows[torch.arange(len(rows)), ends] = EOS
        return rows
