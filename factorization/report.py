"""Runs over folds as one table: python -m factorization.report outputs/semiprimes --out table.md

Each folder below the given one is one row: its runs differ in data.fold alone. The folds' test sets share no number, so
their hits are added up, and the interval is that of all test numbers together.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqlab.share import Share

METRICS = ("beta_0", "beta_1", "beta_2", "beta_3", "s3/beta_0", "s3/beta_1")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, and keep it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m factorization.report", description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder of folders of runs")
    parser.add_argument("--out", type=Path, help="a file that gets the table")
    options = parser.parse_args(arguments)
    rows = {folder.name: finished_runs(folder) for folder in sorted(options.folder.glob("*/"))}
    rows = {name: runs for name, runs in rows.items() if runs}
    if not rows:
        print(f"error: no finished run below {options.folder}", file=sys.stderr)
        return 2
    table = markdown(rows)
    print(table, end="")
    if options.out:
        options.out.write_text(table)
    return 0


def finished_runs(folder: Path) -> list[dict[str, Any]]:
    """The summaries of all runs below a folder that came to their end."""
    summaries = (json.loads(path.read_text()) for path in sorted(folder.rglob("summary.json")))
    return [summary for summary in summaries if summary["metrics"]]


def markdown(rows: dict[str, list[dict[str, Any]]]) -> str:
    """A block for each folder: the model at best.ckpt (stopping chosen on validation), at last.ckpt, the baselines."""
    lines = [f"| runs | who | folds | validation beta_0 | {' | '.join(METRICS)} |", "|" + "---|" * (4 + len(METRICS))]
    for name, runs in rows.items():
        checks = [run["last_five_checks"]["val/beta_0"]["mean"] for run in runs]
        validation = f"{sum(checks) / len(checks):.3f}"
        for stage, who in (("test", f"**{runs[0]['model']}**"), ("test_last", "at last.ckpt")):
            cells = [pooled([run["metrics"] for run in runs], runs, stage, metric, spread=True) for metric in METRICS]
            lines.append(f"| {name} | {who} | {len(runs)} | {validation} | {' | '.join(cells)} |")
        for baseline in runs[0]["baselines"]:
            results = [run["baselines"][baseline] for run in runs]
            cells = [pooled(results, runs, "test", metric, spread=False) for metric in METRICS]
            lines.append(f"| {name} | {baseline} | {len(runs)} | | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def pooled(results: list[dict[str, Any]], runs: list[dict[str, Any]], stage: str, metric: str, *, spread: bool) -> str:
    """The share of all folds' test numbers together, with its 95% Wilson interval for a model."""
    name = f"{stage}/{metric}"
    values, counts = [result.get(name) for result in results], [run["counts"].get(name) for run in runs]
    if None in values or None in counts:
        return ""
    hits = sum(round(value * count) for value, count in zip(values, counts, strict=True))
    share = Share(hits, sum(counts))
    if not share.interval or not spread:
        return f"{share.value:.3f}"
    return f"{share.value:.3f} ({share.interval[0]:.3f} to {share.interval[1]:.3f}, n = {share.trials})"


if __name__ == "__main__":
    sys.exit(main())
