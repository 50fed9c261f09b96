"""Tables in Markdown that compare models over data sets: one for each column, at best.ckpt and at last.ckpt."""

from collections.abc import Mapping, Sequence

from seqlab.report.rows import Block, Row, Table, models_of, titles, unique
from seqlab.show.markdown import pipes, plain
from seqlab.show.table import number

LAST = "at last.ckpt"
INTRODUCTION = (
    "Mean over seeds (lowest to highest). A number after a slash says how many seeds there are, where it is fewer than "
    "the most. Below the models, in italics, their baselines."
)


def by_data(tables: Sequence[Table]) -> str:
    """Every column of some tables, and every column that has values at last.ckpt again: models x data sets."""
    parts = [INTRODUCTION]
    blocks = [block for table in tables for block in table.blocks]
    names = {id(block): plain(title) for block, title in zip(blocks, titles(blocks), strict=True)}
    for heading in unique(heading for table in tables for heading in table.columns):
        chosen = [(table.columns[heading], block) for table in tables if heading in table.columns
                  for block in table.blocks if models_of(block)]  # fmt: skip
        last = [(metric.replace("test/", "test_last/", 1), block) for metric, block in chosen]
        parts.append(_table(heading, chosen, names))
        if any(_values(row, metric) for metric, block in last if metric.startswith("test_last/") for row in block.rows):
            parts.append(_table(f"{heading} {LAST}", last, names))
    return "\n\n".join(parts) + "\n"


def _table(heading: str, chosen: Sequence[tuple[str, Block]], names: Mapping[int, str]) -> str:
    """A table of one column: a line for each model, then for each baseline that has a value."""
    lines = [pipes([plain(heading), *(names[id(block)] for _, block in chosen)]), pipes("-" * (len(chosen) + 1))]
    rows = [row for _, block in chosen for row in block.rows]
    most = max(len(row.results) for row in rows if row.runs)
    for models in (True, False):
        for label in unique(row.label for row in rows if bool(row.runs) == models):
            cells = [_cell(block, metric, label, models, most) for metric, block in chosen]
            if models or any(cells):
                lines.append(pipes([plain(label) if models else f"*{plain(label)}*", *cells]))
    return "\n".join(lines)


def _cell(block: Block, metric: str, label: str, models: bool, most: int) -> str:
    row = next((row for row in block.rows if row.label == label and bool(row.runs) == models), None)
    values = [] if row is None else _values(row, metric)
    if not values:
        return ""
    mean, low, high = (number(value) for value in (sum(values) / len(values), min(values), max(values)))
    spread = "" if low == high else f" ({low} to {high})"
    return mean + spread + (f" /{len(values)}" if models and len(values) < most else "")


def _values(row: Row, metric: str) -> list[float]:
    results: Sequence[Mapping[str, float | None]] = row.results
    return [value for result in results if (value := result.get(metric)) is not None]
