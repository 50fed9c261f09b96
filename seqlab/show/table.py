"""The table that a run prints: every metric with its interval, count and baselines."""

from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from rich.text import Text

from seqlab.show.groups import full_name, groups_of
from seqlab.show.layout import Column, Sheet, show

FIRST = ("best", "95%", "chance", "oracle", "optimal")  # followed by the other baselines, then LAST
LAST = ("n", "last", "checks")


def print_table(summary: dict[str, Any], file: TextIO | None = None) -> None:
    """Print the test results of a run's summary to a file (default: stdout)."""
    show(result_table(summary), file=file)


def result_table(summary: dict[str, Any]) -> Sheet:
    """The results with one row per metric.

    Columns: the value at best.ckpt with its 95% interval and count, the value at last.ckpt, mean and range of the last
    five validations, and the baselines. Where columns must be left out, the baselines with most values are kept.
    """
    caption = (
        f"seed {summary['seed']}, {summary['steps']} steps in {summary['seconds']:.0f} s, stopped: "
        f"{summary['stopped']}. best and last: at best.ckpt (step {summary['best_step']}, with the 95% Wilson interval "
        "over n cases, or over as many as they are worth where they cluster) and last.ckpt; checks: mean [range] of "
        "the last five validations; then the baselines."
    )
    headings = ["best", "95%", "n", "last", "checks", *summary["baselines"]]
    blocks = []
    for group, metrics in groups_of(summary).items():
        proportions = [metric for metric in metrics if full_name("test", group, metric) in summary["intervals"]]
        if group.endswith("_finished") or (group and not proportions):
            continue  # summary.json has them
        blocks.append([_row(summary, group, metric) for metric in metrics])
    filled = [sum(value is not None for value in rows.values()) for rows in summary["baselines"].values()]
    others = [name for _, name in sorted(zip(filled, summary["baselines"], strict=True), key=lambda pair: -pair[0])]
    ranks = [*FIRST, *(name for name in others if name not in FIRST), *LAST]
    return Sheet(
        columns=[Column("metric", "name"), *(Column(heading, rank=ranks.index(heading)) for heading in headings)],
        blocks=blocks,
        title=f"{summary['model']} on {summary['description']}",
        notes=[caption, *summary["notes"], *_reasons(summary["missing"])],
        elsewhere="summary.json in the run directory",
    )


def _reasons(missing: Mapping[str, str]) -> list[str]:
    """The reasons for dashes in the table. Other missing items do not belong to it."""
    return [f"{name}: {why}" for name, why in missing.items() if name == "metrics" or name.startswith("baseline ")]


def _row(summary: dict[str, Any], group: str, metric: str) -> Sequence[str | Text]:
    name = full_name("test", group, metric)
    interval = summary["intervals"].get(name)
    check = summary["last_five_checks"].get(full_name("val", group, metric))
    spread = "{} [{}-{}]".format(*(_short(check[part]) for part in ("mean", "min", "max"))) if check else ""
    return [
        full_name("", group, metric),
        Text(number(summary["metrics"][name]), "bold"),
        f"{interval[0]:.2f}-{interval[1]:.2f}" if interval else "",
        str(summary["counts"].get(name, "")),
        number(summary["metrics"].get(full_name("test_last", group, metric))),
        spread,
        *(number(rows.get(name)) for rows in summary["baselines"].values()),
    ]


def _short(value: float) -> str:
    return f"{value:.2f}" if 0.01 <= abs(value) < 1e6 else number(value)


def number(value: float | None) -> str:
    """Format a number: three decimals; below 0.01 two significant digits, from a million four; a dash without a value.

    >>> number(0.25), number(0.000123), number(0.0), number(1.5e88), number(None)
    ('0.250', '0.00012', '0.000', '1.5e+88', '-')
    """
    if value is None:
        return "-"
    if abs(value) >= 1e6:
        return f"{value:.4g}"
    return f"{value:.2g}" if 0 < abs(value) < 0.01 else f"{value:.3f}"
