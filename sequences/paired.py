"""Compare a model on integer sequences with each solver on the same test sequences: seqlab paired RUN

Both predict the ninth term. The difference of their accuracies has a 95% interval and a p-value (signs of whole
clusters changed at random) that know how the sequences cluster: those of a held-out rule are right or wrong together.
Rules of a family, and families, are weighed as in the test.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from seqlab.starting import Parser, started, starting

if __name__ == "__main__":
    starting()

from seqlab.cli import tell
from seqlab.errors import InputError
from seqlab.files import at_home
from seqlab.output import take_any_text

if TYPE_CHECKING:
    from seqlab.run.build import Run


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and print the comparison. Returns the exit code."""
    take_any_text()
    parser = Parser(prog="seqlab paired", description=__doc__)
    parser.add_argument("run", type=at_home, help="the run directory of a model on data=recurrence")
    options = parser.parse_args(arguments)
    try:
        from seqlab.run.build import load_run  # here, so that --help is quick

        started()
        print(compare(load_run(options.run)))
    except (Exception, KeyboardInterrupt) as error:
        return tell(error)
    return 0


def compare(run: "Run") -> str:
    """The comparison as a table in text: accuracies, who alone is right, difference, interval, p.

    Raises:
        InputError: the run is not one on integer sequences.
    """
    from seqlab.model import SequenceModel
    from seqlab.paired import paired
    from sequences.datamodule import RecurrenceDataModule
    from sequences.family import MASKED
    from sequences.metrics import clusters_of, weights_of
    from sequences.solvers import SOLVERS
    from sequences.task import Recurrence

    if not isinstance(run.task, Recurrence) or not isinstance(run.datamodule, RecurrenceDataModule):
        raise InputError("this run is not on data=recurrence: other data have no solvers to compare it with")
    samples = run.datamodule.test_samples
    samples = type(samples)(*(part[samples.terms[:, -1] != MASKED] for part in samples))
    read, target = samples.terms[:, :-1], samples.terms[:, -1]
    clusters, weights = clusters_of(samples), weights_of(samples)
    assert isinstance(run.model, SequenceModel)
    ours = run.task.continuations(run.model, read, 1)[:, 0] == target
    found = {name: solver(read) == target for name, solver in SOLVERS.items()}
    lines = [
        f"{len(target):,} test sequences with nine terms, in {len(clusters.unique()):,} clusters; "
        f"weighed by rule and family, the model has {float(weights @ ours.double()):.4f}",
        f"{'solver':18}{'accuracy':>9}{'model alone':>13}{'solver alone':>14}  model - solver (95%)",
    ]
    for name, theirs in found.items():
        result = paired(ours.double() - theirs.double(), clusters, run.datamodule.seed, weights)
        spread = "" if result.interval is None else f" ({result.interval[0]:+.4f} to {result.interval[1]:+.4f})"
        counts = f"{int((ours & ~theirs).sum()):13,}{int((theirs & ~ours).sum()):14,}"
        lines.append(
            f"{name:18}{float(weights @ theirs.double()):9.4f}{counts}  {result.value:+.4f}{spread}, p = {result.p:.4f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
