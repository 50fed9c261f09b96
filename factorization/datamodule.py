"""The datamodule of semiprimes."""

from functools import cached_property
from typing import Annotated, Literal, NamedTuple

import torch
from annotated_types import Ge, Interval
from torch import Tensor

from factorization.bits import Order, num_digits, residue_angles, to_digits
from factorization.heads import BitsHead, ClassHead, Head, TokenHead
from factorization.primes import primes_below
from factorization.semiprimes import Semiprimes, SetName, drawn_semiprimes, semiprime_set
from factorization.splits import TEST, TRAIN, VAL, place_of, ranked, split_of
from seqlab.lit.datamodule import BlockStream, DataModule, EpochStream

EVALUATED = 20_000  # finite sets: maximum number of validation and of test numbers that are evaluated
DRAWN = 2_000  # S7: number of validation and of test numbers
FITTED = 4_000  # S7: number of training numbers for the baselines
SPLITS = {"train": TRAIN, "val": VAL, "test": TEST}

Split = Literal["train", "val", "test"]


class Batch(NamedTuple):
    """Model inputs of some numbers, batch first, and their smaller factors (batch,) int64."""

    inputs: Tensor
    factors: Tensor


class SemiprimesDataModule(DataModule):
    """Numbers of one set, encoded as digits or residues, and the smaller prime factor of each.

    No number is in two splits. A hash of N decides (`protocol=number`), or a hash of its smaller factor, so that each
    factor is in one split only (`protocol=factor`). Each fold tests on a different fifth. A tenth of all numbers is for
    validation and 7 tenths for training. For S5, training and validation together have a tenth of all numbers; the
    rest is unused.

    Args:
        set: S1 .. S7, see factorization/semiprimes.py.
        bits: bits of the numbers, for S6 (20, 24, 28, 32) and S7 (48, 64); None: the fewest.
        squares: whether to include p = q.
        fold: which of the five folds.
        protocol: what to hash, the number or its smaller factor.
        input: `digits` of N; `residues`: N modulo 2 .. 13, as angles; `oracle`: N modulo every candidate prime, which
            gives the model the result of trial division.
        base: base of the digits. In base 2 a step is one number, otherwise a one-hot vector.
        order: most (`msb`) or least (`lsb`) significant digit first.
        head: `bits` or `classes` (one output at the end), or `tokens` (autoregressive bits).
        batch_size: rows in a batch; None: the whole training set.
        num_train: maximum number of training numbers, selected by hash; None: all.
        seed: seed of the order of batches, and of S7.

    Raises:
        ValueError: options cannot be combined, or a split has no number.
    """

    evaluation_batch_size = 1000

    def __init__(
        self,
        *,
        set: SetName = "S3",
        bits: Literal[20, 24, 28, 32, 48, 64] | None = None,
        squares: bool = True,
        fold: Annotated[int, Interval(ge=0, le=4)] = 0,
        protocol: Literal["number", "factor"] = "number",
        input: Literal["digits", "residues", "oracle"] = "digits",
        base: Annotated[int, Interval(ge=2, le=256)] = 2,
        order: Order = "msb",
        head: Literal["bits", "classes", "tokens"] = "tokens",
        batch_size: Annotated[int, Ge(1)] | None = 4,
        num_train: Annotated[int, Ge(1)] | None = None,
        seed: Annotated[int, Ge(0)] = 1,
    ):
        super().__init__()
        self.semiprime_set = semiprime_set(set, bits=bits, squares=squares)
        self.fold, self.protocol, self.seed = fold, protocol, seed
        self.input, self.base = input, base
        self.order: Order = order
        self._refuse_pairs(head, batch_size)
        if self.semiprime_set.items is None and (num_train is not None or not squares):
            raise ValueError(f"data.set={set} is endless: data.num_train=null and data.squares=true are needed")
        self.moduli = torch.empty(0, dtype=torch.int64)  # unused for digits: primes of 32 bits would take minutes
        if input != "digits":
            self.moduli = (
                torch.arange(2, 14) if input == "residues" else primes_below(1 << self.semiprime_set.factor_bits)
            )
        self.head = self._head(head)
        self.spec = self.head.spec
        if self.semiprime_set.items is None:
            assert batch_size is not None
            self.train = self._drawn("train", 0, FITTED)
            self.val, self.test = self._drawn("val", 0, DRAWN), self._drawn("test", 0, DRAWN)
            self.stream = BlockStream(self._training_rows, batch_size)
        else:
            self.train = self._chosen(TRAIN, num_train)
            self.val, self.test = self._chosen(VAL, EVALUATED), self._chosen(TEST, EVALUATED)
            self.stream = EpochStream(torch.stack(self.train, 1), batch_size or len(self.train.numbers), seed)

    def _refuse_pairs(self, head: str, batch_size: int | None) -> None:
        name = self.semiprime_set.name
        if self.semiprime_set.items is None and (self.input == "oracle" or head == "classes"):
            raise ValueError(f"data.set={name} has too many primes for data.input=oracle and for data.head=classes")
        if self.semiprime_set.items is None and (self.protocol == "factor" or batch_size is None):
            raise ValueError(f"data.set={name} is endless: data.protocol=number and a data.batch_size are needed")
        if head == "tokens" and self.input != "digits":
            raise ValueError(f"data.head=tokens reads data.input=digits, not {self.input}")
        if self.input != "digits" and (self.base, self.order) != (2, "msb"):
            raise ValueError(f"data.base and data.order need data.input=digits, not {self.input}")

    def _head(self, head: str) -> Head:
        bits, factor_bits = self.semiprime_set.bits, self.semiprime_set.factor_bits
        if head == "tokens":
            return TokenHead(steps=num_digits(bits, self.base), base=self.base, factor_bits=factor_bits)
        if self.input == "digits":
            steps, width = num_digits(bits, self.base), 1 if self.base == 2 else self.base
        else:
            steps, width = len(self.moduli), 2
        if head == "bits":
            return BitsHead(steps=steps, width=width, factor_bits=factor_bits)
        assert self.semiprime_set.items is not None
        primes = torch.unique(self.semiprime_set.items.factors)
        return ClassHead(steps=steps, width=width, factor_bits=factor_bits, primes=primes)

    def encode(self, numbers: Tensor) -> Tensor:
        """The model inputs: ids (batch, time) for data.head=tokens, else vectors (batch, time, width)."""
        if self.input != "digits":
            return residue_angles(numbers, self.moduli)
        digits = to_digits(numbers, bits=self.semiprime_set.bits, base=self.base, order=self.order)
        if isinstance(self.head, TokenHead):
            return digits
        if self.base == 2:
            return digits.float().unsqueeze(-1)
        return torch.nn.functional.one_hot(digits, self.base).float()

    @cached_property
    def splits(self) -> Tensor:
        """The split of each number of a finite set, (count,)."""
        assert self.semiprime_set.items is not None
        numbers, factors = self.semiprime_set.items
        places = ranked(factors) if self.protocol == "factor" else place_of(numbers)
        return split_of(places, fold=self.fold, train_proportion=self.semiprime_set.train_proportion)

    def _chosen(self, split: int, most: int | None) -> Semiprimes:
        assert self.semiprime_set.items is not None
        part = self.semiprime_set.items.where(self.splits == split)
        if len(part.numbers) == 0:
            raise ValueError(f"data.fold={self.fold} of {self.semiprime_set.name} has no number in one of its splits")
        if most is None or len(part.numbers) <= most:
            return part
        return part.where(place_of(~part.numbers).argsort()[:most])  # ~ gives a hash other than the split's

    def _drawn(self, split: Split, start: int, count: int) -> Semiprimes:
        """Samples start .. start + count - 1 of a split of S7, each resampled while it belongs to another split."""
        numbers, factors = torch.zeros(count, dtype=torch.int64), torch.zeros(count, dtype=torch.int64)
        missing = torch.arange(count)
        attempt = 0
        while len(missing):  # about one draw in twelve yields a number of the smallest split
            drawn, failed = drawn_semiprimes(
                self.semiprime_set.bits, seed=self.seed, stream=split, indices=start + missing, attempt=attempt
            )
            taken = ~failed & (split_of(place_of(drawn.numbers), fold=self.fold) == SPLITS[split])
            numbers[missing[taken]], factors[missing[taken]] = drawn.where(taken)
            missing = missing[~taken]
            attempt += 1
        return Semiprimes(numbers, factors)

    def _training_rows(self, start: int, count: int) -> Tensor:
        return torch.stack(self._drawn("train", start, count), 1)

    def train_batch(self, step: int) -> Batch:
        rows = self.stream.batch(step)
        return Batch(self.encode(rows[:, 0]), rows[:, 1].contiguous())

    def part(self, split: Split) -> Semiprimes:
        """The semiprimes of a split. For an endless set, `train` has the numbers that baselines are fitted on."""
        return {"train": self.train, "val": self.val, "test": self.test}[split]

    def evaluation_set(self, split: Literal["val", "test"]) -> Batch:
        numbers, factors = self.part(split)
        return Batch(self.encode(numbers), factors)
