"""The configuration of a run: composed by Hydra, then resolved once into plain values. Nothing here imports torch.

Only this module defines what identifies a run: its hash, the keys in which two runs differ, and the configuration of a
resumed run.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seqlab.errors import InputError
from seqlab.run.directory import RunDirectory
from seqlab.run.search_path import refuse_ambiguous, register

# Keys that may change when a run is resumed: none of them affects what a step computes.
FREE_KEYS = ("resume", "debug", "logger")
LONGEST_NAME = 80  # characters of a folder's name before its hash
MOST_BYTES = 240  # of these characters; file systems allow 255, including the hash


def composed(overrides: Sequence[str], conf: Path) -> DictConfig:
    """Compose the configuration for some overrides as `seqlab train` does, with Hydra's own node.

    It creates no directory. It also sets Hydra's global configuration, because interpolations may refer to the choices.

    Args:
        overrides: in a form that Hydra can parse; see seqlab/run/overrides.py.
        conf: the folder of the configuration groups.

    Raises:
        HydraException: for invalid overrides.
        InputError: a choice is a file in two folders.
    """
    register()
    with hydra.initialize_config_dir(str(conf), version_base="1.3"):
        config = hydra.compose("config", list(overrides), return_hydra_config=True)
    refuse_ambiguous(config.hydra)
    HydraConfig.instance().set_config(config)
    return config


def deciding(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that identifies a run. Its keys are nested, or written with dots.

    >>> deciding({"seed": 1, "debug": True}), deciding({"logger.x": "1", "optimizer.lr": "0.1"})
    ({'seed': 1}, {'optimizer.lr': '0.1'})
    """
    return {key: value for key, value in config.items() if key.partition(".")[0] not in FREE_KEYS}


@dataclass(frozen=True)
class RunConfig:
    """The configuration of a run.

    composed: as Hydra composed it, without Hydra's own node, with unresolved interpolations.
    plain: the resolved configuration used for training, without `resume`; plain dicts, lists and scalars.
    hash: eight hexadecimal digits that identify the run. trainer.max_steps may grow, so neither it nor values that
        depend on it enter the hash. A string that looks like a number or boolean counts as one, so that quoted and
        unquoted values give the same run.
    hydra: Hydra's own node; None if the configuration was made without it.
    """

    composed: DictConfig
    plain: dict[str, Any]
    hash: str
    hydra: Any = None

    @classmethod
    def of(cls, config: DictConfig, hydra: Any = None) -> "RunConfig":
        """Resolve a configuration that Hydra composed, with its own node in the configuration or beside it."""
        own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        content = json.dumps(_as_read(_deciding(_resolved(own, max_steps=1))), sort_keys=True, default=str)
        digest = hashlib.sha256(content.encode()).hexdigest()[:8]
        return cls(own, _resolved(own), digest, config.get("hydra") if hydra is None else hydra)

    @property
    def words(self) -> list[str]:
        """The overrides that describe the run, as given to Hydra."""
        return list(self.hydra.overrides.task)

    @property
    def max_steps(self) -> int:
        """Maximum number of training steps. Raises OmegaConf's error if the key is absent."""
        return self.composed.trainer.max_steps

    def with_texts(self, texts: Mapping[str, str]) -> "RunConfig":
        """This configuration with some keys set to strings."""
        composed = self.composed.copy()
        for key, text in texts.items():
            OmegaConf.update(composed, key, text)
        return RunConfig.of(composed, self.hydra)

    def continuing(self, directory: RunDirectory) -> tuple[dict[str, Any], int, list[str]]:
        """The configuration for resuming the run in a directory.

        Values that depended on trainer.max_steps when the run started (the end of a cosine, the length of a curriculum)
        are kept: both configurations are resolved with the original trainer.max_steps.

        Returns:
            `plain` for the resumed run, the original trainer.max_steps, and the keys in which this configuration
            describes a different run.

        Raises:
            InputError: the directory has no readable configuration.
        """
        begun = _loaded(directory)
        first, now = begun.trainer.max_steps, self.max_steps
        here = _resolved(self.composed, first)
        changed = differences(_deciding(_resolved(begun, first)), _deciding(here))
        here["trainer"]["max_steps"] = now
        return here, first, changed

    def save(self, directory: RunDirectory) -> None:
        """Write .hydra/ as Hydra would, but only after a run is accepted, so that a refused run overwrites nothing."""
        directory.config.parent.mkdir(exist_ok=True)
        OmegaConf.save(self.composed, directory.config)
        OmegaConf.save(OmegaConf.create({"hydra": self.hydra}), directory.hydra)
        OmegaConf.save(OmegaConf.create(self.words), directory.overrides)


