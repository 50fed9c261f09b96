"""The lines of a sweep: what each job that has ended found, how many have ended, and how long the rest will take.

Nothing here imports torch.
"""

import time
from dataclasses import dataclass
from pathlib import Path

MOST_COLUMNS = 2  # of the task's table, in the line of a job


@dataclass
class Tally:
    """Counts the jobs of a sweep that have ended.

    total: the number of its jobs; None where this process does not run the whole sweep.
    ended: the number of jobs that have ended, those included that were finished before.
    ran: how many of these ran now.
    since: when the first of these began, in seconds of time.monotonic(); None before.
    """

    total: int | None = None
    ended: int = 0
    ran: int = 0
    since: float | None = None

    def begin(self) -> None:
        """Note that a job begins."""
        if self.since is None:
            self.since = time.monotonic()

    def skip(self) -> None:
        """Count a job that was finished before."""
        self.ended += 1

    def line(self, state: str, job: str, result: str, seconds: float) -> str:
        """Count a job that has ended and describe it: 3/8 done, about 2 min left: lstm on L5, seed=1: loss 0.9; 12 s.

        Args:
            state: how it ended, done or failed.
            job: what ran.
            result: its first results, or why it failed.
            seconds: between its start and its end.
        """
        self.ended, self.ran = self.ended + 1, self.ran + 1
        count = state if self.total is None else f"{self.ended}/{self.total} {state}"
        rest = 0 if self.total is None else self.total - self.ended
        each = (time.monotonic() - (self.since or time.monotonic())) / self.ran
        left = f", about {rounded(each * rest)} left" if rest > 0 else ""
        return f"{count}{left}: {'; '.join(filter(None, [job, result, f'{seconds:.0f} s']))}"


def rounded(seconds: float) -> str:
    """A time in the unit that one would say.

    >>> rounded(42), rounded(100), rounded(2 * 3600 + 1700)
    ('42 s', '2 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def first_results(run: Path) -> str:
    """The first columns of the task's table for a finished run: loss 1.478, accuracy 0.347."""
    from seqlab.run.summary import read_summary  # lazy, because they import pydantic and rich
    from seqlab.show.table import number

    summary = read_summary(run)
    columns = list(summary["columns"].items())[:MOST_COLUMNS]
    return ", ".join(f"{heading} {number(summary['metrics'].get(metric))}" for heading, metric in columns)
