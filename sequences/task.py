"""Training on integer sequences, and what a model predicts beside solvers, the Bayes predictor and real sequences."""

import logging
import re
import reprlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from seqlab.decode import extend
from seqlab.errors import InputError
from seqlab.lit.module import Module, Results
from seqlab.metrics import Mean
from seqlab.model import SequenceModel
from seqlab.schedule import Schedule
from seqlab.share import Share
from sequences.bayes import acceptance
from sequences.comparison import compare, real_results, true_continuations
from sequences.curriculum import FAMILIES, Samples
from sequences.datamodule import RecurrenceDataModule
from sequences.family import MASKED, NUM_TERMS, NUM_VALUES
from sequences.loss import expected_distance, weighted_cross_entropy
from sequences.metrics import NextTermMetrics, exact_match
from sequences.named import named
from sequences.plots import by_length

MIN_PROMPT = 3
NUM_SHOWN = 5  # values that describe() gives with their probabilities, and sequences that a logger gets as text
NUM_WRITTEN = 200  # test sequences in completions.jsonl

logger = logging.getLogger(__name__)


class Recurrence(Module):
    """The next term after every prefix of a sequence.

    Args:
        model: a token model.
        datamodule: the sequences.
        optimizer, schedule, seed: as in seqlab.lit.module.Module.
        distance: `expected`: cross-entropy + beta E|k - target|. `argmax`: cross-entropy weighted by
            1 + alpha d, d = |argmax - target|, which has no gradient of its own.
        beta: of the expected distance.
        alpha, weighting: of the weight: d itself (`linear`), its root (`sqrt`) or its square (`quadratic`).
    """

    columns = MappingProxyType(
        {
            "accuracy at 8 terms": "test/accuracy",
            "phase 1": "test/accuracy_by_phase/phase_1",
            "phase 2": "test/accuracy_by_phase/phase_2",
            "phase 3": "test/accuracy_by_phase/phase_3",
            "distance": "test/distance",
            "cross-entropy": "test/cross_entropy",
            "next 8 terms": "test/exact_match",
            "real, ninth term": "test/real/accuracy",
            "real, windows": "test/real/sliding_accuracy",
        }
    )
    better = MappingProxyType(
        dict.fromkeys(columns.values(), "high") | {"test/distance": "low", "test/cross_entropy": "low"}
    )
    data: RecurrenceDataModule
    model: SequenceModel

    def __init__(
        self,
        *,
        model: nn.Module,
        datamodule: RecurrenceDataModule,
        optimizer: Callable[[nn.Module], Optimizer],
        schedule: Schedule,
        seed: int,
        distance: Literal["expected", "argmax"] = "expected",
        beta: Annotated[float, Ge(0)] = 0.01,
        alpha: Annotated[float, Ge(0)] = 0.1,
        weighting: Literal["linear", "sqrt", "quadratic"] = "linear",
    ):
        super().__init__(model=model, datamodule=datamodule, optimizer=optimizer, schedule=schedule, seed=seed)
        self.distance: Literal["expected", "argmax"] = distance
        self.beta, self.alpha = beta, alpha
        self.weighting: Literal["linear", "sqrt", "quadratic"] = weighting
        self.mean_loss, self.metrics = Mean(), NextTermMetrics()

    def title(self) -> str:
        return (
            f"integer sequences, {len(FAMILIES)} families in 3 phases; train, validation and test share no sequence, "
            "and no rule of a family with 50 rules or more"
        )

    def loss(self, batch: Tensor) -> Tensor:
        """The objective over all prefixes; terms that a sequence does not have are left out."""
        return self._objective(self.model(inputs_of(batch)), batch)

    def num_targets(self, batch: Tensor) -> int:
        return int((batch[:, 1:] != MASKED).sum())

    def _objective(self, logits: Tensor, terms: Tensor) -> Tensor:
        known = terms[:, 1:] != MASKED
        scores, targets = logits[known], terms[:, 1:][known]
        if self.distance == "argmax":
            return weighted_cross_entropy(scores, targets, alpha=self.alpha, weighting=self.weighting)
        return cross_entropy(scores, targets) + self.beta * expected_distance(scores, targets)

    def _evaluation_step(self, batch: Samples) -> None:
        logits = self.model(inputs_of(batch.terms))
        self.mean_loss.update(self._objective(logits, batch.terms), (batch.terms[:, 1:] != MASKED).sum())
        targets = batch.terms[:, 1:].clamp(min=0)
        nats = cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
        self.metrics.update(logits.argmax(-1), batch.terms, batch.family, nats)

    def _evaluation_results(self, stage: str) -> dict[str, Share | float]:
        results = {f"{stage}/loss": float(self.mean_loss.compute())}
        results |= {f"{stage}/{name}": result for name, result in self.metrics.compute().items()}
        self.mean_loss.reset()
        self.metrics.reset()
        return results

    def validation_step(self, batch: Samples, batch_idx: int) -> None:
        self._evaluation_step(batch)

    def on_validation_epoch_end(self) -> None:
        results = self._evaluation_results("val")
        # by family and by length only at the end: 48 curves are too many to look at
        shown = {
            name: result for name, result in results.items() if "_by_family" not in name and "_by_length" not in name
        }
        self.log_results(shown)
        terms = self.data.val_samples.terms[: 2 * NUM_SHOWN]
        self.log_text("predictions", markdown(terms, self.model(inputs_of(terms.to(self.device))).argmax(-1).cpu()))

    def test_step(self, batch: Samples, batch_idx: int) -> None:
        self._evaluation_step(batch)

    def on_test_epoch_end(self) -> None:
        self.results = self._evaluation_results("test")
        samples, truth = true_continuations(self.data.test_samples)
        matches = exact_match(self.continuations(samples.terms[:, :-1]), truth, samples.family)
        self.results |= {f"test/{name}": result for name, result in matches.items()}
        self.results |= {f"test/real/{name}": result for name, result in real_results(self.next_term).items()}

    def continuations(self, terms: Tensor, count: int = 8) -> Tensor:
        """The next `count` terms after terms (n, t), greedily, (n, count); the window slides past eight."""
        return extend(self.model, terms.to(self.device), count, choose=lambda logits: logits.argmax(-1)).cpu()

    def next_term(self, terms: Tensor) -> Tensor:
        """The most probable next term after terms (n, t), of which the last eight are read: (n,)."""
        return self.continuations(terms, 1)[:, 0]

    def baselines(self) -> Mapping[str, Results]:
        """Chance, the solvers and the Bayes predictor, through the same metrics on the same sequences."""
        shares = ", ".join(f"{family.name} {acceptance(family):.3f}" for family in FAMILIES)
        logger.info("share of draws that stay in 0 .. 255 and are not degenerate: %s", shares)
        return compare(self.data.test_samples)

    def figures(self) -> dict[str, Figure]:
        return {"by_length": by_length({"model": self.results, **self.baseline_results})}

    def examples(self) -> list[dict[str, Any]]:
        """Test sequences and all real ones: eight terms, the next eight, and whether the ninth is right."""
        samples = Samples(*(values[:NUM_WRITTEN] for values in self.data.test_samples))
        rows = [(FAMILIES[f].name, t) for f, t in zip(samples.family.tolist(), samples.terms.tolist(), strict=True)]
        rows = [(name, terms) for name, terms in rows if MASKED not in terms]
        rows += [(f"{sequence.a_number} {sequence.name}", list(sequence.terms[:NUM_TERMS])) for sequence in named()]
        continued = self.continuations(torch.tensor([terms[:-1] for _, terms in rows])).tolist()
        return [
            {"set": name, "prompt": terms[:-1], "completion": more, "target": terms[-1], "right": more[0] == terms[-1]}
            for (name, terms), more in zip(rows, continued, strict=True)
        ]

    def parse_prompt(self, text: str) -> Tensor:
        """Integers with blanks or commas between.

        Raises:
            InputError: for a word that is no integer, one outside 0 .. 255, or fewer than three.
        """
        terms = [term(word) for word in text.replace(",", " ").split()]
        if len(terms) < MIN_PROMPT:
            raise InputError(f"{len(terms)} terms are too few: at least {MIN_PROMPT} are needed")
        return torch.tensor([terms])

    def describe(self, prompt: Tensor) -> str:
        """The most probable next terms, and the next eight, greedily."""
        read = prompt[:, -(NUM_TERMS - 1) :]
        probabilities = self.model(read.to(self.device))[0, -1].softmax(-1).cpu()
        best = probabilities.topk(NUM_SHOWN)
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        left = prompt.shape[1] - read.shape[1]
        return "\n".join(
            [
                f"terms       {listed(read[0])}" + (f" (the last 8 of {prompt.shape[1]})" if left else ""),
                "next        " + "   ".join(f"{value} ({probability:.1%})" for value, probability in pairs),
                f"greedily    {listed(self.continuations(read)[0])}",
            ]
        )


