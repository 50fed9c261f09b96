"""The table that a run prints: every number beside its interval, its count and its baselines."""

from typing import IO, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from seqlab.report.groups import full_name, groups_of

PLAIN_WIDTH = 150  # where there is no terminal: a log file, a pipe
WIDEST = 400  # there a table with many baselines may be wider, so that no number is cut off


def print_table(summary: dict[str, Any]) -> None:
    """Print the test results of a run's summary to the terminal."""
    print_wide(result_table(summary))


def print_wide(table: Table, file: IO[str] | None = None) -> None:
    """Print a table to a file (default: stdout); where that is no terminal, as wide as its numbers need."""
    console = Console(file=file)
    if not console.is_terminal:
        roomy = Console(width=WIDEST)
        console = Console(file=file, width=max(PLAIN_WIDTH, roomy.measure(table).maximum))
    console.print(table)


def result_table(summary: dict[str, Any]) -> Table:
    """One row a metric: at best.ckpt with its 95% interval and count, at last.ckpt, mean and range of the last five
    validations, and the baselines."""
    caption = (
        f"seed {summary['seed']}, {summary['steps']} steps in {summary['seconds']:.0f} s, stopped: "
        f"{summary['stopped']}. best and last: at best.ckpt (step {summary['best_step']}, with the 95% Wilson interval "
        "over n cases) and last.ckpt; checks: mean [range] of the last five validations; then the baselines."
    )
    table = Table(
        title=escape(f"{summary['model']} on {summary['description']}"),
        caption=escape(caption),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("metric", no_wrap=True, min_width=24)
    for heading in ("best", "95%", "n", "last", "checks", *summary["baselines"]):
        table.add_column(heading, justify="right", style="bold" if heading == "best" else "", no_wrap=True)
    for group, metrics in groups_of(summary).items():
        shares = [metric for metric in metrics if full_name("test", group, metric) in summary["intervals"]]
        if group.endswith("_finished") or (group and not shares):
            continue  # they are in summary.json, with their counts
        for metric in metrics:
            table.add_row(*_row(summary, group, metric))
        table.add_section()
    return table


def _row(summary: dict[str, Any], group: str, metric: str) -> list[str]:
    name = full_name("test", group, metric)
    interval = summary["intervals"].get(name)
    check = summary["last_five_checks"].get(full_name("val", group, metric))
    spread = "{} [{}-{}]".format(*(_short(check[part]) for part in ("mean", "min", "max"))) if check else ""
    return [
        full_name("", group, metric),
        number(summary["metrics"][name]),
        f"{interval[0]:.2f}-{interval[1]:.2f}" if interval else "",
        str(summary["counts"].get(name, "")),
        number(summary["metrics"][full_name("test_last", group, metric)]),
        escape(spread),
        *(number(rows.get(name)) for rows in summary["baselines"].values()),
    ]


def _short(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 0.01 else number(value)


def number(value: float | None) -> str:
    """Three decimals, below 0.01 two digits, or a dash where there is no value.

    >>> number(0.25), number(0.000123), number(0.0), number(None)
    ('0.250', '0.00012', '0.000', '-')
    """
    if value is None:
        return "-"
    return f"{value:.2g}" if 0 < abs(value) < 0.01 else f"{value:.3f}"
