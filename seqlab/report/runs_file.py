"""Keeps finished runs as lines of a CSV file, small enough to commit, from which the report can be made again.

A line is a run, a baseline, or says something of the metrics of a data set: their headings in tables, what they mean
there, what is better, and the number of cases of a proportion. A baseline is that of the run before it or, if it is
shared, of all runs of its data and seed. The columns after FIXED are metrics.
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from seqlab.errors import InputError
from seqlab.files import write_text
from seqlab.report.rows import VALIDATION, best_validation, directions, meaning_of, tables_of, unique

FIXED = ("kind", "data", "description", "model", "seed", "steps", "seconds", "parameters", "version")
KINDS = ("run", "baseline", "shared", "heading", "meaning", "better", "cases")
SUFFIX = ".csv"
LARGEST = 1e100  # a number in a file: sums and squares of such stay finite

Line = dict[str, str]


def kept(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Runs as the file keeps them: a run's model is the label of its row, and it has no configuration."""
    return [
        {**run, "model": row.label, "config": None}
        for table in tables_of(runs)
        for row in table.rows
        for run in row.runs
    ]


def together(runs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Kept runs; of those with equal data, description, model and seed the last one.

    One without baselines has those of the run whose place it takes.
    """
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for run in runs:
        key = (*_place(run), run["model"], run["seed"])
        older = found.get(key, {}).get("baselines", {})
        found[key] = {**run, "baselines": run["baselines"] or older}
    return list(found.values())


def write_runs(file: Path, runs: Sequence[dict[str, Any]]) -> None:
    """Write kept runs to a file, in place of what it has.

    Raises:
        OSError: it cannot be written; the error names it.
        InputError: a heading stands for two metrics of one data set.
    """
    lines = [line for place in unique(map(_place, runs)) for line in _lines([r for r in runs if _place(r) == place])]
    metrics = unique(name for line in lines for name in line if name not in FIXED)
    text = io.StringIO()
    writer = csv.DictWriter(text, [*FIXED, *metrics], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_text(file, text.getvalue())


def _place(run: Mapping[str, Any]) -> tuple[str, str]:
    return run["data"], run["description"]


def _lines(runs: Sequence[dict[str, Any]]) -> Iterable[Line]:
    """The lines of the runs of a data set."""
    about = {"data": runs[0]["data"], "description": runs[0]["description"]}
    headings: dict[str, list[str]] = {}
    for heading, metric in unique(pair for run in runs for pair in run["columns"].items()):
        if others := [name for name, known in headings.items() if heading in known]:
            raise InputError(
                f"{about['data']}: the column {heading} is {others[0]} of some runs and {metric} of others"
            )
        if heading == "val loss":
            raise InputError(f"{about['data']}: the column val loss has the name of the validation loss")
        headings.setdefault(metric, []).append(heading)
    yield {"kind": "heading", **about} | {metric: json.dumps(several) for metric, several in headings.items()}
    if meanings := {metric: text for run in runs for metric in headings if (text := meaning_of(run, metric))}:
        yield {"kind": "meaning", **about} | meanings
    yield {"kind": "better", **about} | directions(runs)
    yield {"kind": "cases", **about} | {name: str(n) for run in runs for name, n in run.get("counts", {}).items()}
    baselines = [(run["seed"], {name: _texts(results) for name, results in run["baselines"].items()}) for run in runs]
    seeds = unique(seed for seed, _ in baselines)
    shared = {seed: found[0] for seed in seeds if len(found := unique(one for s, one in baselines if s == seed)) == 1}
    for run, (seed, own) in zip(runs, baselines, strict=True):
        fixed = {name: str(run[name]) for name in ("model", "seed", "steps")}
        fixed["seconds"] = f"{run['seconds']:.1f}"
        fixed["parameters"] = str(run.get("num_parameters", 0))
        fixed["version"] = str(run.get("versions", {}).get("seqlab", ""))
        best = best_validation(run)
        yield {"kind": "run", **about, **fixed} | _texts({VALIDATION: best, **run["metrics"]})
        if seed not in shared:
            yield from (
                {"kind": "baseline", **about, "model": n, "seed": str(seed)} | texts for n, texts in own.items()
            )
    for seed, own in shared.items():
        yield from ({"kind": "shared", **about, "model": n, "seed": str(seed)} | texts for n, texts in own.items())


def _texts(results: Mapping[str, float | None]) -> Line:
    known = {name: value for name, value in results.items() if value is not None and abs(value) <= LARGEST}
    return {name: f"{value:.6g}" for name, value in known.items()}


def read_runs(file: Path) -> list[dict[str, Any]]:
    """The runs that a file keeps, as `kept` returns them.

    Raises:
        InputError: it is not such a file; the error names the line.
    """
    try:
        with open(file, encoding="utf-8", newline="") as opened:
            reader = csv.DictReader(opened, strict=True)
            if tuple(reader.fieldnames or ())[: len(FIXED)] != FIXED:
                raise InputError(f"{file} is not a file of runs: its first columns must be {', '.join(FIXED)}")
            lines = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file} is not a file of runs: {error}") from error
    about: dict[tuple[str, str], dict[str, Any]] = {}
    runs: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 2):
        try:
            _take(line, about, runs, file)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{file}: line {number}: {error}") from error
    return runs


def _take(line: Line, about: dict[tuple[str, str], dict[str, Any]], runs: list[dict[str, Any]], file: Path) -> None:
    """Add what a line says to the runs, or to what is known of a data set."""
    if None in line or None in line.values():
        raise ValueError("it has more or fewer cells than the heading")
    if line["kind"] not in KINDS:
        raise ValueError(f"kind {line['kind']!r}: allowed: {', '.join(KINDS)}")
    cells = {name: text for name, text in line.items() if name not in FIXED and text}
    place = _place(line)
    known = about.setdefault(place, {"columns": {}, "meanings": {}, "better": {}, "counts": {}, "intervals": {}})
    if line["kind"] == "heading":
        known["columns"].update({heading: metric for metric, text in cells.items() for heading in _headings(text)})
    elif line["kind"] == "meaning":
        known["meanings"].update(cells)
    elif line["kind"] == "better":
        if not set(cells.values()) <= {"low", "high"}:
            raise ValueError("better: allowed: low, high")
        known["better"].update(cells)
    elif line["kind"] == "cases":
        known["counts"].update({name: _count(text) for name, text in cells.items()})
        known["intervals"].update(dict.fromkeys(cells))
    elif line["kind"] == "run":
        results = _numbers(cells)
        best = results.pop(VALIDATION, None)
        steps, (seconds,) = _count(line["steps"]), _numbers({"seconds": line["seconds"]}).values()
        if seconds is None or seconds < 0:
            raise ValueError(f"seconds: {seconds} is below 0")
        runs.append(
            {name: line[name] for name in ("data", "description", "model")}
            | {"seed": int(line["seed"]), "steps": steps, "seconds": seconds, "path": file}
            | {"metrics": results, "baselines": {}, "config": None, "stopped": "", **known}
            | {"checks": {} if best is None else {VALIDATION: [(steps, best)]}}
            | {"num_parameters": _count(line["parameters"]), "versions": {"seqlab": line["version"]}}
        )
    else:
        seed = int(line["seed"])
        found = [run for run in runs if (_place(run), run["seed"]) == (place, seed)]
        if not found:
            raise ValueError(f"a baseline comes after a run of its data and seed; there is none with seed {seed}")
        for run in found if line["kind"] == "shared" else found[-1:]:
            run["baselines"][line["model"]] = _numbers(cells)


def _headings(text: str) -> list[str]:
    headings = json.loads(text)
    if not (isinstance(headings, list) and all(isinstance(heading, str) for heading in headings)):
        raise ValueError(f"headings {text}: allowed: a list of texts")
    if "val loss" in headings:
        raise ValueError("the heading val loss is that of the validation loss")
    return headings


def _count(text: str) -> int:
    if (number := int(text)) < 0:
        raise ValueError(f"{number} is below 0")
    return number


def _numbers(cells: Line) -> dict[str, float | None]:
    found = {name: float(text) for name, text in cells.items()}
    for name, value in found.items():
        if not abs(value) <= LARGEST:
            what = "too large" if math.isfinite(value) else "not a finite number"
            raise ValueError(f"{name}: {value} is {what}")
    return dict(found)
