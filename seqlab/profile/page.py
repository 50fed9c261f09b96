"""The profile as one HTML page that needs nothing beside it: the map as a table, two models compared, curves, runs."""

import base64
import io
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from matplotlib.figure import Figure

from seqlab.profile.figure import color_of, curves
from seqlab.profile.jobs import runs_of
from seqlab.profile.scores import Mean
from seqlab.profile.standing import Standing, abilities
from seqlab.profile.suite import ABILITIES, Suite
from seqlab.profile.table import SCALE, between, two
from seqlab.show.style import house_style

HERE = Path(__file__).parent
REPORT = HERE.parent / "report"  # whose style this page has


def page(groups: Sequence[Sequence[Standing]], name: str, suite: Suite, folder: Path) -> str:
    """Build the page for a file in a folder.

    Args:
        groups: own models, those of the package, those of each further file.
        name, suite: what they went through.
        folder: has the runs of the own models.
    """
    shown = [standing for group in groups for standing in group]
    title = f"Profile: suite {name} {suite.version}"
    with house_style():
        figure = curves(shown, suite)
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(suite.about[:1].upper() + suite.about[1:])}. {escape(SCALE)} The width of each model is fitted to "
        f"{suite.parameters:,} parameters; {suite.counted_seeds}. There is no number over all tasks.</p>",
        "<h2>By ability</h2>",
        by_ability(shown, suite),
        "<h2>By task</h2>",
        by_measure(shown, suite),
        "<h2>Two models</h2>",
        pair(shown, suite),
        "<h2>Over lengths</h2>",
        "" if figure is None else image(figure, "The metric of each task over lengths, by model"),
        without_curve(suite),
        points(shown, suite),
        "<h2>Runs</h2>",
        runs(groups[0], folder),
    ]
    style = "".join((place / "page.css").read_text(encoding="utf-8") for place in (REPORT, HERE))
    script = (HERE / "page.js").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + f'\n</main>\n<script type="application/json" id="scores">{data(shown)}</script>'
        + f"\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


def by_ability(shown: Sequence[Standing], suite: Suite) -> str:
    """The table of models by ability."""
    lines = []
    for standing in shown:
        found = abilities(standing, suite)
        cells = []
        for ability in ABILITIES:
            mean, incomplete = found.get(ability, (None, False))
            cells.append(score(mean, "no value", incomplete))
        lines.append(line(standing, [*cells, f"<td>{escape(standing.sizes)}</td>"]))
    headings = ["model", *ABILITIES, "parameters"]
    return table("By ability: the mean over its tasks; *: some tasks have no value", headings, lines)


def by_measure(shown: Sequence[Standing], suite: Suite) -> str:
    """The table of models by task, with intervals; an empty cell says why."""
    lines = [
        line(
            standing,
            [
                score(standing.scores.get(key := (cell, measure.metric)), standing.reasons.get(key, ""))
                for cell, measure in suite.measures
            ],
        )
        for standing in shown
    ]
    headings = [f"{measure.ability}: {measure.name or cell}" for cell, measure in suite.measures]
    return table("By task: score and 95% interval", ["model", *headings], lines)


def line(standing: Standing, cells: Sequence[str]) -> str:
    """A row of a table, of a model."""
    kind = ' class="here"' if standing.origin == "here" else ""
    name = standing.name if standing.origin != "here" else f"{standing.name} (here)"
    return f'<tr{kind}><th scope="row">{escape(name)}</th>{"".join(cells)}</tr>'


def score(mean: Mean | None, reason: str, incomplete: bool = False) -> str:
    """A cell of a map: colour, number and interval; without a score a dash and the reason."""
    if mean is None:
        return f'<td class="score"><span title="{escape(reason)}">-<small>{escape(reason)}</small></span></td>'
    color, ink = color_of(mean)
    rgb = ", ".join(str(round(255 * part)) for part in color[:3])
    text = f"{two(mean.value)}{'*' if incomplete else ''}<small>{between(mean)}</small>"
    return f'<td class="score" style="background: rgb({rgb}); color: {ink}">{text}</td>'


