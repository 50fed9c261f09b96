"""Where a job runs, and whether it goes on with one that was cut off. Nothing here imports torch.

A run directory says what became of it in status.json: running, done, interrupted or failed, with the reason and the
hash of its configuration. Whoever works in it holds its .lock, which the system gives back when the process ends in
whatever way: a run that is `running` and not locked was killed.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout
from hydra.conf import HydraConf
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seqlab.errors import InputError
from seqlab.files import write_json

OVERRIDES = ".hydra/overrides.yaml"
CONFIG = ".hydra/config.yaml"
# What may change between a run and its continuation: none of it decides what a step computes.
FREE_KEYS = ("resume", "debug", "logger")
LONGEST_NAME = 80  # characters of a folder's name before its hash
MOST_BYTES = 240  # of these characters: file systems take 255, with the hash


def _run_dir(folder: str, name: str, *, _root_: DictConfig) -> str:
    """FOLDER/NAME-HASH; under resume=auto the newest unfinished run of this configuration in FOLDER, if there is."""
    digest = configuration_hash(_root_)
    if OmegaConf.select(_root_, "resume") == "auto":
        for status in sorted(Path(folder).glob("*/status.json"), reverse=True):
            run = status.parent
            content = read_status(run)
            if content.get("hash") == digest and content["status"] != "done" and not in_use(run):
                return str(run)
    return f"{folder}/{name}-{digest}"


def _job_dir(words: str, *, _root_: DictConfig) -> str:
    """WORDS-HASH: the directory of a job of a sweep, the same whenever the sweep is run again."""
    return folder_name(words, configuration_hash(_root_))


def _between_layers(rate: float, num_layers: Any) -> float:
    """A rate of dropout between layers, which a preset chose: 0 where there is one layer."""
    return 0.0 if num_layers == 1 else rate


# conf/ names run directories by these, and lets presets follow a key. A worker that imports this module has them too.
OmegaConf.register_new_resolver("run_dir", _run_dir, replace=True)
OmegaConf.register_new_resolver("job_dir", _job_dir, replace=True)
OmegaConf.register_new_resolver("between_layers", _between_layers, replace=True)


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


def configuration_hash(config: DictConfig) -> str:
    """Eight hexadecimal digits of what decides a run: all but FREE_KEYS and trainer.max_steps, which may grow.

    A text counts as the number, or true or false, that it reads as: what was typed with quotes and what was typed
    without is the same run.
    """
    content = json.dumps(_as_read(deciding(config, max_steps=1)), sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:8]


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


def deciding(config: DictConfig, max_steps: int) -> dict[str, Any]:
    """The configuration, resolved as if trainer.max_steps were `max_steps`, without it and without FREE_KEYS.

    What follows trainer.max_steps (the end of a cosine, the length of a curriculum) does not differ, then.
    """
    plain = resolved(config, max_steps)
    plain["trainer"].pop("max_steps", None)
    return {key: value for key, value in plain.items() if key not in FREE_KEYS}


def resolved(config: DictConfig, max_steps: int | None = None) -> dict[str, Any]:
    """The configuration as plain types without Hydra's own node; `max_steps` replaces trainer.max_steps first."""
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    if max_steps is not None and OmegaConf.select(own, "trainer.max_steps") is not None:
        OmegaConf.update(own, "trainer.max_steps", max_steps)
    plain = OmegaConf.to_container(own, resolve=True)
    assert isinstance(plain, dict)
    return plain  # type: ignore[return-value]


def differences(before: dict[str, Any], now: dict[str, Any], path: str = "") -> list[str]:
    """The keys in which two resolved configurations differ, each with both values.

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


@contextmanager
def claimed(run_dir: Path) -> Iterator[None]:
    """Hold a run directory for this process.

    Raises:
        InputError: when another process works in it.
    """
    lock = FileLock(run_dir / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(f"{run_dir}: another process is training there") from None
    try:
        yield
    finally:
        lock.release()


def in_use(run_dir: Path) -> bool:
    """Whether a process works in a run directory."""
    if not (run_dir / ".lock").exists():  # looking leaves nothing behind
        return False
    try:
        with claimed(run_dir):
            return False
    except InputError:
        return True


def read_status(run_dir: Path) -> dict[str, str]:
    """status, reason and hash of status.json; the status is `unknown` where there is none that can be read."""
    try:
        content = json.loads((run_dir / "status.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        content = {}
    known = content.items() if isinstance(content, dict) else ()
    return {"status": "unknown", **{key: value for key, value in known if isinstance(value, str)}}


def remove_if_empty(run_dir: Path) -> None:
    """Remove the directory of a refused job, and the folders that were made for it: those below the working directory
    that hold nothing else."""
    if not {path.name for path in run_dir.iterdir()} <= {"run.log", ".lock"}:
        return
    shutil.rmtree(run_dir)
    for folder in run_dir.parents:
        if Path.cwd() not in folder.parents or any(folder.iterdir()):
            break
        folder.rmdir()


def write_status(run_dir: Path, status: str, reason: str, digest: str) -> None:
    """Say what became of a run.

    Args:
        run_dir: its directory.
        status: running, done, interrupted or failed.
        reason: why it ended, in one line; empty while it runs.
        digest: its configuration_hash.
    """
    write_json(run_dir / "status.json", {"status": status, "reason": reason, "hash": digest})


def save_configuration(run_dir: Path, config: DictConfig, hydra: HydraConf) -> None:
    """Write .hydra/, as Hydra would: but once a run has been accepted, so that a refused one overwrites nothing."""
    folder = run_dir / ".hydra"
    folder.mkdir(exist_ok=True)
    OmegaConf.save(config, folder / "config.yaml")
    OmegaConf.save(OmegaConf.create({"hydra": hydra}), folder / "hydra.yaml")
    OmegaConf.save(hydra.overrides.task, folder / "overrides.yaml")


def key_of(word: str) -> str:
    """The key or group that an override sets.

    >>> key_of("+model.dropout=0.1")
    'model.dropout'
    """
    return word.lstrip("+~").partition("=")[0]


def load_configuration(run_dir: Path) -> DictConfig:
    """The configuration that a run began with, as it was composed.

    Raises:
        InputError: when the directory has none that can be read.
    """
    try:
        config = OmegaConf.load(run_dir / CONFIG)
    except (OSError, OmegaConfBaseException, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{run_dir} cannot be resumed: no {CONFIG} there ({error})") from error
    if not isinstance(config, DictConfig):
        raise InputError(f"{run_dir} cannot be resumed: {CONFIG} is no configuration")
    return config
