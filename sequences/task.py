"""The task of integer sequences: training, and evaluation beside solvers, the Bayes predictor and real sequences."""

import logging
import re
import reprlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from seqlab.answers import GREEDY, Answer, Sampling, Steps
from seqlab.decode import extend
from seqlab.errors import InputError
from seqlab.metrics import Mean
from seqlab.model import SequenceModel, device_of, evaluating, precise
from seqlab.task import Results, Split, Task, Watched, predictions_line
from sequences.baselines import compare, real_results, true_continuations
from sequences.bayes import FIRST_LENGTH, acceptance, bayes_probabilities
from sequences.curriculum import Samples
from sequences.datamodule import RecurrenceDataModule
from sequences.families import FAMILIES
from sequences.family import MASKED, NUM_TERMS, NUM_VALUES
from sequences.held_out import made_in_training
from sequences.loss import expected_distance, weighted_cross_entropy
from sequences.metrics import NextTermMetrics, clusters_of, exact_match
from sequences.named import named

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MIN_PROMPT = 3
NUM_CONTINUED = 8  # terms
NUM_SHOWN = 5  # values with probabilities in describe(); twice as many sequences are logged as text
NUM_CHECKED = 1000  # test sequences compared with all training rules, in some seconds
ROWS_AT_ONCE = 512  # continued together: a bank of candidates takes megabytes a row
NUM_WRITTEN = 200  # test sequences in predictions.jsonl

logger = logging.getLogger(__name__)


