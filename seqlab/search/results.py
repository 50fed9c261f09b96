"""Tables and plots of a study."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.trial import FrozenTrial

from seqlab.files import write_text
from seqlab.search.confirm import Comparison, best_of, mean_and_deviation, verdict
from seqlab.search.plan import Plan, Range, Scalar
from seqlab.show.layout import Column, Sheet, show
from seqlab.show.markdown import markdown
from seqlab.show.style import QUIET, house_style, log_axis, save_figure
from seqlab.show.table import number

CAUTION = "The best of many trials on one seed looks better than it is"


def write_results(
    name: str, trials: Sequence[FrozenTrial], plan: Plan, comparison: Comparison | None, folder: Path
) -> None:
    """Print the tables of the study of this name, and write study.md and plots/ into its folder."""
    best = best_of(trials)
    end = [] if best is None else conclusion(best, plan, comparison)
    tables = [trials_table(trials, plan)]
    if best is not None and comparison is not None and comparison.rows:
        tables.append(comparison_table(comparison, plan))
    show(*tables)
    print("", *end, sep="\n")
    first, *second = (markdown(table).rstrip() for table in tables)
    parts = [f"# {name}", about(trials, plan), first, *end[:1], *second, *end[1:]]
    if best is not None:
        (folder / "plots").mkdir(exist_ok=True)
        with house_style():
            for title, figure in figures(trials, plan).items():
                save_figure(figure, folder / "plots" / f"{title}.png")
                parts.append(f"![{title}](plots/{title}.svg)")
    write_text(folder / "study.md", "\n\n".join(parts) + "\n")
    print(f"study: {folder}")


def about(trials: Sequence[FrozenTrial], plan: Plan) -> str:
    """Describe what the study tried."""
    failed = sum(trial.value is None for trial in trials)
    space = "; ".join(f"{key} in {_allowed(values)}" for key, values in plan.space.items())
    return (
        f"{len(trials)} trials ({failed} failed) of `seqlab train {shlex.join(plan.words)}`: {space}. "
        f"The value of a trial is its lowest {plan.metric}; no test data is used. Trial 0 is the default."
    )


def _allowed(values: Range | Sequence[Scalar]) -> str:
    if isinstance(values, Range):
        return f"{values.low:g} .. {values.high:g}{' (log)' if values.log else ''}"
    return ", ".join(map(str, values))


def trials_table(trials: Sequence[FrozenTrial], plan: Plan) -> Sheet:
    """The table of trials, sorted by value, failed ones last."""
    rows = []
    for trial in sorted(trials, key=lambda trial: (trial.value is None, trial.value or 0.0, trial.number)):
        note = f"failed: {trial.user_attrs['reason']}" if trial.value is None else ""
        if trial.number == 0:
            note = "; ".join(filter(None, ["default", note]))
        values = [_short(trial.params[key]) for key in plan.space]
        rows.append([str(trial.number), *values, number(trial.value), note])
    columns = [Column("trial", "name"), *map(Column, (*plan.space, plan.metric)), Column("", "text")]
    return Sheet(columns, [rows], title="trials")


def _short(value: Scalar) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def comparison_table(comparison: Comparison, plan: Plan) -> Sheet:
    """The table that compares the default and the best over the new seeds."""
    seeds = len(comparison.rows[plan.metric][0])
    rows = [[metric, *map(mean_and_deviation, sides)] for metric, sides in comparison.rows.items()]
    columns = [Column("metric", "name"), Column("default"), Column("best")]
    return Sheet(columns, [rows], title=f"mean ± sd over {seeds} new seeds")


def conclusion(best: FrozenTrial, plan: Plan, comparison: Comparison | None) -> list[str]:
    """The conclusions of the study, one string per paragraph."""
    if best.number == 0:
        return ["No trial is better than the default."]
    if comparison is None:
        said = [f"{CAUTION}: this was not confirmed on other seeds (confirm_seeds)."]
    elif not comparison.rows:
        said = [f"{CAUTION}, and no new seed could be compared."]
    else:
        said = [f"{CAUTION}, so both were trained again. {verdict(plan, comparison.rows)}"]
    said += [f"failed: {fault}" for fault in (comparison.faults if comparison else [])]
    return [*said, f"Best, trial {best.number}: `seqlab train {shlex.join(plan.job(best.params))}`"]


def figures(trials: Sequence[FrozenTrial], plan: Plan) -> dict[str, Figure]:
    """Plot the values by trial with the best so far (history), and against each key of the space (slices)."""
    done = [(trial, trial.value) for trial in trials if trial.value is not None]
    history = Figure(figsize=(5.5, 3.6), layout="constrained")
    axis = history.subplots()
    numbers, values = [trial.number for trial, _ in done], [value for _, value in done]
    axis.plot(numbers, values, "o", label="trial")
    axis.step(numbers, [min(values[: place + 1]) for place in range(len(values))], where="post", label="best so far")
    axis.set(xlabel="trial", ylabel=f"lowest {plan.metric}")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    slices = Figure(figsize=(4.2 * len(plan.space), 3.6), layout="constrained")
    for place, (panel, (key, allowed)) in enumerate(
        zip(slices.subplots(1, len(plan.space), squeeze=False)[0], plan.space.items(), strict=True)
    ):
        plain = isinstance(allowed, Range)
        where = [trial.params[key] if plain else str(trial.params[key]) for trial, _ in done]
        panel.plot(where, values, "o")
        if numbers[0] == 0:
            panel.plot(where[:1], values[:1], "s", label="default")
            panel.legend()
        panel.set(xlabel=key, ylabel="" if place else f"lowest {plan.metric}")
        if plain and allowed.log:
            log_axis(panel, "x")
    if numbers[0] == 0:
        axis.axhline(values[0], color=QUIET, linestyle=":", label="default")
    axis.legend()
    return {"history": history, "slices": slices}
