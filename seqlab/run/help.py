"""The text of `run.py --help`, without Hydra, which copies all of its configuration for each group that it lists."""

from collections.abc import Iterator
from pathlib import Path
from string import Template

from omegaconf import OmegaConf


def help_text(conf: Path) -> str:
    """The template in config.yaml, with the groups and their choices.

    Args:
        conf: the folder of the configuration groups.
    """
    template = OmegaConf.load(conf / "config.yaml").hydra.help.template
    return Template(template).substitute(APP_CONFIG_GROUPS="".join(f"{line}\n" for line in sorted(groups(conf))))


def groups(conf: Path) -> Iterator[str]:
    """A line for each group that is not Hydra's own: its name and its choices."""
    for folder in conf.rglob("*/"):
        name = folder.relative_to(conf).as_posix()
        choices = sorted(file.stem for file in folder.glob("*.yaml"))
        if choices and name.partition("/")[0] != "hydra":
            yield f"{name}: {', '.join(choices)}"
