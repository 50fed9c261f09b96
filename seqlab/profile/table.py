"""The tables of a profile: one of each model's own measures, and one of all models by ability."""

from collections.abc import Sequence

from seqlab.profile.scores import Mean
from seqlab.profile.standing import Standing, abilities
from seqlab.profile.suite import ABILITIES, Suite
from seqlab.show.layout import Column, Sheet
from seqlab.show.table import number

SCALE = "A score is 0 at the best shortcut or chance and 1 at the optimum, with its 95% interval."


def measures_table(standing: Standing, name: str, suite: Suite) -> Sheet:
    """A model's score on each measure, the raw metric and the ends of its scale, and its parameters."""
    rows, reasons, partial = [], {}, {}
    for cell, measure in suite.measures:
        key = (cell, measure.metric)
        mean, (floor, best) = standing.scores.get(key), standing.scale(key)
        score, interval = ("-", "") if mean is None else (two(mean.value), between(mean))
        parameters = standing.parameters(cell)
        rows.append(
            [
                measure.name or cell, measure.ability, score, interval, number(standing.raw(key)), number(floor),
                number(best), "" if parameters is None else f"{parameters:,}",
            ]
        )  # fmt: skip
        if key in standing.reasons:
            reasons.setdefault(standing.reasons[key], []).append(f"{measure.name or cell} ({measure.ability})")
        elif lacking := standing.fewer(key, suite.seeds):
            partial.setdefault(lacking, []).append(f"{measure.name or cell} ({measure.ability})")
    numbers = ("score", "95%", "raw", "0 is", "1 is", "parameters")
    columns = [Column("task", "name"), Column("ability", "name"), *(Column(heading) for heading in numbers)]
    seeds = ", ".join(map(str, suite.seeds))
    return Sheet(
        columns=columns,
        blocks=[rows],
        title=f"{standing.name}, suite {name} {suite.version}, seed {seeds}",
        notes=[
            f"{SCALE} The width of the model is fitted to {suite.parameters:,} parameters.",
            *(f"Empty: {', '.join(tasks)}: {reason}." for reason, tasks in reasons.items()),
            *(f"Fewer seeds: {', '.join(tasks)}: {lacking}." for lacking, tasks in partial.items()),
        ],
    )


def abilities_table(groups: Sequence[Sequence[Standing]], suite: Suite) -> Sheet:
    """All models by ability, in hundredths of the scale. There is no column over all abilities."""
    blocks, missing = [], False
    for group in groups:
        block = []
        for standing in group:
            found = abilities(standing, suite)
            cells = [found.get(ability) for ability in ABILITIES]
            missing |= any(cell is not None and cell[1] for cell in cells)
            block.append([standing.name, *("-" if cell is None else hundredths(*cell) for cell in cells)])
        blocks.append(block)
    notes = ["Hundredths of the scale, and half the width of the 95% interval; own models first, then those known."]
    sizes = [f"{standing.name} {standing.sizes}" for group in groups for standing in group if standing.sizes]
    notes.append(f"Parameters, fitted to {suite.parameters:,} by the width: {'; '.join(sizes)}.")
    if missing:
        notes.append("*: some tasks of this ability have no value and are left out of the mean.")
    return Sheet([Column("model", "name"), *map(Column, ABILITIES)], blocks, title="By ability", notes=notes)


def hundredths(mean: Mean, incomplete: bool) -> str:
    """A mean with half the width of its interval.

    >>> hundredths(Mean(0.931, 0.9, 0.96), True)
    '93±3*'
    """
    return f"{round(100 * mean.value)}±{round(50 * (mean.high - mean.low))}{'*' if incomplete else ''}"


def two(value: float) -> str:
    """Two decimals, without a negative zero.

    >>> two(-0.001), two(0.126)
    ('0.00', '0.13')
    """
    return f"{value + 0.0 if abs(value) >= 0.005 else 0.0:.2f}"


def between(mean: Mean) -> str:
    """The ends of an interval.

    >>> between(Mean(0.5, -0.001, 0.75))
    '0.00 to 0.75'
    """
    return f"{two(mean.low)} to {two(mean.high)}"
