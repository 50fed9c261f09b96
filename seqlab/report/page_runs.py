"""What the page knows of each run: settings, results, curves and predictions, as plain data for its script."""

import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from seqlab.report.panels import thinned
from seqlab.report.rows import Table, rounded
from seqlab.run.directory import RunDirectory
from seqlab.show.palette import colour_of

MOST_RECORDS = 20_000  # predictions on the page, over all runs
OF_RUN = (20, 200)  # of one run: at least, at most
MOST_POINTS = (60, 300)  # of one curve: with hundreds of runs, with few
FEW = 50  # runs
MOST_LETTERS = 400  # of a field
JOINED = ("prompt", "completion")  # one text on the page
Plain = dict[str, Any]


def runs_on_page(tables: Sequence[Table], place: Path) -> Plain:
    """{"shared": settings that most runs have, "runs": [...]} in the order of the tables' rows."""
    rows = [(row, run) for table in tables for row in table.rows for run in row.runs]
    shared = most_common([run["config"] or {} for _, run in rows])
    most = min(OF_RUN[1], max(OF_RUN[0], MOST_RECORDS // max(1, len(rows))))
    points = MOST_POINTS[len(rows) <= FEW]
    found = []
    for row, run in rows:
        config = run["config"] or {}
        found.append(
            {name: run.get(name) for name in ("data", "description", "model", "seed", "steps", "stopped")}
            | {"label": row.label, "colour": colour_of(row.label), "seconds": round(run["seconds"], 1)}
            | {"href": href(run["path"], place), "folder": str(run["path"]), "configured": run["config"] is not None}
            | {"config": {key: config.get(key) for key in {**shared, **config} if config.get(key) != shared.get(key)}}
            | {"parameters": run.get("num_parameters", 0), "notes": run.get("notes", [])}
            | {"meanings": run.get("meanings", {})}
            | {"metrics": {name: rounded(value) for name, value in run["metrics"].items() if value is not None}}
            | {"intervals": {name: limits for name, limits in run["intervals"].items() if limits}}
            | {"better": run.get("better", {}), "baselines": baselines_of(run)}
            | {"curves": {name: thinned(checks, points) for name, checks in run["checks"].items()}}
            | {"predictions": predictions_of(run["path"], most)}
        )
    return {"shared": shared, "runs": found}


def most_common(configs: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Each key with its most frequent value.

    >>> most_common([{"a": "1"}, {"a": "2", "b": "3"}, {"a": "2"}])
    {'a': '2', 'b': '3'}
    """
    counted: dict[str, Counter[str]] = {}
    for config in configs:
        for key, value in config.items():
            counted.setdefault(key, Counter())[value] += 1
    return {key: counts.most_common(1)[0][0] for key, counts in counted.items()}


def baselines_of(run: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The results of the baselines in the run's columns."""
    columns = set(run["columns"].values())
    return {
        name: {metric: rounded(value) for metric, value in results.items() if metric in columns and value is not None}
        for name, results in run["baselines"].items()
    }


def href(run: Path, place: Path) -> str:
    """The address of a run directory, or of the file that keeps a run, relative to the page."""
    target = quote(os.fsencode(Path(os.path.relpath(run.resolve(), place.resolve())).as_posix()))
    return target if run.is_file() else f"{target}/"


def predictions_of(path: Path, most: int) -> Plain:
    """The predictions of a run, evenly spaced over each set of them: {"total", "fields", "rows", "broken", "blank",
    "problem"}.

    `broken` has for each row the marks of its text, [rule in words, place], which count the characters of prompt and
    completion: these are whole where there are marks. `blank` is what stands between prompt and completion: a blank
    between lists, nothing between texts. A file that is damaged, or a link out of
    the run, gives no rows and the reason.
    """
    file = RunDirectory(path).predictions
    empty = {"total": 0, "fields": [], "rows": [], "broken": [], "blank": "", "problem": ""}
    if not path.is_dir() or not file.is_file():
        return empty
    if not file.resolve().is_relative_to(path.resolve()):
        return empty | {"problem": "predictions.jsonl is a link out of the run"}
    try:
        records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line]
        if not all(isinstance(record, dict) for record in records):
            raise ValueError("a line is no record")
        chosen = spread(records, most)
        fields = list(dict.fromkeys(name for record in chosen for name in record if name != "broken"))
        marks = [marks_of(record.get("broken")) for record in chosen]
        rows = [
            [plain(record.get(name), whole=bool(of) and name in JOINED) for name in fields]
            for record, of in zip(chosen, marks, strict=True)
        ]
        lists = all(isinstance(record.get(name), list) for record in chosen for name in JOINED)
    except (OSError, ValueError, RecursionError) as error:
        return empty | {"problem": f"predictions.jsonl cannot be read: {str(error)[:MOST_LETTERS]}"}
    return empty | {"total": len(records), "fields": fields, "rows": rows, "broken": marks, "blank": " " * lists}


def spread(records: Sequence[Plain], most: int) -> list[Plain]:
    """Some of the records, evenly spaced over each `set`; every set has a part of its size, and at least one."""
    sets: dict[str, list[Plain]] = {}
    for record in records:
        sets.setdefault(str(record.get("set")), []).append(record)
    parts = [thinned(members, max(1, most * len(members) // len(records))) for members in sets.values()]
    return [record for part in parts for record in part]


def plain(value: Any, *, whole: bool = False) -> str | float | bool | None:
    """A value that the page shows: lists and numbers become texts, which are cut to some letters if not `whole`.

    >>> plain([0.123456, 2]), plain("a"), plain(True), plain(float("nan"))
    ('0.1235 2', 'a', True, 'nan')
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**53:
        return value
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else str(value)
    if isinstance(value, list) and all(isinstance(item, int | float | str) for item in value):
        value = " ".join(str(plain(item)) for item in value)
    text = value if isinstance(value, str) else json.dumps(value)
    return text if whole or len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]} ..."


def marks_of(broken: Any) -> list[tuple[str, int]]:
    """The marks of a record; what has another form is left out."""
    if not isinstance(broken, list):
        return []
    marks = [(mark.get("rule"), mark.get("at")) for mark in broken if isinstance(mark, dict)]
    return [(rule, at) for rule, at in marks if isinstance(rule, str) and type(at) is int and at >= 0]