def _loaded(directory: RunDirectory) -> DictConfig:
    """Load the configuration with which a run started. Raises InputError if there is no readable one."""
    name = directory.config.relative_to(directory.path)
    try:
        config = OmegaConf.load(directory.config)
    except (OSError, OmegaConfBaseException, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{directory.path} cannot be resumed: no {name} there ({error})") from error
    if not isinstance(config, DictConfig):
        raise InputError(f"{directory.path} cannot be resumed: {name} is no configuration")
    return config


def _resolved(own: DictConfig, max_steps: int | None = None) -> dict[str, Any]:
    """Resolve a configuration to plain types, without `resume`, after replacing trainer.max_steps by `max_steps`."""
    if max_steps is not None and OmegaConf.select(own, "trainer.max_steps") is not None:
        own = own.copy()
        OmegaConf.update(own, "trainer.max_steps", max_steps)
    plain = OmegaConf.to_container(own, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key != "resume"}


def _deciding(plain: dict[str, Any]) -> dict[str, Any]:
    """The part of a resolved configuration that identifies a run, without trainer.max_steps and null top-level keys."""
    found = {key: value for key, value in deciding(plain).items() if value is not None}
    if isinstance(trainer := found.get("trainer"), dict):
        found["trainer"] = {key: value for key, value in trainer.items() if key != "max_steps"}
    return found


def _as_read(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_read(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_read(item) for item in value]
    if isinstance(value, str):
        for reading in (int, float):
            with suppress(ValueError):
                return reading(value)
        return {"true": True, "false": False}.get(value.lower(), value)
    return value


def differences(before: dict[str, Any], now: dict[str, Any], path: str = "") -> list[str]:
    """The keys in which two nested mappings differ, each with both values.

    >>> differences({"seed": 1, "model": {"d_model": 8}}, {"seed": 1, "model": {"d_model": 16}})
    ['model.d_model is 8 there and 16 here']
    """
    found = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        name = f"{path}.{key}".lstrip(".")
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, name)
        elif old != new:
            found.append(f"{name} is {old} there and {new} here")
    return found


def folder_name(overrides: str, digest: str) -> str:
    """A valid folder name: overrides, shortened, and a hash that distinguishes names with the same beginning.

    >>> folder_name("data.path=../plays/a.txt,seed=1", "1a2b3c4d")
    'data.path=_plays_a.txt,seed=1-1a2b3c4d'
    """
    readable = one_name(overrides)[:LONGEST_NAME]
    readable = readable.encode()[:MOST_BYTES].decode(errors="ignore").strip("._-")
    return f"{readable}-{digest}" if readable else digest


def one_name(overrides: str) -> str:
    """Turn overrides into a part of a file name, without separators and `..`.

    >>> one_name("../plays/a b.txt")
    '_plays_a_b.txt'
    """
    return re.sub(r"[^\w.,=+-]+", "_", overrides.replace("..", ""))


def _run_dir(folder: str, name: str, *, _root_: DictConfig) -> str:
    """FOLDER/NAME-HASH. With resume=auto, the newest unfinished run of this configuration in FOLDER, if any."""
    config = RunConfig.of(_root_)
    if OmegaConf.select(_root_, "resume") == "auto":
        for directory in map(RunDirectory, sorted(Path(folder).glob("*"), reverse=True)):
            status = directory.read_status()
            if status.hash == config.hash and status.state != "done" and not directory.in_use():
                return str(directory.path)
    return f"{folder}/{name}-{config.hash}"


def _job_dir(overrides: str, *, _root_: DictConfig) -> str:
    """OVERRIDES-HASH: the directory of a sweep's job, the same whenever the sweep is run again."""
    return folder_name(overrides, RunConfig.of(_root_).hash)


def _between_layers(rate: float, num_layers: Any) -> float:
    """A preset's dropout rate between layers, or 0 for a single layer."""
    return 0.0 if num_layers == 1 else rate


# conf/ uses these resolvers to name run directories and in presets. Worker processes that import this module get them.
OmegaConf.register_new_resolver("run_dir", _run_dir, replace=True)
OmegaConf.register_new_resolver("job_dir", _job_dir, replace=True)
OmegaConf.register_new_resolver("between_layers", _between_layers, replace=True)
