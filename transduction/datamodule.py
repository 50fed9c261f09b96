"""The datamodule of a problem: one length a batch, drawn anew for each step, and test strings of longer lengths."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from annotated_types import Ge, Le

from seqlab.lit.datamodule import DataModule
from seqlab.randomness import uniforms
from seqlab.spec import Spec, Tokens
from transduction.problem import Drawn, Problem

Length = Annotated[int, Ge(1), Le(100_000)]


class TransductionDataModule(DataModule):
    """Strings with their answers, as `Drawn`. A batch has one length, so nothing is padded.

    Training draws a length for each step, all that the problem has equally likely. Test strings have lengths in bins:
    from the shortest to max_length, then above each of `test_lengths` up to the next one. Each bin has
    `lengths_per_bin` lengths of those that the problem has, evenly spread, its ends included.

    Args:
        problem: what is to be computed.
        max_length: the longest string of training and validation.
        test_lengths: ends of the bins of longer test strings, ascending. Those that the problem does not have are left
            out.
        lengths_per_bin: number of lengths in a bin, or all if it has fewer.
        batch_size: strings in a batch.
        num_val, num_test: number of strings of each length.
        seed: seed of the data.

    Raises:
        ValueError: the problem has no string up to max_length, or test_lengths do not ascend from it.
    """

    def __init__(
        self,
        *,
        problem: Problem,
        max_length: Length = 40,
        test_lengths: tuple[Length, ...] = (),
        lengths_per_bin: Annotated[int, Ge(2)] = 8,
        batch_size: Annotated[int, Ge(1)] = 64,
        num_val: Annotated[int, Ge(1)] = 32,
        num_test: Annotated[int, Ge(1)] = 64,
        seed: Annotated[int, Ge(0)] = 1,
    ):
        super().__init__()
        longest = problem.longest
        if max_length < problem.shortest or (longest is not None and max_length > longest):
            limit = "" if longest is None else f" and at most {longest}"
            raise ValueError(f"data.max_length={max_length}: this problem needs at least {problem.shortest}{limit}")
        ends = [max_length, *test_lengths]
        if sorted(set(ends)) != ends:
            raise ValueError(f"data.test_lengths={list(test_lengths)} must ascend from data.max_length={max_length}")
        ends = [end for end in ends if longest is None or end <= longest]
        starts = [problem.shortest, *(end + 1 for end in ends[:-1])]
        present = {
            f"{a}-{b}": [n for n in range(a, b + 1) if problem.has(n)] for a, b in zip(starts, ends, strict=True)
        }
        self.train_lengths = next(iter(present.values()))
        if not self.train_lengths:
            raise ValueError(
                f"data.max_length={max_length}: this problem has no strings of lengths {starts[0]} to {max_length}"
            )
        self.bins = {name: spread(lengths, lengths_per_bin) for name, lengths in present.items() if lengths}
        self.problem, self.max_length, self.seed = problem, max_length, seed
        self.batch_size, self.num_val, self.num_test = batch_size, num_val, num_test
        self.spec = Spec(Tokens(len(problem.symbols)), problem.kind.output, max_length=problem.steps(max_length))

    @property
    def steps_per_epoch(self) -> None:
        return None

    def drawn(self, stream: str, length: int, start: int, count: int) -> Drawn:
        """Strings start .. start + count - 1 of a length, each a function of seed, stream, length and index."""
        width = self.problem.num_uniforms(length)
        return self.problem.draw(length, uniforms(self.seed, f"{stream} {length}", start, count, width))

    def train_batch(self, step: int) -> Drawn:
        place = uniforms(self.seed, "length", step, 1, 1).item()
        length = self.train_lengths[int(place * len(self.train_lengths))]
        return self.drawn("train", length, step * self.batch_size, self.batch_size)

    def evaluation_lengths(self, split: Literal["val", "test"]) -> list[int]:
        """The lengths of the strings of a split, ascending."""
        bins = list(self.bins.values())
        return [length for lengths in (bins[:1] if split == "val" else bins) for length in lengths]

    def evaluation_set(self, split: Literal["val", "test"]) -> list[Drawn]:
        """The strings of a split, one batch for each length."""
        return list(self.batches(split))

    def batches(self, split: Literal["val", "test"]) -> Iterator[Drawn]:
        """The strings of each length of a split, in order of `evaluation_lengths`."""
        count = self.num_val if split == "val" else self.num_test
        for length in self.evaluation_lengths(split):
            yield self.drawn(split, length, 0, count)


def spread(lengths: Sequence[int], number: int) -> list[int]:
    """Up to `number` of some ascending lengths, evenly spread, both ends included.

    >>> spread(range(1, 41), 4), spread([3, 4], 8), spread(range(2, 41, 2), 3)
    ([1, 14, 27, 40], [3, 4], [2, 22, 40])
    """
    if number >= len(lengths):
        return list(lengths)
    first, width = lengths[0], len(lengths) - 1  # counted from the first, so that halves round as they always did
    return [
        lengths[n] for n in sorted({round(first + width * index / (number - 1)) - first for index in range(number)})
    ]
