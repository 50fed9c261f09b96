"""The text of `seqlab train --help`, made without Hydra, which needs a second to list its groups."""

from collections.abc import Sequence
from pathlib import Path
from string import Template

from omegaconf import OmegaConf

from seqlab.run.keys import groups


def help_text(folders: Sequence[Path]) -> str:
    """The template in config.yaml, with the groups and their choices.

    Args:
        folders: folders of configuration groups, the first of which has config.yaml.
    """
    template = OmegaConf.load(folders[0] / "config.yaml").hydra.help.template
    lines = [f"{name}: {', '.join(choices)}\n" for name, choices in groups(folders).items()]
    return Template(template).substitute(APP_CONFIG_GROUPS="".join(lines))
