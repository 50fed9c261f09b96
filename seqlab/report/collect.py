"""Runs at any depth below some folders -> one table, a row for each dataset and model, mean and spread over seeds."""

import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

COLUMNS = (  # heading, metric; a metric that a run does not have is left empty
    ("loss", "test/loss"),
    ("accuracy", "test/accuracy"),
    ("ID grammatical", "test/id/grammatical"),
    ("OOD rule 1", "test/ood/rule_1"),
    ("OOD rule 2 completion", "test/ood/rule_2_completion"),
    ("OOD both", "test/ood/rule_1_and_rule_2_completion"),
    ("empty prompt grammatical", "test/sos/grammatical"),
)


def summaries(folders: Iterable[Path]) -> list[dict[str, Any]]:
    """Every summary.json below the folders, in the order of their paths, each with its folder under "path"."""
    paths = sorted({path for folder in folders for path in folder.rglob("summary.json")})
    return [json.loads(path.read_text()) | {"path": path.parent} for path in paths]


def markdown_table(runs: Sequence[dict[str, Any]]) -> str:
    """Rows data x model; below each dataset the baselines of its first run, through the same metrics."""
    headings = ["data", "model", "seeds", "steps", "time", *(heading for heading, _ in COLUMNS)]
    lines = [_line(headings), _line("-" * len(headings))]
    for data in dict.fromkeys(run["data"] for run in runs):
        of_data = [run for run in runs if run["data"] == data]
        for model in dict.fromkeys(run["model"] for run in of_data):
            group = [run for run in of_data if run["model"] == model]
            steps = "/".join(str(run["steps"]) for run in group)
            minutes = statistics.mean(run["seconds"] for run in group) / 60
            values = [_mean([run["metrics"].get(name) for run in group]) for _, name in COLUMNS]
            seeds = " ".join(str(run["seed"]) for run in group)
            lines.append(_line([data, f"**{model}**", seeds, steps, f"{minutes:.1f} min", *values]))
        for name, rows in of_data[0]["baselines"].items():
            lines.append(_line([data, name, "", "", "", *(_mean([rows.get(metric)]) for _, metric in COLUMNS)]))
    return "\n".join(lines) + "\n"


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    spread = f" ± {statistics.stdev(known):.3f}" if len(known) > 1 else ""
    return f"{statistics.mean(known):.3f}{spread}"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
