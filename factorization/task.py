"""Training on semiprimes, and how many bits of the smaller factor a model gets wrong."""

import re
import reprlib
from collections.abc import Callable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.optim import Optimizer

from factorization.baselines import compare
from factorization.bits import to_bits
from factorization.datamodule import Batch, SemiprimesDataModule
from factorization.metrics import beta_results, detailed_results
from factorization.plots import beta_curves
from factorization.primes import smallest_factor
from factorization.semiprimes import unsigned
from factorization.splits import UNUSED
from seqlab.errors import InputError
from seqlab.lit.module import Module, Results
from seqlab.metrics import Mean
from seqlab.schedule import Schedule

WATCHED = ("beta_0", "beta_1", "distinct_outputs")  # of each validation


class Factorization(Module):
    """The smaller prime factor of a semiprime, judged bit by bit.

    Args:
        model: what the head of the datamodule can read.
        datamodule: the set, its splits and its head.
        optimizer, schedule, seed: as in seqlab.lit.module.Module.
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
    # more distinct outputs are not better: their number says whether a model answers the same whatever it reads
    better = MappingProxyType({"test/loss": "low"} | {f"test/beta_{k}": "high" for k in range(4)})
    data: SemiprimesDataModule

    def __init__(
        self,
        *,
        model: nn.Module,
        datamodule: SemiprimesDataModule,
        optimizer: Callable[[nn.Module], Optimizer],
        schedule: Schedule,
        seed: int,
    ):
        super().__init__(model=model, datamodule=datamodule, optimizer=optimizer, schedule=schedule, seed=seed)
        self.head = datamodule.head
        self.factor_bits = datamodule.family.factor_bits
        self.mean_loss = Mean()
        self.predicted: list[Tensor] = []

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
        counts = ", ".join(f"{len(getattr(data, part).numbers):,} {part}" for part in ("train", "val", "test"))
        return f"{data.family.description}; fold {data.fold}: {counts}, {kept}; {reads} in, {self.head.description} out"

    def loss(self, batch: Batch) -> Tensor:
        """As the head has it: cross-entropy of bits, of primes, or of bits one after the other."""
        return self.head.loss(self.model, batch.inputs, batch.factors)

    def _evaluation_step(self, batch: Batch) -> None:
        self.mean_loss.update(self.loss(batch), len(batch.factors))
        self.predicted.append(self.head.answer(self.model, batch.inputs).factors.cpu())

    def _evaluated(self) -> tuple[float, Tensor]:
        """The mean loss and all predictions since the last call."""
        loss, predicted = float(self.mean_loss.compute()), torch.cat(self.predicted)
        self.mean_loss.reset()
        self.predicted.clear()
        return loss, predicted

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluation_step(batch)

    def on_validation_epoch_end(self) -> None:
        loss, predicted = self._evaluated()
        results = beta_results("val", predicted, self.data.val.factors, self.factor_bits)
        self.log_results({"val/loss": loss} | {f"val/{name}": results[f"val/{name}"] for name in WATCHED})

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluation_step(batch)

    def on_test_epoch_end(self) -> None:
        loss, predicted = self._evaluated()
        details = detailed_results(predicted, self.data.test.factors, self.factor_bits, self.slices)
        self.results = {"test/loss": loss, **details}

    @cached_property
    def slices(self) -> dict[str, Tensor]:
        """Parts of the test set with a table of their own: of S4 the numbers of S3, both factors below 128."""
        numbers, factors = self.data.test
        return {"s3": numbers // factors < 128} if self.data.family.name == "S4" else {}

    def baselines(self) -> Mapping[str, Results]:
        """Constants, rules, neighbours and classical learners, see factorization.baselines.compare."""
        data = self.data
        return compare(
            data.train,
            data.test,
            bits=data.family.bits,
            factor_bits=self.factor_bits,
            slices=self.slices,
            seed=self.seed,
        )

    def figures(self) -> dict[str, Figure]:
        return {"beta": beta_curves(self.results, self.baseline_results, self.factor_bits)}

    @torch.inference_mode()
    def examples(self) -> list[dict[str, Any]]:
        """Every test number with its factor and the model's."""
        records = []
        was_training = self.model.training
        self.model.eval()  # the end of a test leaves the model as it was before: with dropout
        for start in range(0, len(self.data.test.numbers), 1000):
            part = self.data.test.where(slice(start, start + 1000))  # type: ignore[arg-type]
            answer = self.head.answer(self.model, self.data.encode(part.numbers).to(self.device)).factors.cpu()
            wrong = (to_bits(answer, self.factor_bits) != to_bits(part.factors, self.factor_bits)).sum(1)
            columns = (unsigned(part.numbers).tolist(), part.factors.tolist(), answer.tolist(), wrong.tolist())
            names = ("number", "factor", "predicted", "wrong_bits")
            records += [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        self.model.train(was_training)
        return records

    def parse_prompt(self, text: str) -> int:
        """A semiprime of no more bits than the set has.

        Raises:
            InputError: for a text that is none, and says why.
        """
        bits = self.data.family.bits
        if (match := re.fullmatch("([+-]?)0*([0-9]+)", text.strip())) is None:
            raise InputError(f"{reprlib.repr(text)} is no whole number in decimal digits")
        sign, digits = match.groups()
        if len(digits) > len(str(1 << bits)):  # Python refuses to read an integer of thousands of digits
            reason = "is below 4" if sign == "-" else f"has more bits than the model reads, {bits}"
            raise InputError(f"{reprlib.repr(sign + digits)} {reason}")
        number = int(sign + digits)
        if number < 4:
            raise InputError(f"{number} is no semiprime: the smallest is 4")
        if number.bit_length() > bits:
            raise InputError(f"{number} has {number.bit_length()} bits, the model reads at most {bits}")
        smaller = smallest_factor(number)
        if smaller == number:
            raise InputError(f"{number} is a prime, no semiprime")
        if smallest_factor(number // smaller) != number // smaller:
            raise InputError(f"{number} is no semiprime: {smaller} · {number // smaller}, and the latter is no prime")
        return number

    def describe(self, prompt: int) -> str:
        """The factor that the model names, whether it divides, and how sure it is of each bit."""
        signed = prompt - (1 << 64) if prompt >= 1 << 63 else prompt
        inputs = self.data.encode(torch.tensor([signed])).to(self.device)
        answer = self.head.answer(self.model, inputs)
        predicted = int(answer.factors[0])
        divides = predicted > 1 and prompt % predicted == 0
        check = f"{prompt // predicted}: {predicted} divides" if divides else f"none: {predicted} does not divide"
        truth = smallest_factor(prompt)
        bits = to_bits(answer.factors[0], self.factor_bits).tolist()
        sure = "  ".join(f"{bit} ({p:.0%})" for bit, p in zip(bits, answer.confidence[0].tolist(), strict=True))
        return "\n".join(
            [
                f"number      {prompt} ({prompt.bit_length()} bits; {self._standing(prompt)})",
                f"factor      {predicted}",
                f"cofactor    {check}",
                f"bits        {sure}",
                f"in truth    {truth} · {prompt // truth}",
            ]
        )

    def _standing(self, number: int) -> str:
        """Which part of the run's data a number belongs to."""
        family = self.data.family
        if family.items is None:
            return f"{family.name} is drawn anew for every run"
        place = (family.items.numbers == number).nonzero()
        if len(place) == 0:
            return f"not a number of {family.name}"
        split = int(self.data.splits[place[0, 0]])
        return "unused in this run" if split == UNUSED else f"a {('training', 'validation', 'test')[split]} number"
