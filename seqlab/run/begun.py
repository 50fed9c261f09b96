"""The words that began a run, as resume=RUN repeats them. Somebody else may have written them: docs/security.md.

Nothing here imports torch.
"""

import os
from pathlib import Path, PurePosixPath

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import OmegaConf

from seqlab.errors import InputError
from seqlab.run.directory import OVERRIDES, key_of

LARGEST = 2**20  # bytes of .hydra/overrides.yaml; a command line is far shorter


def words_of(run_dir: Path) -> list[str]:
    """The words that began the run in a directory, as they stand there.

    Raises:
        InputError: when there are none, or the file is damaged.
    """
    file = run_dir / OVERRIDES
    if not file.is_file():
        reason = "holds no run" if run_dir.is_dir() else "no such directory"
        raise InputError(f"resume={run_dir}: {reason}; allowed: auto, or the directory of a run")
    try:
        if file.stat().st_size > LARGEST:
            raise ValueError(f"it has {file.stat().st_size} bytes")
        words = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"{file} is damaged: {error}") from error
    if not (isinstance(words, list) and all(isinstance(word, str) for word in words)):
        raise InputError(f"{file} is damaged: it is no list of words")
    return words


def note_growth(run_dir: Path, max_steps: int) -> None:
    """Add a grown trainer.max_steps to the words that resume=RUN repeats; .hydra/config.yaml stays as the run began."""
    kept = [word for word in words_of(run_dir) if key_of(word) != "trainer.max_steps"]
    OmegaConf.save(OmegaConf.create([*kept, f"trainer.max_steps={max_steps}"]), run_dir / OVERRIDES)


def refuse_unsafe(word: str, run_dir: Path, conf: Path) -> None:
    """Raise InputError for a word of a run directory that could do more than choose and set what there is to set.

    Hydra's own keys construct objects of any package, a new key may be one that Hydra reads, and a choice like
    `experiment=../../RUN/file` is a file from anywhere. Whoever means such a word says it again.

    Args:
        word: one of `words_of(run_dir)`.
        run_dir: the directory of the run.
        conf: the folder of the configuration groups.
    """
    file = run_dir / OVERRIDES
    again = "to take it all the same, say it on the command line"
    try:
        override = OverridesParser.create().parse_override(word)
    except HydraException as error:
        raise InputError(f"{file}: {word!r} is no word of a command line") from error
    key = override.get_key_element()
    if key.lstrip("+~").startswith("hydra") or "@" in key:
        raise InputError(f"{file}: {word} sets Hydra itself, which a run directory must not")
    if override.type in (OverrideType.ADD, OverrideType.FORCE_ADD):
        raise InputError(f"{file}: {word} adds a key, which a run directory must not; {again}")
    if override.is_sweep_override():
        raise InputError(f"{file}: {word} is a sweep, and a run has one value for each key")
    if (conf / override.key_or_group).is_dir() and any(_leaves(choice) for choice in _choices(override)):
        raise InputError(f"{file}: {word} names a file outside of the configuration, which a run directory must not")


def _choices(override: Override) -> list[str]:
    value = override.value()
    return [str(choice) for choice in (value if isinstance(value, list) else [value])]


def _leaves(choice: str) -> bool:
    """Whether the choice of a group is no plain name below its folder."""
    path = PurePosixPath(choice.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or "$" in choice


def refuse_links_out(run_dir: Path) -> None:
    """Raise InputError where a link inside a run directory leads out of it: writing there writes elsewhere."""
    inside = run_dir.resolve()
    for folder, folders, files in os.walk(run_dir):
        if Path(folder) == run_dir / "wandb":  # W&B keeps links of its own there, and begins a new folder each time
            folders.clear()
            continue
        for path in (Path(folder) / name for name in [*folders, *files]):
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                raise InputError(f"{path} is a link out of the run directory: put the file itself there")
