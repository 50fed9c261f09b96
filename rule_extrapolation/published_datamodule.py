"""The data of the public code: training, validation and test are the same strings."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from rule_extrapolation.datamodule import GrammarDataModule
from rule_extrapolation.rules import PAD


class SameStringsDataModule(GrammarDataModule):
    """`GrammarDataModule` whose validation and test samples are its first training samples, for reproduction only.

    A language with one string per length has each string once, and then each once again; `split` has no effect.
    """

    @property
    def kept_apart(self) -> str:
        return "train, validation and test are the same strings, as in the published runs"

    def held_out(self) -> None:
        """Nothing is held out."""

    def samples(self, split: Literal["train", "val", "test"], start: int, count: int) -> Tensor:
        """Training samples start .. start + count - 1, whatever the split, framed, (count, max_length + 2)."""
        if self.grammar.num_uniforms(self.max_length):
            return super().samples("train", start, count)
        lengths = self.lengths[torch.arange(start, start + count) % len(self.lengths)]
        strings = self.grammar.batch(lengths, torch.empty(count, 0))
        return self._framed(pad(strings, (0, self.max_length - strings.shape[1]), value=PAD))
