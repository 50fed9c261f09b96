"""Where this project's files are, in a checkout and in an installed package. Imports nothing else."""

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
# The configuration groups: an installed package has them inside (pyproject.toml puts them there), a checkout beside it.
CONF = PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else PACKAGE.parent / "conf"


def cache_folder() -> Path:
    """What can be made again: $SEQLAB_CACHE, or seqlab in the user's folder for such files."""
    if folder := os.environ.get("SEQLAB_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seqlab"