def table(caption: str, headings: Sequence[str], lines: Sequence[str], name: str = "") -> str:
    """A table in a region that scrolls, also by keys."""
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    identity = f' id="{name}"' if name else ""
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(caption)}"><table{identity}>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>\n<tbody>\n"
        + "\n".join(lines)
        + "\n</tbody></table></div>"
    )


def pair(shown: Sequence[Standing], suite: Suite) -> str:
    """A table of two models beside each other, with two lists to choose them from."""
    chosen = (0, min(1, len(shown) - 1))
    lists = ""
    for identity, label, first in zip(("one", "other"), ("model", "beside"), chosen, strict=True):
        options = "".join(
            f'<option value="{place}"{" selected" if place == first else ""}>{escape(standing.name)}</option>'
            for place, standing in enumerate(shown)
        )
        lists += f'<label>{label} <select id="{identity}">{options}</select></label>\n'
    lines = [
        f'<tr data-key="{escape(f"{cell} {measure.metric}")}"><th scope="row">'
        f"{escape(f'{measure.ability}: {measure.name or cell}')}</th><td></td><td></td><td></td><td></td></tr>"
        for cell, measure in suite.measures
    ]
    head = ["task", "", "", "difference", "intervals"]
    built = table("Two models: score and 95% interval", head, lines, "pair")
    for identity in ("left", "right"):
        built = built.replace('<th scope="col"></th>', f'<th scope="col" id="{identity}"></th>', 1)
    return f'{lists}<p id="said" aria-live="polite"></p>\n{built}'


def data(shown: Sequence[Standing]) -> str:
    """The scores of all models for the script."""
    rows = [{" ".join(key): [round(part, 4) for part in mean] for key, mean in one.scores.items()} for one in shown]
    return json.dumps(rows).replace("<", "\\u003c")


def image(figure: Figure, caption: str) -> str:
    """An embedded figure with its caption."""
    file = io.BytesIO()
    with house_style():
        figure.savefig(file, format="svg", metadata={"Date": None})
    content = base64.b64encode(file.getvalue()).decode()
    text = escape(caption)
    picture = f'<img alt="{text}; the numbers follow as tables" src="data:image/svg+xml;base64,{content}">'
    return f"<figure><figcaption>{text}</figcaption>{picture}</figure>"


def points(shown: Sequence[Standing], suite: Suite) -> str:
    """The curves as tables, folded."""
    parts = []
    for cell in suite.cells:
        found = [(standing, points) for standing in shown for points in standing.curves(cell)[:1]]
        lengths = sorted({length for _, curve in found for length, _ in curve})
        lines = [
            line(standing, ["<td>" + (two(known[n]) if n in known else "-") + "</td>" for n in lengths])
            for standing, curve in found
            if (known := dict(curve)) is not None
        ]
        if lines:
            built = table(f"{cell}: {suite.cells[cell].curve}", ["model", *map(str, lengths)], lines)
            parts.append(f"<details><summary>{escape(cell)} as a table</summary>{built}</details>")
    return "\n".join(parts)


def without_curve(suite: Suite) -> str:
    """Which cells have no curve; nothing where all have one."""
    names = ", ".join(cell for cell, part in suite.cells.items() if not part.curve)
    return f"<p>Without a curve, as their tests are not by length: {escape(names)}.</p>" if names else ""


def runs(own: Sequence[Standing], folder: Path) -> str:
    """What was run here, with a link to each run."""
    lines = []
    for standing in own:
        for row in {row.run: row for row in standing.rows}.values():
            place, where = (
                runs_of(folder, standing.label) / f"{row.cell},seed={row.seed}",
                f"{row.cell}, seed {row.seed}",
            )
            if place.is_dir():
                target = quote(place.relative_to(folder).as_posix())
                where = f'<a href="{escape(target)}/">{escape(where)}</a>'
            numbers = [row.parameters, row.widths, row.steps, row.targets, row.rate, row.seconds, row.reason]
            cells = "".join(f"<td>{escape('' if value is None else str(value))}</td>" for value in numbers)
            lines.append(f'<tr><th scope="row">{escape(standing.label)}</th><td>{where}</td>{cells}</tr>')
    if not lines:
        return "<p>Nothing was run here.</p>"
    headings = ["model", "run", "parameters", "widths", "steps", "targets", "rate", "seconds", "reason"]
    return table("Runs here", headings, lines)
