"""A suite: conf/suite/NAME.yaml, the cells that every model is put through."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Literal, get_args

import yaml
from annotated_types import Ge, Gt, MinLen
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from seqlab import plugins
from seqlab.errors import InputError, nearest
from seqlab.files import at_home
from seqlab.places import CONF
from seqlab.run.keys import LOADER
from seqlab.run.search_path import refuse_two

FOLDER = "suite"  # of a folder conf
Ability = Literal["state", "counting", "recall", "order", "nesting", "extrapolation", "length"]
ABILITIES: tuple[str, ...] = get_args(Ability)
Seed = Annotated[int, Ge(0)]
CHECKS = 5  # validations of a run


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Measure:
    """What a cell says of one ability.

    metric: of the test, under its full name.
    name: in tables, where a cell has several measures of an ability; empty: the name of the cell.
    """

    ability: Ability
    metric: str
    name: str = ""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Cell:
    """A task with its budget and its test bins.

    overrides: as for `seqlab train`: the data and their lengths.
    steps: of training; it never stops early.
    targets: how many targets the model sees in these steps, about, whatever the model (tokens, where each has one). The
        data say how many; a run whose data have other ones, by more than 5%, is refused.
    measures: what is read off the test.
    curve: the metrics CURVE/1, CURVE/2 ... are drawn over their numbers; empty: there are none.
    """

    overrides: Annotated[Sequence[str], MinLen(1)]
    steps: Annotated[int, Ge(2)]
    targets: Annotated[int, Ge(1)]
    measures: Annotated[Sequence[Measure], MinLen(1)]
    curve: str = ""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Suite:
    """The cells, and what holds for all of them.

    about: one line for the list of suites.
    version: to be raised with each change that changes a number; rows of different versions never stand together.
    parameters: the budget to which the width of each model is fitted.
    seeds: of the runs of each cell.
    overrides: of each run, before those of its cell.
    rates: learning rates to choose from by the lowest validation loss of a short run with the first seed; none: the
        configuration's own.
    rate_steps: steps of such a run.
    """

    about: str
    version: Annotated[int, Ge(1)]
    parameters: Annotated[int, Ge(1)]
    seeds: Annotated[Sequence[Seed], MinLen(1)]
    cells: Annotated[Mapping[str, Cell], MinLen(1)]
    overrides: Sequence[str] = ()
    rates: Sequence[Annotated[float, Gt(0)]] = ()
    rate_steps: Annotated[int, Ge(2)] = 200

    @property
    def counted_seeds(self) -> str:
        """How many seeds there are, in words: "1 seed", "3 seeds"."""
        return f"{len(self.seeds)} seed{'s' * (len(self.seeds) > 1)}"

    @property
    def measures(self) -> list[tuple[str, Measure]]:
        """Every measure with its cell, in order of the abilities."""
        found = [(cell, measure) for cell, part in self.cells.items() for measure in part.measures]
        return sorted(found, key=lambda one: ABILITIES.index(one[1].ability))

    def run_overrides(self, cell: str, seed: int, rate: float | None = None) -> list[str]:
        """The overrides of a run, without those of the model."""
        return [*self._common(cell, rate), *_steps(self.cells[cell].steps), f"seed={seed}"]

    def trial_overrides(self, cell: str, rate: float) -> list[str]:
        """The overrides of the short run that tries a learning rate."""
        return [*self._common(cell, rate), *_steps(self.rate_steps), f"seed={self.seeds[0]}"]

    def _common(self, cell: str, rate: float | None) -> list[str]:
        chosen = [] if rate is None else [f"optimizer.lr={rate:g}"]
        return [*self.overrides, *self.cells[cell].overrides, *chosen]


def are_about(found: int, stated: int) -> bool:
    """Whether a number of targets is the one that a cell states, within 5%, as seeds differ."""
    return abs(found - stated) <= 0.05 * stated


def _steps(number: int) -> list[str]:
    """Training of so many steps with about five validations."""
    every = max(1, number // CHECKS)
    return [f"trainer.max_steps={number}", f"trainer.min_steps={number}", f"trainer.val_every={every}"]


def suites(config_dir: str | None = None) -> dict[str, Path]:
    """The files of all suites by name: this project's, the plug-ins' and those of a further folder."""
    return {file.stem: file for folder in _folders(config_dir) for file in sorted(folder.glob("*.yaml"))}


def _folders(config_dir: str | None) -> list[Path]:
    more = [] if config_dir is None else [at_home(config_dir)]
    return [folder / FOLDER for folder in (CONF, *plugins.folders(), *more)]


def suite_named(name: str, config_dir: str | None = None) -> Suite:
    """Read a suite.

    Raises:
        InputError: there is none of this name, or more than one, or its file is none; the error names the key.
    """
    known = suites(config_dir)
    if name not in known:
        raise InputError(f"--suite {name}: no such suite; {nearest(name, known)}")
    refuse_two(f"--suite {name}", [folder / f"{name}.yaml" for folder in _folders(config_dir)])
    file = known[name]
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), LOADER)
        return TypeAdapter(Suite).validate_python(content)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error
    except ValidationError as error:
        # a misspelt key is missing under its right name too: report the misspelling
        problem = min(error.errors(), key=lambda problem: problem["type"].startswith("missing"))
        key = ".".join(map(str, problem["loc"])) or "the file"
        if problem["type"] == "unexpected_keyword_argument":
            allowed = nearest(
                str(problem["loc"][-1]), [field.name for kind in (Suite, Cell, Measure) for field in fields(kind)]
            )
            raise InputError(f"{file}: {key}: no such key; {allowed}") from error
        raise InputError(f"{file}: {key}: {problem['msg'][0].lower()}{problem['msg'][1:]}") from error
