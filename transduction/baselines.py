"""What a model's answers are held against: guessing, the ways around a problem, and the right answers."""

from seqlab.task import Results
from transduction.datamodule import TransductionDataModule
from transduction.metrics import by_length, results, scored


def compare(data: TransductionDataModule) -> dict[str, Results]:
    """The results of chance (exact), of each shortcut and of the oracle, on the test strings."""
    problem, rows, lengths = data.problem, {"chance": chance(data)}, data.evaluation_lengths("test")
    for name, answer in {**problem.shortcuts(), "oracle": problem.oracle}.items():
        scores = [scored(answer(batch.inputs), batch) for batch in data.batches("test")]
        rows[name] = results("test", data.bins, lengths, scores, problem.decisive)
    return rows


def chance(data: TransductionDataModule) -> Results:
    """Each answer equally likely, whatever the string; exact."""
    kind = data.problem.kind
    values: dict[str, float] = {"test/loss": kind.guessing, "test/horizon": 0.0}
    for name, lengths in data.bins.items():
        due = [int(data.drawn("test", length, 0, 1).mask.sum()) for length in lengths]
        whole = [kind.number**-number for number in due]
        one = 1 / kind.number
        for readout, value in (("last", one), ("every", one), ("whole", sum(whole) / len(whole))):
            values[f"test/{name}/{readout}"] = value
        decisive = whole if data.problem.decisive == "whole" else [one] * len(lengths)
        values |= zip(map(by_length, lengths), decisive, strict=True)
    return values
