"""Formats the report for a terminal, in Markdown, LaTeX and CSV."""

import csv
import io
import re
import statistics
from collections.abc import Iterable, Sequence

from rich.text import Text

from seqlab.report.rows import Apart, Cell, Row, Table
from seqlab.show.layout import Column, Sheet
from seqlab.show.markdown import pipes, plain
from seqlab.show.table import number

FIXED = ("data", "model", "n", "steps", "time")  # the columns before those of metrics
APART = ("status", "run", "reason")


def cell_text(cell: Cell, n: int) -> str:
    """Format a cell, with the number of its runs if it differs from that of the row.

    >>> cell_text(Cell(0.25, 0.1, 3), 3), cell_text(Cell(0.25, None, 1), 3), cell_text(Cell(None, None, 0), 3)
    ('0.250 ± 0.100', '0.250 (n=1)', '-')
    >>> cell_text(Cell(-0.5, None, 3, (-1.25, 0.25)), 3)
    '-0.500 (-1.250 to 0.250)'
    """
    spread = "" if cell.std is None or cell.mean is None else f" ± {spread_beside(cell.mean, cell.std)}"
    if cell.interval is not None:
        spread = f" ({number(cell.interval[0])} to {number(cell.interval[1])})"
    return number(cell.mean) + spread + (f" (n={cell.n})" if 0 < cell.n < n else "")


def spread_beside(mean: float, std: float) -> str:
    """A standard deviation beside its mean: below half a thousandth it is 0.000, unless the mean is as small.

    >>> spread_beside(0.131, 2.7e-7), spread_beside(0.0002, 2.4e-5), spread_beside(0.5, 0.0014)
    ('0.000', '2.4e-05', '0.0014')
    """
    return "0.000" if std < 0.0005 and abs(mean) >= 0.01 else number(std)


def fixed_texts(row: Row) -> list[str]:
    """The texts of the cells before the metrics."""
    if not row.runs:
        return [row.data, row.label, str(row.n) if row.n > 1 else "", "", ""]
    steps = sorted(run["steps"] for run in row.runs)
    seconds = statistics.fmean(run["seconds"] for run in row.runs)
    time = f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"
    several = f"{steps[0]} to {steps[-1]}" if steps[0] != steps[-1] else str(steps[0])
    return [row.data, row.label, str(row.n), several, time]


def markdown(tables: Sequence[Table], apart: Sequence[Apart]) -> str:
    """Format tables in Markdown, followed by the list of runs that are not in them."""
    parts = []
    for table in tables:
        lines = [pipes(map(plain, [*FIXED, *table.columns])), pipes("-" * (len(FIXED) + len(table.columns)))]
        for row in table.rows:
            cells = [(metric, cell_text(row.cells[metric], row.n)) for metric in table.columns.values()]
            bold = [f"**{text}**" if metric in row.best else text for metric, text in cells]
            lines.append(pipes([*map(plain, fixed_texts(row)), *bold]))
        parts.append("\n".join(lines) + "\n")
    if apart:
        lines = [pipes(plain(text) for text in (run.status, str(run.path), run.reason)) for run in apart]
        parts.append("\n".join(["Not in the table:", "", pipes(APART), pipes("---"), *lines]) + "\n")
    return "\n".join(parts)


def sheets(tables: Sequence[Table], apart: Sequence[Apart]) -> list[Sheet]:
    """Convert tables for a terminal. The last one lists the runs that are not in the others."""
    found = []
    for table in tables:
        names, numbers = FIXED[:2], (*FIXED[2:], *table.columns)
        columns = [*(Column(heading, "name") for heading in names), *map(Column, numbers)]
        blocks = [[_cells(row, table) for row in block.rows] for block in table.blocks]
        found.append(Sheet(columns, blocks, notes=[table.legend]))
    if apart:
        columns = [Column("status", "name"), Column("run", "name"), Column("reason", "text")]
        rows = [(run.status, str(run.path), run.reason) for run in apart]
        found.append(Sheet(columns, [rows], title="not in the table"))
    return found


def _cells(row: Row, table: Table) -> list[Text]:
    numbers = [(metric, cell_text(row.cells[metric], row.n)) for metric in table.columns.values()]
    styles = [*("" for _ in FIXED), *("bold" if metric in row.best else "" for metric, _ in numbers)]
    texts = [*fixed_texts(row), *(text for _, text in numbers)]
    return [Text(text, style if row.runs else f"{style} dim") for text, style in zip(texts, styles, strict=True)]


def latex(tables: Sequence[Table], apart: Sequence[Apart]) -> str:
    """Format each table as a LaTeX tabular with booktabs rules, and one for the runs that are not in them."""
    parts = ["% \\usepackage{booktabs}"]
    for table in tables:
        lines = [
            rf"\begin{{tabular}}{{llrrr{'r' * len(table.columns)}}}",
            r"\toprule",
            _ampersands(map(tex, [*FIXED, *table.columns])),
        ]
        for block in table.blocks:
            lines.append(r"\midrule")
            for row in block.rows:
                cells = [(metric, tex(cell_text(row.cells[metric], row.n))) for metric in table.columns.values()]
                bold = [rf"\textbf{{{text}}}" if metric in row.best else text for metric, text in cells]
                lines.append(_ampersands([*map(tex, fixed_texts(row)), *bold]))
        parts.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}"]))
    if apart:
        rows = [_ampersands(map(tex, (run.status, str(run.path), run.reason))) for run in apart]
        head = [r"\begin{tabular}{lll}", r"\toprule", _ampersands(APART), r"\midrule"]
        parts.append("\n".join(["% not in the table", *head, *rows, r"\bottomrule", r"\end{tabular}"]))
    return "\n\n".join(parts) + "\n"


def _ampersands(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


TEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}  # fmt: skip


def tex(text: str) -> str:
    r"""Escape a text for LaTeX.

    >>> print(tex("50% of a_b"))
    50\% of a\_b
    """
    return re.sub("[" + re.escape("".join(TEX)) + "]", lambda sign: TEX[sign.group()], " ".join(text.split()))


CSV_COLUMNS: tuple[str, ...] = (
    *("kind", "data", "description", "model", "setting", "column", "metric"),
    *("mean", "std", "n", "low", "high", "best", "seeds", "status", "run", "reason"),
)


def comma_separated(tables: Sequence[Table], apart: Sequence[Apart]) -> str:
    """Format as CSV: one line per number (kind model, baseline or effect), and per run not in a table (kind apart)."""
    file = io.StringIO()
    writer = csv.DictWriter(file, CSV_COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for table in tables:
        for block in table.blocks:
            for row in block.rows:
                about = {
                    "kind": row.kind, "data": row.data, "description": block.description, "model": row.model,
                    "setting": row.label.removeprefix(row.model).strip(),
                    "seeds": " ".join(str(run["seed"]) for run in row.runs),
                }  # fmt: skip
                for heading, metric in table.columns.items():
                    mean, std, n, interval = row.cells[metric]
                    low, high = interval or (None, None)
                    best = "yes" if metric in row.best else ""
                    values = {"column": heading, "metric": metric, "mean": mean, "std": std, "low": low, "high": high}
                    writer.writerow({**about, **values, "n": n, "best": best})
    for run in apart:
        writer.writerow({"kind": "apart", "status": run.status, "run": str(run.path), "reason": run.reason})
    return file.getvalue()
