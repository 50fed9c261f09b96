"""Collect runs into a Markdown table: python -m seqlab.report outputs/L5 --out docs/results/formal_languages"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from seqlab.report.collect import markdown_table, summaries


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table of the finished runs below some folders, and keep it with their plots; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m seqlab.report", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="run directories, or folders of them at any depth")
    parser.add_argument("--out", type=Path, help="a folder that gets table.md and every run's plots")
    options = parser.parse_args(arguments)
    found = summaries(options.folders)
    runs = [run for run in found if run["metrics"]]
    if not runs:
        print(f"error: no finished run below {', '.join(map(str, options.folders))}", file=sys.stderr)
        return 2
    table = markdown_table(runs)
    print(table, end="")
    for run in found:
        if not run["metrics"]:
            print(f"left out: {run['path']} ({run['stopped']})", file=sys.stderr)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "table.md").write_text(table)
        for run in runs:
            for plot in sorted((run["path"] / "plots").glob("*.png")):
                shutil.copyfile(plot, options.out / f"{run['data']}_{run['model']}_seed{run['seed']}_{plot.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
