"""Pool runs over folds into one table: seqlab folds outputs/semiprimes --out table.md

Each subfolder of the given folder is one row; its runs differ only in data.fold. The folds' test sets are disjoint, so
hits are summed over folds and the interval is for all test numbers together.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from seqlab.starting import Parser, started, starting

if __name__ == "__main__":
    starting()

from seqlab.cli import tell
from seqlab.errors import InputError
from seqlab.files import at_home, write_text
from seqlab.output import take_any_text
from seqlab.proportion import Proportion
from seqlab.report.collect import collect
from seqlab.show.layout import Column, Sheet
from seqlab.show.markdown import markdown, show_or_write

METRICS = ("beta_0", "beta_1", "beta_2", "beta_3", "s3/beta_0", "s3/beta_1")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, print and optionally save the table. Returns the exit code."""
    take_any_text()
    parser = Parser(prog="seqlab folds", description=__doc__)
    parser.add_argument("folder", type=at_home, help="a folder of folders of runs")
    parser.add_argument("--out", type=at_home, help="a file to write the table to")
    options = parser.parse_args(arguments)
    started()
    try:
        tabulate(options.folder, options.out)
    except (Exception, KeyboardInterrupt) as error:
        return tell(error)
    return 0


def tabulate(root: Path, out: Path | None) -> None:
    """Print the table of the finished runs below a folder and save it to `out`. Lists the other runs on stderr.

    Raises:
        InputError: no run on data=semiprimes is finished.
        OSError: `out` cannot be written; the error names the file.
    """
    rows: dict[str, list[dict[str, Any]]] = {}
    for folder in sorted(root.glob("*/")):
        runs, apart = collect([folder])
        if factoring := [run for run in runs if "val/beta_0" in run["last_five_checks"]]:
            rows[folder.name] = factoring
        for run in apart:
            print(f"not in the table: {run.path}: {run.status} {run.reason}".rstrip(), file=sys.stderr)
    if not rows:
        raise InputError(f"no finished run on data=semiprimes in a folder below {root}")
    tables = sheets(rows)
    show_or_write(*tables)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, "\n".join(map(markdown, tables)))


def sheets(rows: dict[str, list[dict[str, Any]]]) -> list[Sheet]:
    """Two tables: beta_k and distinct outputs, and exact answers by smaller factor.

    Each folder has a block of rows: the model at best.ckpt (selected on validation), the model at last.ckpt, and the
    baselines.
    """
    headings = ("runs", "who", "folds", "validation beta_0", *METRICS, "distinct outputs")
    factors = by_factor_names(rows)
    ranges = (name.replace("_up", " and up").replace("_", " to ") for name in factors)
    factor_headings = ("exact answers by smaller factor", "who", *ranges)
    blocks, by_factor = [], []
    for name, runs in rows.items():
        block, factor_block = [], []
        checks = [run["last_five_checks"]["val/beta_0"]["mean"] for run in runs]
        for who, stage, results in _blocks(runs):
            ours = str(who) not in runs[0]["baselines"]
            cells = [pooled(results, runs, stage, metric, spread=ours) for metric in METRICS]
            validation = f"{sum(checks) / len(checks):.3f}" if ours else ""
            block.append([name, who, str(len(runs)), validation, *cells, distinct_outputs(results, stage)])
            cells = [pooled(results, runs, stage, f"by_factor/{factor}", spread=False) for factor in factors]
            factor_block.append([name, who, *cells])
        blocks.append(block)
        by_factor.append(factor_block)
    return [Sheet(_columns(headings), blocks), Sheet(_columns(factor_headings), by_factor)]


def _columns(headings: Sequence[str]) -> list[Column]:
    return [*(Column(heading, "name") for heading in headings[:2]), *map(Column, headings[2:])]


def _blocks(runs: list[dict[str, Any]]) -> list[tuple[str | Text, str, list[dict[str, Any]]]]:
    """(name, stage, results of each run) for the model twice, then for each baseline."""
    results = [run["metrics"] for run in runs]
    model = [(Text(runs[0]["model"], "bold"), "test", results), ("at last.ckpt", "test_last", results)]
    return [
        *model,
        *((name, "test", [run["baselines"].get(name, {}) for run in runs]) for name in runs[0]["baselines"]),
    ]


def by_factor_names(rows: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The by_factor names of all runs ("2", "17_31", "1031_up"), ascending."""
    prefix = "test/by_factor/"
    metrics = {name for runs in rows.values() for run in runs for name in run["metrics"] if name.startswith(prefix)}
    return sorted((name.removeprefix(prefix) for name in metrics), key=lambda name: int(name.partition("_")[0]))


def distinct_outputs(results: list[dict[str, Any]], stage: str) -> str:
    """The range over folds of the number of distinct outputs, as text: "2" or "2 to 5"; "" if there are none."""
    values = [int(value) for result in results if (value := result.get(f"{stage}/distinct_outputs")) is not None]
    return " to ".join(str(value) for value in sorted({min(values), max(values)})) if values else ""


def pooled(results: list[dict[str, Any]], runs: list[dict[str, Any]], stage: str, metric: str, *, spread: bool) -> str:
    """The proportion over the test numbers of all folds as text, with its 95% Wilson interval if `spread`.

    Folds without numbers in the slice or factor range are skipped.
    """
    name = f"{stage}/{metric}"
    found = [(result.get(name), run["counts"].get(name)) for result, run in zip(results, runs, strict=True)]
    folds = [(value, count) for value, count in found if value is not None and count is not None]
    if not folds:
        return ""
    total = Proportion(sum(round(value * count) for value, count in folds), sum(count for _, count in folds))
    if not total.interval or not spread:
        return f"{total.value:.3f}"
    return f"{total.value:.3f} ({total.interval[0]:.3f} to {total.interval[1]:.3f}, n = {total.trials})"


if __name__ == "__main__":
    sys.exit(main())
