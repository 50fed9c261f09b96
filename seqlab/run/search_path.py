"""Shows Hydra the configurations of plug-ins, behind those of this project: no plug-in replaces one of them.

Hydra takes the first file of a name. Here a name that two folders have is refused where it is chosen.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from seqlab import plugins
from seqlab.errors import InputError


class PluginFolders(SearchPathPlugin):
    """Appends the folder conf of each plug-in. Hydra's own way would need another package, in `hydra_plugins`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Called by Hydra whenever it makes a search path."""
        for folder in plugins.folders():
            search_path.append(provider=f"plug-in {folder.parent.name}", path=f"file://{folder}")


def register() -> None:
    """Make Hydra call `PluginFolders`. To be called before Hydra is started; a second call changes nothing."""
    Plugins.instance().register(PluginFolders)


def refuse_ambiguous(hydra: Any) -> None:
    """Raise InputError if a choice of a composed configuration is a file in two folders: one would be left aside.

    Args:
        hydra: Hydra's own node, which has the choices of all groups and the folders, in order.
    """
    folders = [Path(source.path) for source in hydra.runtime.config_sources if source.schema == "file"]
    for key, chosen in hydra.runtime.choices.items():
        group = str(key).partition("@")[0]
        for choice in [chosen] if isinstance(chosen, str) else chosen or ():
            refuse_two(f"{group}={choice}", [folder / group / f"{choice}.yaml" for folder in folders])


def refuse_two(what: str, places: Iterable[Path]) -> None:
    """Raise InputError if more than one of the places where a choice may be has a file."""
    found = sorted({place.resolve() for place in places if place.is_file()})
    if len(found) > 1:
        raise InputError(f"{what} is ambiguous: {' and '.join(map(str, found))} have this name; rename yours")
