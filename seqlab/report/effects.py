"""The effect of a setting: the mean difference from a reference row over common seeds, with its interval."""

from collections.abc import Sequence

from seqlab.errors import InputError, nearest
from seqlab.report.rows import Block, Cell, Row, Table, cell, unique

LEGEND = "A - B: mean of A less B over the n seeds that both have, with Student's 95% interval"


def effects_of(tables: Sequence[Table], reference: str) -> list[Table]:
    """Compute a table of differences for each table that holds the reference and other models.

    Args:
        tables: tables of results.
        reference: the row with which the others of its block are compared, by its name in the column "model".

    Raises:
        InputError: no row has that name.
    """
    labels = unique(row.label for table in tables for row in table.rows if row.runs)
    if reference not in labels:
        raise InputError(f"--effects {reference}: no row has this name; {nearest(reference, labels)}")
    found = []
    for table in tables:
        blocks = [Block(block.data, block.description, {}, _differences(block, reference)) for block in table.blocks]
        if any(block.rows for block in blocks):
            found.append(Table(table.columns, [block for block in blocks if block.rows], LEGEND))
    return found


def _differences(block: Block, reference: str) -> list[Row]:
    """One row for each model that has seeds in common with the reference."""
    models = {row.label: row for row in block.rows if row.runs}
    before = models.pop(reference, None)
    return [] if before is None else [row for after in models.values() if (row := difference(after, before)).n]


def difference(after: Row, before: Row) -> Row:
    """The row of the differences `after` - `before`, for each metric."""
    pairs = list(zip(*(_by_seed(row, after, before) for row in (after, before)), strict=True))
    results = [
        {
            metric: None if (new := a.get(metric)) is None or (old := b.get(metric)) is None else new - old
            for metric in after.cells
        }
        for a, b in pairs
    ]
    cells = {metric: effect([result[metric] for result in results]) for metric in after.cells}
    label = f"{after.label} - {before.label}"
    return Row("effect", after.data, label, after.model, after.setting, [], len(pairs), results, cells)


def _by_seed(row: Row, *rows: Row) -> list[dict[str, float | None]]:
    """The results of a row for the seeds that all rows have in common, ordered by seed."""
    results = {run["seed"]: dict(result) for run, result in zip(row.runs, row.results, strict=True)}
    shared = set.intersection(*({run["seed"] for run in other.runs} for other in rows))
    return [results[seed] for seed in sorted(shared)]


def effect(differences: Sequence[float | None]) -> Cell:
    """The mean of paired differences with Student's 95% interval; a single pair has no interval.

    >>> mean, std, n, interval = effect([-1.0, -1.5, -2.0])
    >>> mean, n, [round(bound, 3) for bound in interval]
    (-1.5, 3, [-2.742, -0.258])
    """
    from scipy.special import stdtrit  # here, because scipy takes half a second to load

    mean, std, n, _ = cell(differences)
    if mean is None or std is None:
        return Cell(mean, None, n)
    half = float(stdtrit(n - 1, 0.975)) * std / n**0.5
    return Cell(mean, None, n, (mean - half, mean + half))
