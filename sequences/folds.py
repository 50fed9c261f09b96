"""Pool runs that hold out different rules: python -m sequences.folds FOLDER

The runs differ in data.fold alone. Families with fewer than 200 rules have a handful of test rules in one fold; over
ten folds every rule is tested once. Hits are summed over folds, and intervals know how many independent trials a fold
is worth.
"""

import sys
from collections.abc import Sequence
from typing import Any

from rich.text import Text

from seqlab.starting import Parser, started, starting

if __name__ == "__main__":
    starting()

from seqlab.cli import tell
from seqlab.errors import InputError
from seqlab.files import at_home
from seqlab.output import take_any_text
from seqlab.proportion import Proportion
from seqlab.report.collect import collect
from seqlab.report.settings import differing_keys
from seqlab.show.layout import Column, Sheet
from seqlab.show.markdown import show_or_write
from sequences.families import FAMILIES
from sequences.family import MIN_HELD_OUT_RULES

FEW_RULES = 200
POOLED = tuple(family.name for family in FAMILIES if MIN_HELD_OUT_RULES <= len(family.rules) < FEW_RULES)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and print the table. Returns the exit code."""
    take_any_text()
    parser = Parser(prog="python -m sequences.folds", description=__doc__)
    parser.add_argument("folder", type=at_home, help="a folder of runs on data=recurrence, one for each fold")
    options = parser.parse_args(arguments)
    started()
    try:
        runs, apart = collect([options.folder])
        for run in apart:
            print(f"not in the table: {run.path}: {run.status} {run.reason}".rstrip(), file=sys.stderr)
        show_or_write(sheet([run for run in runs if f"test/accuracy_by_family/{POOLED[0]}" in run["metrics"]]))
    except (Exception, KeyboardInterrupt) as error:
        return tell(error)
    return 0


def sheet(runs: list[dict[str, Any]]) -> Sheet:
    """A table: the model and each baseline on each family of POOLED, over all folds.

    Raises:
        InputError: there is no run, two have the same fold, or they differ in more than the fold.
    """
    if not runs:
        raise InputError("no finished run on data=recurrence in this folder; needed: one for each fold")
    refuse_others(runs)
    rows = []
    for who in (None, *runs[0]["baselines"]):
        results = [run["metrics"] if who is None else run["baselines"].get(who, {}) for run in runs]
        cells = (pooled(results, runs, family, spread=who is None) for family in POOLED)
        rows.append([who or Text(runs[0]["model"], "bold"), str(len(runs)), *cells])
    return Sheet([Column("who", "name"), Column("folds"), *map(Column, POOLED)], [rows])


def refuse_others(runs: list[dict[str, Any]]) -> None:
    """Raise InputError unless the configurations of runs differ in data.fold alone, and in it all."""
    if absent := [run for run in runs if run["config"] is None]:
        raise InputError(f"{absent[0]['path']}: no config.yaml, so its fold is unknown")
    others = [key for key in differing_keys(run["config"] for run in runs) if key != "data.fold"]
    models = sorted({run["model"] for run in runs})
    if others or len(models) > 1:
        found = ", ".join(others) or f"model: {', '.join(models)}"
        raise InputError(f"these runs differ in {found}; allowed: in data.fold alone")
    seen = {}
    for run in runs:
        fold = run["config"].get("data.fold", "0")
        if fold in seen:
            raise InputError(f"data.fold={fold} twice: {seen[fold]} and {run['path']}; needed: one run for each fold")
        seen[fold] = run["path"]


def pooled(results: list[dict[str, Any]], runs: list[dict[str, Any]], family: str, *, spread: bool) -> str:
    """The accuracy over the test sequences of all folds as text, with its 95% interval if `spread`."""
    name = f"test/accuracy_by_family/{family}"
    folds = [
        Proportion(result[name] * run["counts"][name], run["counts"][name], run["effective"].get(name))
        for result, run in zip(results, runs, strict=True)
        if result.get(name) is not None and name in run["counts"]
    ]
    if not folds:
        return ""
    worth = sum(fold.trials if fold.effective is None else fold.effective for fold in folds)
    total = Proportion(sum(fold.hits for fold in folds), sum(fold.trials for fold in folds), worth)
    if not total.interval or not spread:
        return f"{total.value:.3f}"
    return f"{total.value:.3f} ({total.interval[0]:.3f} to {total.interval[1]:.3f})"


if __name__ == "__main__":
    sys.exit(main())
