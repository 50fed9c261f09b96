"""The task of a problem: training on short strings, and the answers to longer ones."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqlab.answers import GREEDY, Answer, Fault, Sampling, Steps
from seqlab.errors import InputError
from seqlab.metrics import Mean
from seqlab.model import SequenceModel, device_of, evaluating, precise
from seqlab.task import Results, Split, Task, Watched, predictions_line
from transduction.baselines import compare
from transduction.datamodule import TransductionDataModule
from transduction.metrics import Scored, results, scored
from transduction.problem import Drawn, joined

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUM_WRITTEN = 4  # test strings of each length in predictions.jsonl
LONGEST_WRITTEN = 60  # steps


class Transduction(Task[TransductionDataModule, SequenceModel]):
    """Answers to strings up to data.max_length, and beyond it.

    Three scores for each bin of lengths: the proportion of strings whose last answer is right (`last`), of all answers
    that are right (`every`), and of strings without a wrong answer (`whole`). `horizon` is the longest test length up
    to which the last answer (where answers are sets or written strings, every answer) is right in more than nine of ten
    strings, at that length and at all shorter ones; 0 if there is none. What a model cannot read has no score.

    Args:
        datamodule: the problem and its strings.
    """

    def __init__(self, datamodule: TransductionDataModule):
        super().__init__(datamodule)
        decisive = datamodule.problem.decisive
        columns = {"loss": "test/loss"} | {f"{decisive}, {name}": f"test/{name}/{decisive}" for name in datamodule.bins}
        self.columns = MappingProxyType(columns | {"horizon": "test/horizon"})  # type: ignore[misc]
        better = dict.fromkeys(self.columns.values(), "high") | {"test/loss": "low"}
        self.better = MappingProxyType(better)  # type: ignore[misc]

    def title(self) -> str:
        known = f"training up to length {self.data.max_length}, test up to {self.data.evaluation_lengths('test')[-1]}"
        return f"{self.data.problem.title}; {known}; short strings may occur in both, longer ones only in the test"

    def notes(self) -> Sequence[str]:
        """How many test strings are distinct, in each bin: of some lengths there are few."""
        counts = []
        for name, lengths in self.data.bins.items():
            strings = [self.data.drawn("test", length, 0, self.data.num_test).inputs for length in lengths]
            distinct = sum(len(part.unique(dim=0)) for part in strings)
            counts.append(f"{distinct:,} of {sum(map(len, strings)):,} at {name}")
        return [f"Distinct test strings: {', '.join(counts)}."]

    def loss(self, model: SequenceModel, batch: Drawn) -> Tensor:
        """Mean loss in nats of the answers that are due."""
        return self.data.problem.kind.loss(model(batch.inputs)[batch.mask], batch.targets[batch.mask])

    def num_targets(self, batch: Drawn) -> int:
        return int(batch.mask.sum())

    def evaluate(self, model: SequenceModel, split: Split) -> Results:
        """The loss on lengths of training, the scores of each bin, and the horizon."""
        loss, scores = self._measured(model, split)
        lengths, decisive = self.data.evaluation_lengths(split), self.data.problem.decisive
        return {f"{split}/loss": loss, **results(split, self.data.bins, lengths, scores, decisive)}

    def watch(self, model: SequenceModel) -> Watched:
        *_, batch = self.batches(model, "val")  # the longest strings
        records = self._records(model, Drawn(*(tensor[:NUM_WRITTEN] for tensor in batch)))
        last = [((one["answers"] or "").split(" ")[-1], one["right"].split(" ")[-1]) for one in records]
        rows = [(one["string"], said, f"right: {true}") for one, (said, true) in zip(records, last, strict=True)]
        return Watched(self.evaluate(model, "val"), {}, predictions_line(rows))

    def _measured(self, model: SequenceModel, split: Split) -> tuple[float, list[Scored | None]]:
        kind, loss, scores = self.data.problem.kind, Mean(), []
        with evaluating(model):
            for batch in self.batches(model, split):
                logits = read(model, batch.inputs)
                scores.append(None if logits is None else scored(kind.chosen(logits), batch))
                if logits is not None and batch.inputs.shape[1] <= self.data.spec.max_length:
                    answers = precise(logits[batch.mask])
                    loss.update(kind.loss(answers, batch.targets[batch.mask]), self.num_targets(batch))
        return loss.compute(), scores

    def baselines(self) -> Mapping[str, Results]:
        """Guessing, the ways around the problem, and the right answers, on the same strings."""
        return compare(self.data)

    def examples(self, model: SequenceModel) -> list[dict[str, Any]]:
        """A few test strings of each length that is not too long to look at: symbols, answers, and what is right."""
        records = []
        for batch in self.batches(model, "test"):
            part = Drawn(*(tensor[:NUM_WRITTEN] for tensor in batch))
            if part.inputs.shape[1] <= LONGEST_WRITTEN:
                records += [{"set": "test"} | record for record in self._records(model, part)]
        return records

    def _records(self, model: SequenceModel, batch: Drawn) -> list[dict[str, Any]]:
        with evaluating(model):
            logits = read(model, batch.inputs)
        kind, records = self.data.problem.kind, []
        given = None if logits is None else kind.chosen(logits)
        for row, (inputs, targets, mask) in enumerate(zip(*batch, strict=True)):
            said = None if given is None else kind.text(given[row][mask])
            string = joined(self.data.problem.symbols, inputs.tolist())
            records.append({"string": string, "answers": said, "right": kind.text(targets[mask])})
        return records

    def figures(
        self, model: SequenceModel, results: Results, baselines: Mapping[str, Results]
    ) -> Mapping[str, "Figure"]:
        """The scores by length."""
        from transduction.plots import by_length

        _, scores = self._measured(model, "test")
        chance = 1 / self.data.problem.kind.number
        return {
            "by_length": by_length(
                self.data.evaluation_lengths("test"), scores, chance, self.data.max_length, self.title()
            )
        }

    def sample_prompt(self) -> str:
        """The first test string."""
        first = next(iter(self.data.batches("test"))).inputs[0]
        return joined(self.data.problem.symbols, first.tolist())

    def parse_prompt(self, text: str) -> Tensor:
        """Parse a string of symbols, (1, steps).

        Raises:
            InputError: it is not a string of the problem.
        """
        try:
            return self.data.problem.parse(text)
        except ValueError as error:
            raise InputError(str(error)) from error

    def describe(self, model: SequenceModel, prompt: Tensor) -> str:
        """The string, the model's answers and the right ones, as text."""
        (answer,) = self.answers(model, prompt)
        return f"string   {' '.join(answer.prompt)}\nanswers  {answer.text}\nright    {self.best(prompt)}"

    def _logits(self, model: SequenceModel, prompt: Tensor) -> Tensor:
        """The logits of one string (1, steps) at its steps, (steps, answers).

        Raises:
            InputError: it is too long for the model.
        """
        with evaluating(model):
            logits = read(model, prompt.to(device_of(model)))
        if logits is None:
            steps = prompt.shape[1]
            raise InputError(f"the model reads up to {self.data.spec.max_length} steps; the string has {steps}")
        return logits[0]

    def _symbols(self, prompt: Tensor) -> list[str]:
        return [self.data.problem.symbols[symbol] for symbol in prompt[0].tolist()]

    def steps(self, model: SequenceModel, prompt: Tensor) -> Steps:
        """The probability of each answer at each step; only those of steps at which one is due are trained."""
        kind = self.data.problem.kind
        return Steps(self._symbols(prompt), kind.names, kind.probabilities(self._logits(model, prompt)).cpu())

    def answers(self, model: SequenceModel, prompt: Tensor, sampling: Sampling = GREEDY) -> list[Answer]:
        """The answers that are due, the wrong ones marked."""
        kind, due = self.data.problem.kind, self.data.problem.due(prompt)[0]
        logits, right = self._logits(model, prompt).cpu()[due], self.data.problem.oracle(prompt)[0][due]
        choose = sampling.chooser(prompt.tolist())
        given = torch.stack([kind.drawn(row.expand(sampling.number, -1), choose) for row in logits], 1)
        symbols, texts = self._symbols(prompt), [kind.text(answer[None]) for answer in right]
        return [
            Answer(symbols, [kind.text(answer[None]) for answer in row], faults=wrong(row, right, texts, len(symbols)))
            for row in given
        ]

    def best(self, prompt: Tensor) -> str:
        """The right answers."""
        problem = self.data.problem
        return problem.kind.text(problem.oracle(prompt)[problem.due(prompt)])

    def sample_prompts(self) -> list[str]:
        """The first validation strings."""
        batch = next(iter(self.data.batches("val"))).inputs[:NUM_WRITTEN]
        return [self.sample_prompt(), *(joined(self.data.problem.symbols, row) for row in batch.tolist())]


def wrong(given: Tensor, right: Tensor, texts: Sequence[str], offset: int) -> list[Fault]:
    """The answers of one string that are not right.

    Args:
        given, right: (answers, ...).
        texts: the right ones in words.
        offset: of the places.
    """
    differ = (given != right).flatten(1).any(1) if given.dim() > 1 else given != right
    return [Fault(offset + place, f"right: {texts[place]}") for place in differ.nonzero()[:, 0].tolist()]


def read(model: SequenceModel, inputs: Tensor) -> Tensor | None:
    """The logits of whole strings (n, steps, answers); None if they are too long for the model.

    Beyond the lengths of training, a model whose state has constant size reads chunk by chunk.
    """
    window = model.spec.max_length
    if inputs.shape[1] > window and model.endless_state:
        state, chunks = model.init_state(len(inputs), inputs.shape[1]), []
        for chunk in inputs.split(window, 1):
            logits, state = model.prefill(chunk, state)
            chunks.append(logits)
        return torch.cat(chunks, 1)
    try:
        return model(inputs)
    except ValueError:
        if inputs.shape[1] <= window:
            raise
        return None
