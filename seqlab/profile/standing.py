"""What the rows of a model come to: its scores over seeds, by measure and by ability."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from seqlab.profile.rows import Row
from seqlab.profile.scores import Mean, over_seeds, together
from seqlab.profile.suite import ABILITIES, Suite

Key = tuple[str, str]  # cell, metric


class Standing(NamedTuple):
    """A model in a suite.

    label: its name.
    origin: where its rows come from: here, reference, or the name of a file.
    scores: of each measure that has one.
    reasons: why a measure has none.
    rows: all of its rows.
    """

    label: str
    origin: str
    scores: Mapping[Key, Mean]
    reasons: Mapping[Key, str]
    rows: Sequence[Row]

    @property
    def name(self) -> str:
        """Its label, with the origin where it is a file."""
        return self.label if self.origin in ("here", "reference") else f"{self.label} ({self.origin})"

    def raw(self, key: Key) -> float | None:
        """The mean of the metric itself, over the seeds that have a score; over all where none has."""
        return _mean([row.value for row in self._of(key)])

    def scale(self, key: Key) -> tuple[float | None, float | None]:
        """The means of the floor and of the optimum over the same seeds."""
        return _mean([row.floor for row in self._of(key)]), _mean([row.best for row in self._of(key)])

    def fewer(self, key: Key, seeds: Sequence[int]) -> str:
        """What a score lacks: "1 of 3 seeds: the loss is not finite", or "" if all seeds have it."""
        rows = [row for row in self.rows if (row.cell, row.metric) == key]
        scored = [row for row in rows if row.bounds is not None]
        if key not in self.scores or len(scored) >= len(seeds):
            return ""
        return f"{len(scored)} of {len(seeds)} seeds: {next((row.reason for row in rows if row.reason), 'not run')}"

    def _of(self, key: Key) -> list[Row]:
        rows = [row for row in self.rows if (row.cell, row.metric) == key]
        return [row for row in rows if row.bounds is not None] or rows

    def parameters(self, cell: str) -> int | None:
        """How many parameters it has on a cell."""
        return next((row.parameters for row in self.rows if row.cell == cell and row.parameters is not None), None)

    @property
    def sizes(self) -> str:
        """The smallest and the largest number of parameters over the cells."""
        known = sorted({row.parameters for row in self.rows if row.parameters is not None})
        return "" if not known else " to ".join(f"{number:,}" for number in dict.fromkeys((known[0], known[-1])))

    def curves(self, cell: str) -> list[list[tuple[int, float]]]:
        """The curve of each seed."""
        return [points for row in self.rows if row.cell == cell and (points := row.points)]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def standings(rows: Iterable[Row], origin: str, suite: Suite) -> list[Standing]:
    """The models of some rows in order of their appearance."""
    by_label: dict[str, list[Row]] = {}
    for row in rows:
        by_label.setdefault(row.label, []).append(row)
    return [_standing(label, origin, own, suite) for label, own in by_label.items()]


def _standing(label: str, origin: str, rows: Sequence[Row], suite: Suite) -> Standing:
    scores, reasons = {}, {}
    for cell, measure in suite.measures:
        key = (cell, measure.metric)
        mine = [row for row in rows if (row.cell, row.metric) == key]
        known = [bounds for row in mine if (bounds := row.bounds) is not None]
        if known:
            scores[key] = over_seeds(known)
        else:
            reasons[key] = next((row.reason for row in mine if row.reason), "not run")
    return Standing(label, origin, scores, reasons, rows)


def abilities(standing: Standing, suite: Suite) -> dict[str, tuple[Mean, bool]]:
    """The mean of each ability over its measures, and whether some of these are missing."""
    found = {}
    for ability in ABILITIES:
        keys = [(cell, measure.metric) for cell, measure in suite.measures if measure.ability == ability]
        known = [standing.scores[key] for key in keys if key in standing.scores]
        if known:
            found[ability] = (together(known), len(known) < len(keys))
    return found
