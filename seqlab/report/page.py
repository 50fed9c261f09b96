"""The report as one HTML file: tables to sort and filter, figures, each run, and two runs side by side.

The tables are HTML; the rest is data in JSON, which the page's script shows. The page loads nothing, and its content
security policy runs no script but its own: what runs contain can only be text.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from seqlab.report.collect import plots_of
from seqlab.report.formats import APART, FIXED, cell_text, fixed_texts
from seqlab.report.page_runs import href, runs_on_page
from seqlab.report.panels import MOST_ROWS, panels_of, shown
from seqlab.report.rows import Apart, Block, Row, Table, unique

HERE = Path(__file__).parent
SCRIPTS = ("page.js", "page_draw.js", "page_runs.js")
DRAWN_ANEW = ("learning_curves", "results")  # figures of single runs that the page draws over seeds
MOST_OWN = 4  # models per block whose own figures are on the page; the others' figures are in their folders
KINDS = {".png": "image/png", ".svg": "image/svg+xml"}


def page(tables: Sequence[Table], apart: Sequence[Apart], place: Path) -> str:
    """Build the HTML page for a file in the folder `place`."""
    template = (HERE / "page.html").read_text(encoding="utf-8")
    style = (HERE / "page.css").read_text(encoding="utf-8")
    script = "\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    blocks = [(table, block) for table in tables for block in table.blocks if any(row.runs for row in block.rows)]
    first = 0  # the number of a table's first run
    parts = []
    for table in tables:
        parts.append(results(table, first))
        first += sum(len(row.runs) for row in table.rows)
    parts += [section(block, tables.index(table)) for table, block in blocks]
    parts += ["<h2>Not in the tables</h2>", others(apart, place)]
    parts += ["<h2>Differences between configurations</h2>", differences(tables, place)]
    data = runs_on_page(tables, place) | {"panels": [panels_of(block, table.columns) for table, block in blocks]}
    legends = ". ".join(unique(table.legend for table in tables))
    values = {
        "policy": f"default-src 'none'; script-src '{digest(script)}'; style-src '{digest(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'",
        "style": style,
        "script": script,
        "about": escape(f"{first} finished runs, {len(apart)} others. {legends}."),
        "content": "\n".join(parts),
        "data": as_json(data),
    }
    pieces = re.split(r"\{\{(\w+)\}\}", template)  # text, name, text ...: no value is read as a name
    return "".join(values[piece] if number % 2 else piece for number, piece in enumerate(pieces))


def digest(text: str) -> str:
    """The hash by which a content security policy names an inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def as_json(data: Any) -> str:
    """JSON for a script element: without `<`, so that no text ends the element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def results(table: Table, first: int) -> str:
    """A table of results in which the seeds lead to the runs, which are numbered from `first` on."""
    lines = []
    for row in table.rows:
        data, label, n, steps, time = fixed_texts(row)
        seeds = ", ".join(f'<a href="#run={first + k}">seed {run["seed"]}</a>' for k, run in enumerate(row.runs))
        first += len(row.runs)
        kind = "" if row.kind == "model" else f' <span class="kind">{row.kind}</span>'
        cells = [f'<th scope="row" data-sort="{escape(label)}">{escape(label)}{kind}</th>', td(data)]
        for metric in table.columns.values():
            text = escape(cell_text(row.cells[metric], row.n))
            mean = row.cells[metric].mean
            inner = f"<strong>{text}</strong>" if metric in row.best else text
            cells.append(td("" if mean is None else repr(mean), inner=inner, number=True))
        links = td("", inner=f'<div class="seeds">{seeds}</div>', css="runs")
        cells += [td(n, number=True), links, td(steps, number=True)]
        seconds = sum(run["seconds"] for run in row.runs) / len(row.runs) if row.runs else ""
        cells.append(td(time, order=str(seconds), number=True))
        lines.append(f'<tr class="{row.kind}">{"".join(cells)}</tr>')
    data, model, n, *rest = FIXED
    title = f"results: {', '.join(unique(block.data for block in table.blocks))}"
    headings = [model, data, *table.columns, n, "runs", *rest]
    return sortable(title, headings, lines, css="results", metrics=range(2, 2 + len(table.columns)))


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


def section(block: Block, table: int) -> str:
    """The heading and description of a block, the place of its figures, and figures that runs brought.

    Args:
        block: its models and baselines.
        table: the number of the table whose columns choose among the figures.
    """
    rows = shown(block)
    parts = [f"<h2>{escape(block.data)}</h2>", f"<p>{escape(block.description)}</p>"]
    if len(rows) < sum(bool(row.runs) for row in block.rows):
        parts.append(f"<p>The figures show the {MOST_ROWS} models with the lowest validation loss.</p>")
    parts.append(f'<div class="panels" data-table="{table}"></div>')
    parts += [part for row in rows[:MOST_OWN] for part in own_figures(row)]
    return "\n".join(parts)


def own_figures(row: Row) -> Iterable[str]:
    """The task-specific figures of a row's first run, such as forecasts."""
    run = row.runs[0]
    files = {file.stem: file for file in plots_of(run)}  # .svg comes after .png, and takes its place
    for file in files.values():
        if file.stem not in DRAWN_ANEW:
            caption = f"{row.label}, seed {run['seed']}: {file.stem.replace('_', ' ')}"
            yield image(file.read_bytes(), KINDS[file.suffix], caption)


def image(content: bytes, kind: str, caption: str) -> str:
    """HTML of an embedded image with a caption. In an image, no script runs."""
    text = escape(caption)
    data = base64.b64encode(content).decode()
    return f'<figure><figcaption>{text}</figcaption><img alt="{text}" src="data:{kind};base64,{data}"></figure>'


def link(run: Path, place: Path, text: str) -> str:
    """A link to a run directory, or to the file that keeps a run."""
    return f'<a href="{escape(href(run, place))}">{escape(text)}</a>'


def td(text: str, *, inner: str | None = None, order: str | None = None, number: bool = False, css: str = "") -> str:
    """A table cell with its sort key; `inner` is HTML to show in place of the text."""
    names = "number" if number else css
    attribute = f' class="{names}"' if names else ""
    shown_text = escape(text) if inner is None else inner
    return f'<td{attribute} data-sort="{escape(text if order is None else order)}">{shown_text}</td>'


def sortable(
    caption: str, headings: Iterable[Any], lines: Sequence[str], css: str = "", metrics: Iterable[int] = ()
) -> str:
    """A table with buttons as headings, which sort it; the reader can choose among the columns `metrics`."""
    chosen = set(metrics)
    head = "".join(
        f'<th scope="col"{" data-metric" if number in chosen else ""}>'
        f'<button type="button">{escape(str(heading))}</button></th>'
        for number, heading in enumerate(headings)
    )
    body, name = "\n".join(lines), escape(caption)
    return (
        f'<div class="wide {css}" tabindex="0" role="region" aria-label="{name}">'
        f"<table><caption>{name}</caption><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )
