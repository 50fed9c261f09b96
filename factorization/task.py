"""The task of factorization: training on semiprimes, and counting wrong bits of the smaller factor."""

import re
import reprlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from factorization.baselines import compare
from factorization.bits import to_bits
from factorization.datamodule import Batch, SemiprimesDataModule
from factorization.metrics import beta_results, detailed_results
from factorization.primes import smallest_factor
from factorization.semiprimes import unsigned
from factorization.splits import UNUSED
from seqlab.answers import GREEDY, Answer, Fault, Sampling, Steps
from seqlab.errors import InputError
from seqlab.metrics import Mean
from seqlab.model import device_of, evaluating
from seqlab.task import Results, Split, Task, Watched, predictions_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUM_CLICKED = 8  # numbers among sample_prompts
WATCHED = ("beta_0", "beta_1", "distinct_outputs")  # logged at each validation


class Factorization(Task[SemiprimesDataModule, nn.Module]):
    """Predicts the smaller prime factor of a semiprime, scored bit by bit.

    Args:
        datamodule: the set, its splits and the output head.
    """

    columns = MappingProxyType(
        {
            "loss": "test/loss",
            "beta_0": "test/beta_0",
            "beta_1": "test/beta_1",
            "beta_2": "test/beta_2",
            "beta_3": "test/beta_3",
            "distinct outputs": "test/distinct_outputs",
        }
    )
    # more distinct outputs are not better: the number shows whether a model ignores its input
    better = MappingProxyType({"test/loss": "low"} | {f"test/beta_{k}": "high" for k in range(4)})

    def __init__(self, datamodule: SemiprimesDataModule):
        super().__init__(datamodule)
        self.head = datamodule.head
        self.factor_bits = datamodule.semiprime_set.factor_bits

    def title(self) -> str:
        data = self.data
        reads = {
            "digits": "bits" if data.base == 2 else f"digits in base {data.base}",
            "residues": "residues modulo 2 to 13 (a labelled tier: part of trial division is handed over)",
            "oracle": "residues modulo every candidate prime (the labelled oracle: this is trial division)",
        }[data.input]
        if data.input == "digits":
            reads += {"msb": ", most significant first", "lsb": ", least significant first"}[data.order]
        kept = {
            "number": "no number in two splits",
            "factor": "no smaller factor in two splits (a class head is 0 by construction: it knows no unseen prime)",
        }[data.protocol]
        train, *kept_apart = (f"{len(getattr(data, part).numbers):,} {part}" for part in ("train", "val", "test"))
        counts = ", ".join(["endless train" if data.semiprime_set.items is None else train, *kept_apart])
        description = data.semiprime_set.description
        return f"{description}; fold {data.fold}: {counts}, {kept}; {reads} in, {self.head.description} out"

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The loss of the head: cross-entropy of bits, of primes, or of autoregressive bits."""
        return self.head.loss(model, batch.inputs, batch.factors)

    def num_targets(self, batch: Batch) -> int:
        """A factor in each row, whatever the head writes it in."""
        return len(batch.factors)

    def evaluate(self, model: nn.Module, split: Split) -> Results:
        """The loss and the metrics of the predicted factors, in total and by slices."""
        loss, predicted = self._predicted(model, split)
        factors = self.data.part(split).factors
        return {f"{split}/loss": loss} | detailed_results(
            predicted, factors, self.factor_bits, self.slices(split), split
        )

    def watch(self, model: nn.Module) -> Watched:
        loss, predicted = self._predicted(model, "val")
        results = beta_results("val", predicted, self.data.val.factors, self.factor_bits)
        numbers, factors = (
            part[:NUM_CLICKED].tolist() for part in (unsigned(self.data.val.numbers), self.data.val.factors)
        )
        rows = zip(map(str, numbers), map(str, predicted.tolist()), (f"right: {one}" for one in factors), strict=False)
        shown = {"val/loss": loss} | {f"val/{name}": results[f"val/{name}"] for name in WATCHED}
        return Watched(shown, {}, predictions_line(rows))

    def _predicted(self, model: nn.Module, split: Split) -> tuple[float, Tensor]:
        """The mean loss on a split, and the predicted factor of each number, (count,)."""
        loss, predicted = Mean(), []
        with evaluating(model):
            for batch in self.batches(model, split):
                loss.update(self.loss(model, batch), len(batch.factors))
                predicted.append(self.head.answer(model, batch.inputs).factors.cpu())
        return loss.compute(), torch.cat(predicted)

    def slices(self, split: Split) -> dict[str, Tensor]:
        """Masks of parts of a split with their own results: for S4 the numbers of S3, with both factors below 128."""
        numbers, factors = self.data.part(split)
        return {"s3": numbers // factors < 128} if self.data.semiprime_set.name == "S4" else {}

    def baselines(self) -> Mapping[str, Results]:
        """Constants, rules, neighbours and classical learners, see factorization.baselines.compare."""
        data = self.data
        return compare(
            data.train,
            data.test,
            bits=data.semiprime_set.bits,
            factor_bits=self.factor_bits,
            slices=self.slices("test"),
            seed=data.seed,
        )

    def figures(self, model: nn.Module, results: Results, baselines: Mapping[str, Results]) -> "Mapping[str, Figure]":
        from factorization.plots import beta_curves

        return {"beta": beta_curves(results, baselines, self.factor_bits)}

    def examples(self, model: nn.Module) -> list[dict[str, Any]]:
        """Every test number with its smaller factor, the predicted factor and the number of wrong bits."""
        _, predicted = self._predicted(model, "test")
        numbers, factors = self.data.test
        wrong = (to_bits(predicted, self.factor_bits) != to_bits(factors, self.factor_bits)).sum(1)
        columns = (unsigned(numbers).tolist(), factors.tolist(), predicted.tolist(), wrong.tolist())
        names = ("number", "factor", "predicted", "wrong_bits")
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def sample_prompt(self) -> str:
        """The first test number."""
        return str(unsigned(self.data.test[0])[0].item())

    def parse_prompt(self, text: str) -> int:
        """Parse a semiprime with at most as many bits as the set.

        Raises:
            InputError: the text is anything else. The message says why.
        """
        bits = self.data.semiprime_set.bits
        if (match := re.fullmatch("([+-]?)0*([0-9]+)", text.strip())) is None:
            raise InputError(f"{reprlib.repr(text)} is not a whole number in decimal digits")
        sign, digits = match.groups()
        if len(digits) > len(str(1 << bits)):  # Python refuses to read an integer of thousands of digits
            reason = "is below 4" if sign == "-" else f"has more bits than the model reads, {bits}"
            raise InputError(f"{reprlib.repr(sign + digits)} {reason}")
        number = int(sign + digits)
        if number < 4:
            raise InputError(f"{number} is not a semiprime: the smallest is 4")
        if number.bit_length() > bits:
            raise InputError(f"{number} has {number.bit_length()} bits, the model reads at most {bits}")
        smaller = smallest_factor(number)
        if smaller == number:
            raise InputError(f"{number} is a prime, not a semiprime")
        if smallest_factor(number // smaller) != number // smaller:
            raise InputError(
                f"{number} is not a semiprime: it is {smaller} · {number // smaller}, and the latter is not a prime"
            )
        return number

    def describe(self, model: nn.Module, prompt: int) -> str:
        """The predicted factor, whether it divides the number, and the confidence of each bit, as text."""
        with evaluating(model):
            answer = self.head.answer(model, self._encoded(prompt).to(device_of(model)))
        predicted = int(answer.factors[0])
        divides = predicted > 1 and prompt % predicted == 0
        check = f"{prompt // predicted}: {predicted} divides" if divides else f"none: {predicted} does not divide"
        truth = smallest_factor(prompt)
        bits = to_bits(answer.factors[0], self.factor_bits).tolist()
        confident = "  ".join(f"{bit} ({p:.0%})" for bit, p in zip(bits, answer.confidence[0].tolist(), strict=True))
        return "\n".join(
            [
                f"number      {prompt} ({prompt.bit_length()} bits; {self._standing(prompt)})",
                f"factor      {predicted}",
                f"cofactor    {check}",
                f"bits        {confident}",
                f"truth       {truth} · {prompt // truth}",
            ]
        )

    def _encoded(self, number: int) -> Tensor:
        """A number as the data have it, with a batch of one."""
        return self.data.encode(torch.tensor([number - (1 << 64) if number >= 1 << 63 else number]))

    def inputs(self, prompt: int) -> Tensor:
        return self.head.read(self._encoded(prompt))

    def steps(self, model: nn.Module, prompt: int) -> Steps:
        """The probability of each bit of the factor, the most significant first."""
        with evaluating(model):
            answer = self.head.answer(model, self._encoded(prompt).to(device_of(model)))
        bits = to_bits(answer.factors[0], self.factor_bits)
        ones = torch.where(bits == 1, answer.confidence[0], 1 - answer.confidence[0]).float().cpu()
        places = [f"bit {place}" for place in range(self.factor_bits - 1, -1, -1)]
        return Steps(places, ["0", "1"], torch.stack([1 - ones, ones], 1))

    def answers(self, model: nn.Module, prompt: int, sampling: Sampling = GREEDY) -> list[Answer]:
        """The predicted factor, marked where it does not divide the number."""
        encoded = self._encoded(prompt).to(device_of(model))
        with evaluating(model):
            inputs = encoded.expand(sampling.number, *encoded.shape[1:])
            factors = self.head.sampled(model, inputs, sampling.chooser(prompt))
        return [_answer(prompt, factor) for factor in factors.tolist()]

    def best(self, prompt: int) -> str:
        """Both factors, the smaller one first."""
        return f"{smallest_factor(prompt)} · {prompt // smallest_factor(prompt)}"

    def sample_prompts(self) -> list[str]:
        """The first test numbers."""
        return [str(number) for number in unsigned(self.data.test[0])[:NUM_CLICKED].tolist()]

    def _standing(self, number: int) -> str:
        """The split of the run's data that a number belongs to, as text."""
        numbers = self.data.semiprime_set
        if numbers.items is None:
            return f"{numbers.name} is resampled for every run"
        place = (numbers.items.numbers == number).nonzero()
        if len(place) == 0:
            return f"not a number of {numbers.name}"
        split = int(self.data.splits[place[0, 0]])
        return "unused in this run" if split == UNUSED else f"a {('training', 'validation', 'test')[split]} number"


def _answer(number: int, factor: int) -> Answer:
    divides = factor > 1 and number % factor == 0
    return Answer([str(number)], [str(factor)], faults=[] if divides else [Fault(1, "does not divide the number")])
