"""The strings of a formal language as training, validation and test data."""

from functools import cached_property
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from rule_extrapolation.grammars import Grammar
from rule_extrapolation.prompts import Prompts, prompts
from rule_extrapolation.rules import EOS, PAD, SOS
from seqlab.lit.datamodule import BlockStream, DataModule, EpochStream
from seqlab.randomness import row_hash, uniforms
from seqlab.spec import Classes, Spec, Tokens

MAX_ATTEMPTS = 512  # a tenth of the strings is in the smallest split: 0.9^512 = 4e-24 never meets one by chance


def split_of(strings: Tensor) -> Tensor:
    """The split that each string (batch, time) belongs to by itself: 0 train (8 of 10), 1 val, 2 test.

    A fixed hash of the symbols, not of the seed or of the padding: a test string is a test string in every run.
    """
    bucket = row_hash(torch.where(strings == PAD, 0, strings)) % 10
    return torch.where(bucket == 0, 2, torch.where(bucket == 1, 1, 0))


class GrammarDataModule(DataModule):
    """Strings of one language, framed as SOS, symbols, EOS, PAD ..., (batch, max_length + 2).

    Sample i of a split is a function of (seed, split, i): a length uniform over those that the language has up to
    max_length, then a string uniform over those of that length; drawn anew while it belongs to another split.

    Args:
        grammar: the language.
        max_length: the most symbols in a string (SOS and EOS not counted).
        batch_size: rows in a batch.
        num_train: None for an endless stream, else so many samples, permuted anew each epoch.
        num_val, num_test: samples that validation and test loss are measured on.
        split: `held_out`: no string of one split occurs in another. `shared`: all three draw from the same strings,
            for languages with one string a length, where nothing could be held out.
        prompt_length: symbols of the evaluation prompts (None: the length that the published study used).
        seed: of the data.

    Raises:
        ValueError: for a max_length or prompt_length that the language cannot have, or that leaves an
            in-distribution prompt no room to be completed; for held-out splits of a language with too few strings.
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
        prompt_length: Annotated[int, Ge(1)] | None = None,
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
        self.prompts: Prompts = prompts(grammar, prompt_length, max_length)
        size = grammar.vocabulary_size
        self.spec = Spec(Tokens(size), Classes(size), max_length=max_length + 1, sos=SOS, eos=EOS, pad=PAD)
        if split == "held_out":
            for part in ("train", "val", "test"):
                self.samples(part, 0, 1)  # refuses here a language with too few strings
        self.stream = (
            BlockStream(lambda start, count: self.samples("train", start, count), batch_size)
            if num_train is None
            else EpochStream(self.samples("train", 0, num_train), batch_size, seed)
        )

    @cached_property
    def val_strings(self) -> Tensor:
        """All validation samples, framed."""
        return self.samples("val", 0, self.num_val)

    @cached_property
    def test_strings(self) -> Tensor:
        """All test samples, framed."""
        return self.samples("test", 0, self.num_test)

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
        """The strings of some rows of a block, (len(rows), max_length): a row is made of its own uniforms alone."""
        width = 1 + self.grammar.num_uniforms(self.max_length)
        numbers = uniforms(self.seed, split, start, count, width, attempt=attempt)[rows]
        lengths = self.lengths[(numbers[:, 0] * len(self.lengths)).long()]
        strings = self.grammar.sample(lengths, numbers[:, 1:])
        return torch.nn.functional.pad(strings, (0, self.max_length - strings.shape[1]), value=PAD)

    def _framed(self, strings: Tensor) -> Tensor:
        rows = torch.full((len(strings), self.max_length + 2), PAD)
        rows[:, 0] = SOS
        rows[:, 1:-1] = strings
        ends = (strings != PAD).sum(1) + 1
        rows[torch.arange(len(rows)), ends] = EOS
        return rows
