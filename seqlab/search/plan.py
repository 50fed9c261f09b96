"""The plan of a search: conf/search/NAME.yaml, checked against the configuration."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import yaml
from annotated_types import Ge, Interval, MinLen
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from seqlab.errors import InputError, nearest
from seqlab.run.config import composed
from seqlab.run.overrides import SEARCH_PATH, readable_overrides
from seqlab.run.values import key_of, quoted, unquoted

Scalar = bool | int | float | str | None
Seed = Annotated[int, Interval(ge=0, lt=2**32)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Range:
    """Numbers from low to high, inclusive; integers if both bounds are. log: sample uniformly in the logarithm."""

    low: int | float
    high: int | float
    log: bool = False

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Plan:
    """The plan of a search.

    words: overrides for every run, as for `seqlab train`.
    metric: the objective, a metric of metrics.csv; the value of a run is its lowest one.
    num_trials: number of runs in the study; the first has the default values of the configuration.
    seed: seed of the sampler.
    confirm_seeds: seeds on which the best and the default are compared afterwards.
    space: configuration key (or group) -> its possible values.
    """

    space: Annotated[Mapping[str, Range | Annotated[list[Scalar], MinLen(2)]], MinLen(1)]
    words: Sequence[str] = ()
    metric: str = "val/loss"
    num_trials: Annotated[int, Ge(1)] = 16
    seed: Seed = 1
    confirm_seeds: Sequence[Seed] = ()

    def deciding(self) -> dict[str, Any]:
        """The part of the plan that identifies a study: all but num_trials and confirm_seeds."""
        return {key: value for key, value in asdict(self).items() if key not in ("num_trials", "confirm_seeds")}

    def digest(self) -> str:
        """Hash of `deciding`, eight hexadecimal digits."""
        return hashlib.sha256(json.dumps(self.deciding(), sort_keys=True).encode()).hexdigest()[:8]

    def job(self, values: Mapping[str, Scalar]) -> list[str]:
        """The overrides of a run with given values of the space, or of other keys."""
        kept = [text for text in self.words if key_of(text) not in values]
        return [*kept, *(f"{key}={written(value)}" for key, value in values.items())]


def written(value: Scalar) -> str:
    """Format a value for the command line.

    >>> written(None), written(True), written(0.003), written("a b")
    ('null', 'true', '0.003', "'a b'")
    """
    if isinstance(value, str) and not value.replace("_", "").replace("-", "").isalnum():
        return quoted(value)
    return value if isinstance(value, str) else json.dumps(value)


def read_plan(file: Path, overrides: Sequence[str]) -> Plan:
    """Read a plan from a file. Overrides search.KEY=VALUE replace its keys; others are added to those of every run.

    Raises:
        InputError: the file cannot be read, or its content is invalid.
    """
    own = [text for text in overrides if text.startswith("search.")]
    try:
        node = OmegaConf.merge(OmegaConf.load(file), OmegaConf.from_dotlist([text[len("search.") :] for text in own]))
        content = OmegaConf.to_container(node, resolve=True)
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from error
    except (OmegaConfBaseException, yaml.YAMLError, ValueError, TypeError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error
    try:
        plan = TypeAdapter(Plan).validate_python(content)
    except ValidationError as error:
        # a misspelt key also gives an error for the missing key: report the misspelling
        problem = min(error.errors(), key=lambda problem: problem["type"].startswith("missing"))
        name = ".".join(str(part) for part in problem["loc"] if isinstance(part, str) and "[" not in part)
        if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            raise InputError(f"{file}: {name}: no such key; {nearest(name, Plan.__annotations__)}") from error
        raise InputError(f"{file}: {name or 'the file'}: {problem['msg'][0].lower()}{problem['msg'][1:]}") from error
    further = [text for text in overrides if text not in own]
    replaced = {key_of(text) for text in further}
    kept = [text for text in plan.words if key_of(text) not in replaced]
    plan = replace(plan, words=[unquoted(text) for text in [*kept, *further]])  # quoting does not matter
    refuse(plan, [text for text in plan.words if text in further and text.startswith(f"{SEARCH_PATH}=")])
    return plan


def refuse(plan: Plan, typed: Sequence[str]) -> None:
    """Raise InputError for overrides and ranges that are invalid in a search.

    Args:
        plan: the search.
        typed: typed overrides that name folders of configurations. A plan file may not name such folders, because the
            files in them can run any code.
    """
    for text in plan.words:
        if text not in typed and ("=" not in text or text.startswith(("-", "hydra", "resume="))):
            raise InputError(f"{text}: the runs of a search take key=value, without resume and Hydra's own keys")
    for key, values in plan.space.items():
        if not isinstance(values, Range):
            if len({json.dumps(value) for value in values}) < len(values):
                raise InputError(f"space.{key}: a choice is listed twice")
        elif not values.low < values.high:
            raise InputError(f"space.{key}: low={values.low} is not below high={values.high}")
        elif values.log and values.low <= 0:
            raise InputError(f"space.{key}: low={values.low} has no logarithm")


def defaults(plan: Plan, conf: Path) -> dict[str, Scalar]:
    """The default value of each key of the space, given the plan's overrides.

    Args:
        plan: the search.
        conf: the folder of the configuration groups.

    Raises:
        InputError, HydraException: the configuration does not have a key or choice, or a default is outside the space.
    """
    config = composed(readable_overrides(plan.words, conf), conf)
    found = {key: _default(config, key) for key in plan.space}
    for key, values in plan.space.items():  # for an unknown key, Hydra's error lists the existing ones
        value = values.low if isinstance(values, Range) else values[0]
        composed(readable_overrides(plan.job({key: value}), conf), conf)
    for key, values in plan.space.items():
        if found[key] not in values:
            allowed = f"{values.low} .. {values.high}" if isinstance(values, Range) else ", ".join(map(written, values))
            raise InputError(
                f"space.{key}: the default, {written(found[key])}, is not among {allowed}; "
                f"the first trial needs it: widen the space, or set another default by the override {key}=..."
            )
    if config.seed in plan.confirm_seeds:
        raise InputError(f"confirm_seeds: {config.seed} is the seed of the study's own runs")
    return found


def _default(config: DictConfig, key: str) -> Any:
    choices = config.hydra.runtime.choices
    return choices[key] if key in choices else OmegaConf.select(config, key)
