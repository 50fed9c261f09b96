"""What a search tries: conf/search/NAME.yaml, checked against the configuration that it is about."""

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
    """Numbers from low to high, both included; integers where both are; log: even in the logarithm."""

    low: int | float
    high: int | float
    log: bool = False

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Plan:
    """A search.

    words: what every run has in common, as run.py takes it.
    metric: a metric of metrics.csv; a run counts by its lowest value.
    num_trials: runs in the study, the first with the configuration's own values.
    seed: of what is tried.
    confirm_seeds: seeds on which the best and the default are compared afterwards.
    space: key of the configuration (or group) -> the values that it may take.
    """

    space: Annotated[Mapping[str, Range | Annotated[list[Scalar], MinLen(2)]], MinLen(1)]
    words: Sequence[str] = ()
    metric: str = "val/loss"
    num_trials: Annotated[int, Ge(1)] = 16
    seed: Seed = 1
    confirm_seeds: Sequence[Seed] = ()

    def deciding(self) -> dict[str, Any]:
        """What makes this study and no other: all but how long it goes on and what is confirmed."""
        return {key: value for key, value in asdict(self).items() if key not in ("num_trials", "confirm_seeds")}

    def digest(self) -> str:
        """Eight hexadecimal digits of that."""
        return hashlib.sha256(json.dumps(self.deciding(), sort_keys=True).encode()).hexdigest()[:8]

    def job(self, values: Mapping[str, Scalar]) -> list[str]:
        """The words of a run with some values of the space, or of further keys."""
        kept = [word for word in self.words if key_of(word) not in values]
        return [*kept, *(f"{key}={written(value)}" for key, value in values.items())]


def written(value: Scalar) -> str:
    """A value as a command line has it.

    >>> written(None), written(True), written(0.003), written("a b")
    ('null', 'true', '0.003', "'a b'")
    """
    if isinstance(value, str) and not value.replace("_", "").replace("-", "").isalnum():
        return quoted(value)
    return value if isinstance(value, str) else json.dumps(value)


def read_plan(file: Path, words: Sequence[str]) -> Plan:
    """The plan in a file. Words search.KEY=VALUE replace its keys; others join the words of every run.

    Raises:
        InputError: for a file that cannot be read, and for every fault of what it says.
    """
    own = [word for word in words if word.startswith("search.")]
    try:
        node = OmegaConf.merge(OmegaConf.load(file), OmegaConf.from_dotlist([word[len("search.") :] for word in own]))
        content = OmegaConf.to_container(node, resolve=True)
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from error
    except (OmegaConfBaseException, yaml.YAMLError, ValueError, TypeError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error
    try:
        plan = TypeAdapter(Plan).validate_python(content)
    except ValidationError as error:
        # a key that is misspelt is also one that is absent
        problem = min(error.errors(), key=lambda problem: problem["type"].startswith("missing"))
        name = ".".join(str(part) for part in problem["loc"] if isinstance(part, str) and "[" not in part)
        if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            raise InputError(f"{file}: {name}: no such key; {nearest(name, Plan.__annotations__)}") from error
        raise InputError(f"{file}: {name or 'the file'}: {problem['msg'][0].lower()}{problem['msg'][1:]}") from error
    further = [word for word in words if word not in own]
    replaced = {key_of(word) for word in further}
    kept = [word for word in plan.words if key_of(word) not in replaced]
    plan = replace(plan, words=[unquoted(word) for word in [*kept, *further]])  # one study, however they are quoted
    refuse(plan, [word for word in plan.words if word in further and word.startswith(f"{SEARCH_PATH}=")])
    return plan


def refuse(plan: Plan, typed: Sequence[str]) -> None:
    """Raise InputError for words and ranges that no search can have.

    Args:
        plan: the search.
        typed: words that name folders of configurations. Only a user may: what lies there can run anything.
    """
    for word in plan.words:
        if word not in typed and ("=" not in word or word.startswith(("-", "hydra", "resume="))):
            raise InputError(f"{word}: the runs of a search take key=value, without resume and hydra's own keys")
    for key, values in plan.space.items():
        if not isinstance(values, Range):
            if len({json.dumps(value) for value in values}) < len(values):
                raise InputError(f"space.{key}: a choice stands there twice")
        elif not values.low < values.high:
            raise InputError(f"space.{key}: low={values.low} is not below high={values.high}")
        elif values.log and values.low <= 0:
            raise InputError(f"space.{key}: low={values.low} has no logarithm")


def defaults(plan: Plan, conf: Path) -> dict[str, Scalar]:
    """The value that each key of the space has by itself, under the plan's words.

    Args:
        plan: the search.
        conf: the folder of the configuration groups.

    Raises:
        InputError, HydraException: for a key or word that the configuration does not know, and where the default is
            outside the space.
    """
    config = composed(readable_overrides(plan.words, conf), conf)
    found = {key: _default(config, key) for key in plan.space}
    for key, values in plan.space.items():  # Hydra names the keys that exist
        value = values.low if isinstance(values, Range) else values[0]
        composed(readable_overrides(plan.job({key: value}), conf), conf)
    for key, values in plan.space.items():
        if found[key] not in values:
            allowed = f"{values.low} .. {values.high}" if isinstance(values, Range) else ", ".join(map(written, values))
            raise InputError(
                f"space.{key}: the default, {written(found[key])}, is not among {allowed}; "
                f"the first trial needs it: widen the space, or set another default by a word {key}=..."
            )
    if config.seed in plan.confirm_seeds:
        raise InputError(f"confirm_seeds: {config.seed} is the seed of the study's own runs")
    return found


def _default(config: DictConfig, key: str) -> Any:
    choices = config.hydra.runtime.choices
    return choices[key] if key in choices else OmegaConf.select(config, key)
