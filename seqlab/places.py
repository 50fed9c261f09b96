"""Where this project's files are, in a checkout and in an installed package. Imports nothing else."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
# The configuration groups: an installed package has them inside (pyproject.toml puts them there), a checkout beside it.
CONF = PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else PACKAGE.parent / "conf"
