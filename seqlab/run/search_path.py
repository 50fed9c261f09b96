"""Shows Hydra the configurations of plug-ins, behind those of this project: no plug-in replaces one of them."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from seqlab import plugins


class PluginFolders(SearchPathPlugin):
    """Appends the folder conf of each plug-in. Hydra's own way would need another package, in `hydra_plugins`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Called by Hydra whenever it makes a search path."""
        for folder in plugins.folders():
            search_path.append(provider=f"plug-in {folder.parent.name}", path=f"file://{folder}")


def register() -> None:
    """Make Hydra call `PluginFolders`. To be called before Hydra is started; a second call changes nothing."""
    Plugins.instance().register(PluginFolders)
