"""The one command, `seqlab COMMAND ...` or `python -m seqlab COMMAND ...`. It imports the called command alone."""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

if not __package__:  # started by its path, for a run of a sweep or a search: this folder is not one to import from
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from seqlab.commands import COMMANDS
from seqlab.errors import nearest
from seqlab.starting import starting

LIST = """\
usage: seqlab COMMAND ...     (seqlab COMMAND --help: its arguments)

{}

`train` may be left out: seqlab model=lstm data=L5, seqlab -m model=lstm,linear seed=1,2
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Call the command that the first argument names, and return its exit code.

    An override or an option in its place is for `train`.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        print(LIST.format("\n".join(f"  {name:<12}{command.purpose}" for name, command in COMMANDS.items())), end="")
        return 0
    if "=" in words[0] or words[0].startswith(("-", "~")):
        words.insert(0, "train")
    name, *rest = words
    if name not in COMMANDS:
        said = " ".join(name.split()) or repr("")
        print(f"error: {said}: no such command; {nearest(name, COMMANDS)}", file=sys.stderr)
        return 2
    starting()
    return import_module(COMMANDS[name].module).main(rest)


if __name__ == "__main__":
    sys.exit(main())