def term(word: str) -> int:
    """One term of a prompt.

    >>> term("007")
    7

    Raises:
        InputError: for a word that is no integer, or one that the model cannot read.
    """
    if (match := re.fullmatch("([+-]?)0*([0-9]+)", word)) is None:
        raise InputError(f"{reprlib.repr(word)} is no integer; allowed: integers 0 to {NUM_VALUES - 1}, blanks between")
    sign, digits = match.groups()
    # Python refuses to read an integer of thousands of digits
    if len(digits) > len(str(NUM_VALUES)) or not 0 <= (value := int(sign + digits)) < NUM_VALUES:
        what = word if len(word) < 30 else f"an integer of {len(digits):,} digits"
        raise InputError(f"{what} lies outside 0 to {NUM_VALUES - 1}, the integers that the model reads")
    return value


def inputs_of(terms: Tensor) -> Tensor:
    """What a model reads of sequences (n, 9): all but the last, and 0 where a sequence has ended."""
    return terms[:, :-1].clamp(min=0)


def listed(terms: Tensor) -> str:
    """Terms with blanks between, without masked ones."""
    return " ".join(str(value) for value in terms.tolist() if value != MASKED)


def markdown(terms: Tensor, predictions: Tensor) -> str:
    """Sequences and what was predicted for each term after the first, as a Markdown table."""
    rows = [
        f"{listed(t)}|{listed(torch.where(t[1:] == MASKED, MASKED, p))}"
        for t, p in zip(terms, predictions, strict=True)
    ]
    return "\n".join(["terms|predicted second to ninth", "-|-", *rows])
