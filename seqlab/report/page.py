"""The report as a self-contained HTML page: sortable tables, embedded plots, links to the run directories."""

import base64
import io
import os
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from matplotlib.figure import Figure

from seqlab.report.collect import plots_of
from seqlab.report.formats import APART, FIXED, cell_text, fixed_texts
from seqlab.report.panels import MOST_ROWS, bars, curves, learning, shown
from seqlab.report.rows import Apart, Block, Row, Table, unique

HERE = Path(__file__).parent
DRAWN_ANEW = ("learning_curves.png", "results.png")  # figures of single runs that the page replaces by ones over seeds
MOST_OWN = 4  # models per block whose own figures are on the page; the others' figures are in their folders
DPI = 80


def page(tables: Sequence[Table], apart: Sequence[Apart], place: Path) -> str:
    """Build the HTML page for a file in the folder `place`."""
    blocks = [(table, block) for table in tables for block in table.blocks if any(row.runs for row in block.rows)]
    legends = ". ".join(unique(table.legend for table in tables))
    num_runs = sum(len(row.runs) for table in tables for row in table.rows)
    parts = [
        "<h1>Runs</h1>",
        f"<p>{num_runs} finished runs, {len(apart)} others. {escape(legends)}. Headings sort.</p>",
        *(results(table, place) for table in tables),
        "<h2>Not in the tables</h2>",
        others(apart, place),
        "<h2>Differences between configurations</h2>",
        differences(tables, place),
        *(section(table, block, place) for table, block in blocks),
    ]
    style, script = (HERE / "page.css").read_text(encoding="utf-8"), (HERE / "page.js").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>SeqLab: runs</title>\n'
        f"<style>\n{style}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + f"\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


def results(table: Table, place: Path) -> str:
    """A table of results in which the seeds link to the runs."""
    lines = []
    for row in table.rows:
        data, label, n, steps, time = fixed_texts(row)
        links = ", ".join(link(run["path"], place, f"seed {run['seed']}") for run in row.runs)
        cells = [td(data), td(label, css="label"), td(n, number=True), td("", inner=links), td(steps, number=True)]
        cells.append(td(time, order=time.partition(" ")[0], number=True))
        for metric in table.columns.values():
            text = escape(cell_text(row.cells[metric], row.n))
            mean = row.cells[metric].mean
            inner = f"<strong>{text}</strong>" if metric in row.best else text
            cells.append(td("" if mean is None else repr(mean), inner=inner, number=True))
        lines.append(f'<tr class="{row.kind}">{"".join(cells)}</tr>')
    data, model, n, *rest = FIXED
    return sortable("results", [data, model, n, "runs", *rest, *table.columns], lines)


def others(apart: Sequence[Apart], place: Path) -> str:
    """The table of runs that are unfinished, failed, unreadable or repeated."""
    if not apart:
        return "<p>Every run is finished.</p>"
    lines = [
        f"<tr>{td(run.status)}{td(str(run.path), inner=link(run.path, place, str(run.path)))}{td(run.reason)}</tr>"
        for run in apart
    ]
    return sortable("unfinished, failed and repeated runs", APART, lines)


def differences(tables: Sequence[Table], place: Path) -> str:
    """One table for each data x model with several settings, with a row per run and a column per differing key."""
    rows = [row for table in tables for row in table.rows if row.runs]
    parts = []
    for data, model in unique((row.data, row.model) for row in rows):
        members = [row for row in rows if (row.data, row.model) == (data, model)]
        keys = unique(key for row in members for key in row.setting)
        if not keys:
            continue
        lines = [
            "<tr>" + td(str(run["path"]), inner=link(run["path"], place, run["path"].name)) + td(str(run["seed"]))
            + "".join(td(row.setting.get(key, "")) for key in keys) + "</tr>"
            for row in members
            for run in row.runs
        ]  # fmt: skip
        title = f"{data}, {model}: {len(lines)} runs in {len(members)} settings"
        content = sortable(title, ["run", "seed", *keys], lines)
        parts.append(f"<details open><summary>{escape(title)}</summary>{content}</details>")
    return "\n".join(parts) or "<p>The runs of each model on each dataset differ in their seeds alone.</p>"


def section(table: Table, block: Block, place: Path) -> str:
    """The heading, description and plots of a block."""
    rows = shown(block)
    parts = [f"<h2>{escape(block.data)}</h2>", f"<p>{escape(block.description)}</p>"]
    if len(rows) < sum(bool(row.runs) for row in block.rows):
        parts.append(f"<p>The plots show the {MOST_ROWS} models with the lowest validation loss.</p>")
    drawn = {
        "Learning curves: mean over seeds with a band of one standard deviation, as far as all seeds went":
            learning(block, table.columns),
        "Proportions on test data: bars with one standard deviation over seeds, chance dashed": bars(block),
        "By number: mean over seeds with a band of one standard deviation, baselines dashed": curves(block),
    }  # fmt: skip
    parts += [image(png(figure), caption) for caption, figure in drawn.items() if figure is not None]
    parts += [part for row in rows[:MOST_OWN] for part in own_figures(row)]
    return "\n".join(parts)


def own_figures(row: Row) -> Iterable[str]:
    """The task-specific figures of a row's first run, such as forecasts."""
    run = row.runs[0]
    for file in plots_of(run):
        if file.name not in DRAWN_ANEW:
            yield image(file.read_bytes(), f"{row.label}, seed {run['seed']}: {file.stem.replace('_', ' ')}")


def png(figure: Figure) -> bytes:
    """Render a figure as a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue()


def image(content: bytes, caption: str) -> str:
    """HTML of an embedded image with a caption."""
    text = escape(caption)
    data = base64.b64encode(content).decode()
    return f'<figure><figcaption>{text}</figcaption><img alt="{text}" src="data:image/png;base64,{data}"></figure>'


def link(run: Path, place: Path, text: str) -> str:
    """A link to a run directory, or to the file that keeps a run, relative to the page."""
    target = os.path.relpath(run.resolve(), place.resolve())
    return f'<a href="{escape(quote(Path(target).as_posix()))}{"" if run.is_file() else "/"}">{escape(text)}</a>'


def td(text: str, *, inner: str | None = None, order: str | None = None, number: bool = False, css: str = "") -> str:
    """A table cell with its sort key; `inner` is HTML to show in place of the text."""
    names = f"{css} number".strip() if number else css
    attribute = f' class="{names}"' if names else ""
    shown_text = escape(text) if inner is None else inner
    return f'<td{attribute} data-sort="{escape(text if order is None else order)}">{shown_text}</td>'


def sortable(caption: str, headings: Iterable[Any], lines: Sequence[str]) -> str:
    """A table with buttons as headings, which sort it."""
    head = "".join(
        f'<th scope="col"><button type="button">{escape(str(heading))}</button></th>' for heading in headings
    )
    body = "\n".join(lines)
    return (
        f'<div class="wide"><table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )
