"""The configuration of a run: composed by Hydra, then resolved once into a value. Nothing here imports torch.

What decides a run is said here alone: its hash, in which keys two runs differ, and what one that goes on trains with.
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
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seqlab.errors import InputError
from seqlab.run.directory import RunDirectory

# What may change between a run and its continuation: none of it decides what a step computes.
FREE_KEYS = ("resume", "debug", "logger")
LONGEST_NAME = 80  # characters of a folder's name before its hash
MOST_BYTES = 240  # of these characters: file systems take 255, with the hash


def composed(words: Sequence[str], conf: Path) -> DictConfig:
    """The configuration that words choose and set, with Hydra's own node, as run.py composes it; no directory is made.

    What it resolves to may name the choices, which Hydra knows from here on.

    Args:
        words: as Hydra can read them; see seqlab/run/overrides.py.
        conf: the folder of the configuration groups.

    Raises:
        HydraException: for words that do not work.
    """
    with hydra.initialize_config_dir(str(conf), version_base="1.3"):
        config = hydra.compose("config", list(words), return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    return config


def deciding(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that decides a run. Its keys are nested, or written with dots.

    >>> deciding({"seed": 1, "debug": True}), deciding({"logger.x": "1", "optimizer.lr": "0.1"})
    ({'seed': 1}, {'optimizer.lr': '0.1'})
    """
    return {key: value for key, value in config.items() if key.partition(".")[0] not in FREE_KEYS}


@dataclass(frozen=True)
class RunConfig:
    """The configuration of a run.

    composed: as Hydra composed it, without Hydra's own node: its interpolations stand as they are written.
    plain: what the run trains with: resolved, without `resume`; plain dicts, lists and scalars.
    hash: eight hexadecimal digits of what decides the run. trainer.max_steps may grow, and decides nothing, nor does
        what follows it. A text counts as the number, or true or false, that it reads as: what was typed with quotes
        and what was typed without is the same run.
    """

    composed: DictConfig
    plain: dict[str, Any]
    hash: str

    @classmethod
    def of(cls, config: DictConfig) -> "RunConfig":
        """Resolve a configuration that Hydra composed."""
        own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        content = json.dumps(_as_read(_deciding(_resolved(own, max_steps=1))), sort_keys=True, default=str)
        return cls(own, _resolved(own), hashlib.sha256(content.encode()).hexdigest()[:8])

    @property
    def max_steps(self) -> int:
        """How many steps the run takes at most. Raises OmegaConf's error where the key is absent."""
        return self.composed.trainer.max_steps

    def with_texts(self, texts: Mapping[str, str]) -> "RunConfig":
        """This configuration with some keys set to texts."""
        composed = self.composed.copy()
        for key, text in texts.items():
            OmegaConf.update(composed, key, text)
        return RunConfig.of(composed)

    def continuing(self, directory: RunDirectory) -> tuple[dict[str, Any], int, list[str]]:
        """What goes on where a run was begun: its `plain`, the trainer.max_steps that the run began with, and the keys
        in which this is another run than that one.

        What followed trainer.max_steps when the run began (the end of a cosine, the length of a curriculum) stays as it
        was: both are resolved as if it were what it was then.

        Raises:
            InputError: when the directory has no configuration that can be read.
        """
        begun = _loaded(directory)
        first, now = begun.trainer.max_steps, self.max_steps
        here = _resolved(self.composed, first)
        changed = differences(_deciding(_resolved(begun, first)), _deciding(here))
        here["trainer"]["max_steps"] = now
        return here, first, changed

    def save(self, directory: RunDirectory, hydras: HydraConf) -> None:
        """Write .hydra/, as Hydra would: but once a run has been accepted, so that a refused one overwrites nothing."""
        directory.config.parent.mkdir(exist_ok=True)
        OmegaConf.save(self.composed, directory.config)
        OmegaConf.save(OmegaConf.create({"hydra": hydras}), directory.hydra)
        OmegaConf.save(hydras.overrides.task, directory.overrides)


def _loaded(directory: RunDirectory) -> DictConfig:
    """The configuration that a run began with. Raises InputError when there is none that can be read."""
    name = directory.config.relative_to(directory.path)
    try:
        config = OmegaConf.load(directory.config)
    except (OSError, OmegaConfBaseException, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{directory.path} cannot be resumed: no {name} there ({error})") from error
    if not isinstance(config, DictConfig):
        raise InputError(f"{directory.path} cannot be resumed: {name} is no configuration")
    return config


def _resolved(own: DictConfig, max_steps: int | None = None) -> dict[str, Any]:
    """A configuration as plain types, without `resume`; `max_steps` replaces trainer.max_steps first."""
    if max_steps is not None and OmegaConf.select(own, "trainer.max_steps") is not None:
        own = own.copy()
        OmegaConf.update(own, "trainer.max_steps", max_steps)
    plain = OmegaConf.to_container(own, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key != "resume"}


def _deciding(plain: dict[str, Any]) -> dict[str, Any]:
    """What decides a run of what is resolved, without trainer.max_steps."""
    found = deciding(plain)
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


def folder_name(words: str, digest: str) -> str:
    """Words that a file system takes as one name, cut short, and a hash that tells apart what was cut.

    >>> folder_name("data.path=../plays/a.txt,seed=1", "1a2b3c4d")
    'data.path=_plays_a.txt,seed=1-1a2b3c4d'
    """
    readable = one_name(words)[:LONGEST_NAME]
    readable = readable.encode()[:MOST_BYTES].decode(errors="ignore").strip("._-")
    return f"{readable}-{digest}" if readable else digest


def one_name(words: str) -> str:
    """Words as a part of a file's name: no separators, and nothing that leads out of a folder.

    >>> one_name("../plays/a b.txt")
    '_plays_a_b.txt'
    """
    return re.sub(r"[^\w.,=+-]+", "_", words.replace("..", ""))


def _run_dir(folder: str, name: str, *, _root_: DictConfig) -> str:
    """FOLDER/NAME-HASH; under resume=auto the newest unfinished run of this configuration in FOLDER, if there is."""
    config = RunConfig.of(_root_)
    if OmegaConf.select(_root_, "resume") == "auto":
        for directory in map(RunDirectory, sorted(Path(folder).glob("*"), reverse=True)):
            status = directory.read_status()
            if status.hash == config.hash and status.state != "done" and not directory.in_use():
                return str(directory.path)
    return f"{folder}/{name}-{config.hash}"


def _job_dir(words: str, *, _root_: DictConfig) -> str:
    """WORDS-HASH: the directory of a job of a sweep, the same whenever the sweep is run again."""
    return folder_name(words, RunConfig.of(_root_).hash)


def _between_layers(rate: float, num_layers: Any) -> float:
    """A rate of dropout between layers, which a preset chose: 0 where there is one layer."""
    return 0.0 if num_layers == 1 else rate


# conf/ names run directories by these, and lets presets follow a key. A worker that imports this module has them too.
OmegaConf.register_new_resolver("run_dir", _run_dir, replace=True)
OmegaConf.register_new_resolver("job_dir", _job_dir, replace=True)
OmegaConf.register_new_resolver("between_layers", _between_layers, replace=True)
