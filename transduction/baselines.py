"""What a model's answers are held against: guessing, the ways around a problem, and the right answers."""

import math

from seqlab.task import Results
from transduction.datamodule import TransductionDataModule
from transduction.metrics import by_length, results, scored


def compare(data: TransductionDataModule) -> dict[str, Results]:
    """The results of chance (exact), of each shortcut and of the oracle, on the test strings."""
    problem, rows, lengths = data.problem, {"chance": chance(data)}, data.evaluation_lengths("test")
    for name, answer in {**problem.shortcuts(), "oracle": problem.oracle}.items():
        scores = [scored(answer(batch.inputs), batch) for batch in data.batches("test")]
        rows[name] = results("test", data.bins, lengths, scores)
    return rows


def chance(data: TransductionDataModule) -> Results:
    """Each answer equally likely, whatever the string; exact."""
    width = len(data.problem.answers)
    values: dict[str, float] = {"test/loss": math.log(width), "test/horizon": 0.0}
    for name, lengths in data.bins.items():
        due = [int(data.drawn("test", length, 0, 1).mask.sum()) for length in lengths]
        whole = sum(width**-number for number in due) / len(due)
        for readout, value in (("last", 1 / width), ("every", 1 / width), ("whole", whole)):
            values[f"test/{name}/{readout}"] = value
        values |= dict.fromkeys(map(by_length, lengths), 1 / width)
    return values