class Recurrence(Task[RecurrenceDataModule, SequenceModel]):
    """Predicts the next term after every prefix of a sequence.

    Args:
        datamodule: the sequences.
        distance: `expected`: cross-entropy + beta E|k - target|. `argmax`: cross-entropy weighted by
            1 + alpha d, d = |argmax - target|; the weight has no gradient.
        beta: coefficient of the expected distance.
        alpha: coefficient of d in the weight.
        weighting: uses d itself (`linear`), its square root (`sqrt`) or its square (`quadratic`).
    """

    columns = MappingProxyType(
        {
            "accuracy": "test/accuracy",
            "families alike": "test/accuracy_macro",
            "as drawn": "test/accuracy_mixture",
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

    optimal = ("bayes",)
    solvers = ("difference_table", "recurrence", "cascade", "decision_list", "vote")

    def __init__(
        self,
        datamodule: RecurrenceDataModule,
        *,
        distance: Literal["expected", "argmax"] = "expected",
        beta: Annotated[float, Ge(0)] = 0.01,
        alpha: Annotated[float, Ge(0)] = 0.1,
        weighting: Literal["linear", "sqrt", "quadratic"] = "linear",
    ):
        super().__init__(datamodule)
        self.distance: Literal["expected", "argmax"] = distance
        self.beta, self.alpha = beta, alpha
        self.weighting: Literal["linear", "sqrt", "quadratic"] = weighting

    def title(self) -> str:
        return (
            f"integer sequences, {len(FAMILIES)} families in 3 phases; each held-out sequence once, all rules of a "
            "family weighed alike; training sees nothing that a held-out rule of a family with 50 rules or more makes"
        )

    def notes(self) -> Sequence[str]:
        """How many test sequences and rules there are, and which families are not held out."""
        samples = self.data.test_samples
        num_rules = len(clusters_of(samples).unique())
        some = Samples(*(column[:NUM_CHECKED] for column in samples))
        known = made_in_training(some.terms, self.data.fold)
        new = {FAMILIES[number].name for number in some.family[~known].tolist()}
        names = [FAMILIES[number].name for number in some.family.unique().tolist()]
        known_alone = [name for name in names if name not in new]
        return [
            f"{len(samples.terms):,} test sequences, all distinct, in {num_rules:,} clusters; "
            f"{float(known.double().mean()):.0%} of {len(known):,} are made by a training rule, too.",
            f"Not held out but by sequence, as training rules make all of them: {', '.join(known_alone) or 'none'}.",
        ]

    def loss(self, model: SequenceModel, batch: Tensor) -> Tensor:
        """The objective over all prefixes, without masked targets."""
        return self._objective(model(inputs_of(batch)), batch)

    def num_targets(self, batch: Tensor) -> int:
        return int((batch[:, 1:] != MASKED).sum())

    def _objective(self, logits: Tensor, terms: Tensor) -> Tensor:
        known = terms[:, 1:] != MASKED
        scores, targets = logits[known], terms[:, 1:][known]
        if self.distance == "argmax":
            return weighted_cross_entropy(scores, targets, alpha=self.alpha, weighting=self.weighting)
        return cross_entropy(scores, targets) + self.beta * expected_distance(scores, targets)

    def evaluate(self, model: SequenceModel, split: Split) -> Results:
        """Next-term metrics on a split, greedy eight-term continuations of unmasked sequences, and real sequences."""
        samples, truth = true_continuations(self.data.evaluation_set(split))
        matches = exact_match(self.continuations(model, samples.terms[:, :-1]), truth, samples)
        real = real_results(lambda terms: self.continuations(model, terms, 1)[:, 0])
        return {
            **self._measured(model, split),
            **{f"{split}/{name}": result for name, result in matches.items()},
            **{f"{split}/real/{name}": result for name, result in real.items()},
        }

    def _measured(self, model: SequenceModel, split: Split) -> Results:
        loss, metrics = Mean(), NextTermMetrics()
        with evaluating(model):
            for batch in self.batches(model, split):
                logits = model(inputs_of(batch.terms))
                loss.update(self._objective(logits, batch.terms), (batch.terms[:, 1:] != MASKED).sum())
                targets = batch.terms[:, 1:].clamp(min=0)
                nats = cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
                metrics.update(logits.argmax(-1), batch, nats)
        return {f"{split}/loss": loss.compute()} | {f"{split}/{name}": row for name, row in metrics.compute().items()}

    def watch(self, model: SequenceModel) -> Watched:
        """Validation results without the metrics by family and by length, which would be 48 more curves."""
        results = self._measured(model, "val")
        shown = {name: row for name, row in results.items() if "_by_family" not in name and "_by_length" not in name}
        terms = self.data.val_samples.terms[: 2 * NUM_SHOWN]
        with evaluating(model):
            predictions = model(inputs_of(terms.to(device_of(model)))).argmax(-1).cpu()
        rows = [
            (listed(seen[:-1]), str(int(said[-1])), f"right: {int(seen[-1])}")
            for seen, said in zip(terms, predictions, strict=True)
            if MASKED not in seen
        ]
        return Watched(shown, {"predictions": markdown(terms, predictions)}, predictions_line(rows))

    def continuations(self, model: SequenceModel, terms: Tensor, count: int = NUM_CONTINUED) -> Tensor:
        """The greedy next `count` terms after terms (n, t), (n, count). The model reads the last eight terms."""
        device, parts = device_of(model), terms.split(ROWS_AT_ONCE)
        found = [extend(model, part.to(device), count, choose=lambda logits: logits.argmax(-1)).cpu() for part in parts]
        return torch.cat(found)

    def baselines(self) -> Mapping[str, Results]:
        """Chance, the solvers and the Bayes predictor, with the same metrics on the same sequences."""
        accepted = ", ".join(f"{family.name} {acceptance(family):.3f}" for family in FAMILIES)
        logger.info("proportion of draws that stay in 0 .. 255 and are not degenerate: %s", accepted)
        return compare(self.data.test_samples)

    def figures(
        self, model: SequenceModel, results: Results, baselines: Mapping[str, Results]
    ) -> "Mapping[str, Figure]":
        from sequences.plots import by_length

        return {"by_length": by_length({"model": results, **baselines})}

    def examples(self, model: SequenceModel) -> list[dict[str, Any]]:
        """Test and real sequences: eight terms, the predicted next eight, and whether the ninth term is right."""
        samples = Samples(*(values[:NUM_WRITTEN] for values in self.data.test_samples))
        rows = [(FAMILIES[f].name, t) for f, t in zip(samples.family.tolist(), samples.terms.tolist(), strict=True)]
        rows = [(name, terms) for name, terms in rows if MASKED not in terms]
        rows += [(f"{sequence.a_number} {sequence.name}", list(sequence.terms[:NUM_TERMS])) for sequence in named()]
        continued = self.continuations(model, torch.tensor([terms[:-1] for _, terms in rows])).tolist()
        return [
            {"set": name, "prompt": terms[:-1], "completion": more, "target": terms[-1], "right": more[0] == terms[-1]}
            for (name, terms), more in zip(rows, continued, strict=True)
        ]

    def sample_prompt(self) -> str:
        """The first Fibonacci numbers."""
        return "1 1 2 3 5 8 13"

    def parse_prompt(self, text: str) -> Tensor:
        """Parse integers separated by spaces or commas, (1, t) int64.

        Raises:
            InputError: a word is not an integer in 0 .. 255, or there are fewer than three.
        """
        terms = [term(word) for word in text.replace(",", " ").split()]
        if len(terms) < MIN_PROMPT:
            raise InputError(f"{len(terms)} terms are too few: at least {MIN_PROMPT} are needed")
        return torch.tensor([terms])

    def describe(self, model: SequenceModel, prompt: Tensor) -> str:
        """The most probable next terms, how the model says that they come about, and the greedy next eight, as text."""
        read = prompt[:, -(NUM_TERMS - 1) :]
        with evaluating(model):
            probabilities = model(read.to(device_of(model)))[0, -1].softmax(-1).cpu()
            explanation = model.explanation(read.to(device_of(model)))
        best = probabilities.topk(NUM_SHOWN)
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        left = prompt.shape[1] - read.shape[1]
        return "\n".join(
            [
                f"terms       {listed(read[0])}" + (f" (the last 8 of {prompt.shape[1]})" if left else ""),
                "next        " + "   ".join(f"{value} ({probability:.1%})" for value, probability in pairs),
                *(f"{'' if index else 'because':<12}{line}" for index, line in enumerate(explanation)),
                f"greedily    {listed(self.continuations(model, read)[0])}",
            ]
        )

    def inputs(self, prompt: Tensor) -> Tensor:
        """The last eight terms."""
        return prompt[:, -(NUM_TERMS - 1) :]

    def steps(self, model: SequenceModel, prompt: Tensor) -> Steps:
        """The probability of each value after each of the last eight terms."""
        read = self.inputs(prompt)
        with evaluating(model):
            probabilities = precise(model(read.to(device_of(model)))[0]).softmax(-1).cpu()
        return Steps(listed(read[0]).split(), [str(value) for value in range(NUM_VALUES)], probabilities)

    def answers(self, model: SequenceModel, prompt: Tensor, sampling: Sampling = GREEDY) -> list[Answer]:
        """The next eight terms, each after the eight before it."""
        read = self.inputs(prompt)
        rows = read.to(device_of(model)).expand(sampling.number, -1)
        terms = extend(model, rows, NUM_CONTINUED, choose=sampling.chooser(read.tolist())).tolist()
        return [Answer(listed(read[0]).split(), [str(value) for value in row]) for row in terms]

    def best(self, prompt: Tensor) -> str:
        """The most probable next term of the Bayes predictor, with its probability; nothing where no rule fits."""
        read = self.inputs(prompt)
        terms = pad(read, (0, NUM_TERMS - read.shape[1]), value=MASKED)
        probability, value = bayes_probabilities(terms)[0, read.shape[1] - FIRST_LENGTH].max(0)
        return f"{value} ({probability:.1%}, all rules of the generator weighed)" if probability > 0 else ""

    def sample_prompts(self) -> list[str]:
        """Fibonacci, and eight terms of the first validation sequences."""
        rows = [terms for terms in self.data.val_samples.terms[: 2 * NUM_SHOWN] if MASKED not in terms[:-1]]
        return [self.sample_prompt(), *(listed(terms[:-1]) for terms in rows)]


def term(word: str) -> int:
    """Parse one term of a prompt.

    >>> term("007")
    7

    Raises:
        InputError: the word is not an integer in 0 .. 255.
    """
    if (match := re.fullmatch("([+-]?)0*([0-9]+)", word)) is None:
        raise InputError(
            f"{reprlib.repr(word)} is not an integer; allowed: integers 0 to {NUM_VALUES - 1} separated by spaces"
        )
    sign, digits = match.groups()
    # Python refuses to read an integer of thousands of digits
    if len(digits) > len(str(NUM_VALUES)) or not 0 <= (value := int(sign + digits)) < NUM_VALUES:
        what = word if len(word) < 30 else f"an integer of {len(digits):,} digits"
        raise InputError(f"{what} is outside 0 to {NUM_VALUES - 1}, the integers that the model reads")
    return value


def inputs_of(terms: Tensor) -> Tensor:
    """The model inputs from sequences (n, 9): all terms but the last, with 0 for masked terms."""
    return terms[:, :-1].clamp(min=0)


def listed(terms: Tensor) -> str:
    """Terms separated by spaces, without masked ones."""
    return " ".join(str(value) for value in terms.tolist() if value != MASKED)


def markdown(terms: Tensor, predictions: Tensor) -> str:
    """Sequences and the predictions of each term after the first, as a Markdown table."""
    rows = [
        f"{listed(t)}|{listed(torch.where(t[1:] == MASKED, MASKED, p))}"
        for t, p in zip(terms, predictions, strict=True)
    ]
    return "\n".join(["terms|predicted second to ninth", "-|-", *rows])
