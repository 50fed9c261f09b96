"""Runs what is missing of a profile and shows it: tables or JSON, a figure, a page."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from seqlab.errors import InputError
from seqlab.profile.models import Model
from seqlab.profile.rows import REFERENCE, Row, read_rows, refuse_others
from seqlab.profile.runs import Profile
from seqlab.profile.standing import Standing, standings
from seqlab.profile.suite import Suite, suite_named, suites
from seqlab.profile.table import abilities_table, measures_table
from seqlab.show.layout import show
from seqlab.show.style import house_style, save_figure


def show_profile(
    name: str,
    suite: Suite,
    models: Sequence[Model],
    folder: Path,
    compared: Sequence[Path],
    as_json: bool,
    config_dir: str | None = None,
    launcher: Sequence[str] = (),
) -> int:
    """Run the suite for some models and show them beside what is known. Returns the exit code.

    Args:
        name, suite: what they go through.
        models: none: only what is known is shown.
        folder: gets rows.csv, the runs, profile.png, profile.svg and profile.html.
        compared: files with rows of others.
        as_json: print the rows as JSON, and no table.
        config_dir: an additional folder of configurations.
        launcher: overrides of Hydra's launcher that starts the runs; none: they share the cores of this machine.

    Raises:
        InputError: a file of rows is not one, or does not fit; or a model cannot be built for any cell.
    """
    others = {file: read_rows(file) for file in compared}
    for file, rows in others.items():
        refuse_others(rows, name, suite, file)
    known = reference_rows(name, suite)
    profile = Profile(name, suite, models, folder, config_dir, sys.stderr if as_json else None, launcher)
    profile.carry_out()
    refuse_nothing(models, profile.rows)
    own = {row.label for row in profile.rows}
    groups = [
        standings(profile.rows, "here", suite),
        standings([row for row in known if row.label not in own], "reference", suite),
        *(standings(rows, origin, suite) for origin, rows in zip(origins([*others]), others.values(), strict=True)),
    ]
    if not any(groups):
        raise InputError(f"no rows of suite {name} yet: give a model, as in seqlab profile model=lstm --suite {name}")
    if as_json:
        rows = [row for group in groups for standing in group for row in standing.rows]
        print(json.dumps([shortened(row) for row in rows], indent=1))
    else:
        labels = {model.label for model in models}
        own_tables = [measures_table(one, name, suite) for one in groups[0] if one.label in labels]
        show(*own_tables, abilities_table([group for group in groups if group], suite))
    for file in written(groups, name, suite, folder):
        print(file, file=sys.stderr if as_json else sys.stdout)
    return 0


def origins(files: Sequence[Path]) -> list[str]:
    """The names of files, with their folders where two have one name.

    >>> origins([Path("a/rows.csv"), Path("b/rows.csv"), Path("b/mine.csv")])
    ['a/rows.csv', 'b/rows.csv', 'mine.csv']
    """
    names = [file.name for file in files]
    return [file.name if names.count(file.name) == 1 else file.as_posix() for file in files]


def reference_rows(name: str, suite: Suite) -> list[Row]:
    """The rows of this package for a suite of this version."""
    return [row for row in read_rows(REFERENCE) if (row.suite, row.suite_version) == (name, suite.version)]


def refuse_nothing(models: Sequence[Model], rows: Sequence[Row]) -> None:
    """Raise InputError for a model that has no value on any cell."""
    for model in models:
        own = [row for row in rows if row.label == model.label]
        if all(row.value is None for row in own):
            reason = next((row.reason for row in own), "no cell")
            raise InputError(f"{model.label}: no cell of the suite could run: {reason}")


def shortened(row: Row) -> dict[str, Any]:
    """A row without its empty values."""
    return {key: value for key, value in asdict(row).items() if value not in (None, "")}


def written(groups: Sequence[Sequence[Standing]], name: str, suite: Suite, folder: Path) -> list[Path]:
    """Write the figure and the page into a folder. Returns the files."""
    from seqlab.profile.figure import heat_map
    from seqlab.profile.page import page

    files = [folder / f"profile.{suffix}" for suffix in ("png", "svg", "html")]
    shown = [standing for group in groups for standing in group]
    with house_style():
        save_figure(heat_map(shown, name, suite), files[0])
    files[2].write_text(page(groups, name, suite, folder), encoding="utf-8")
    return files


def list_suites(config_dir: str | None = None) -> None:
    """Print every suite with its cells and budgets, and the models with rows in this package."""
    rows = read_rows(REFERENCE)
    for name in suites(config_dir):
        suite = suite_named(name, config_dir)
        print(f"{name} {suite.version}: {suite.about}; {suite.parameters:,} parameters, {suite.counted_seeds}")
        for cell, part in suite.cells.items():
            said = ", ".join(dict.fromkeys(measure.ability for measure in part.measures))
            print(f"  {cell:<20}{part.steps:>6} steps {part.targets:>10,} targets  {said}")
        known = dict.fromkeys(row.label for row in rows if (row.suite, row.suite_version) == (name, suite.version))
        print(f"  rows in this package: {', '.join(known) or 'none'}")
