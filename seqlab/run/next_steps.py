"""What to type next: the commands that look at a finished run, and the one that resumes an interrupted run."""

import shlex
import sys
from pathlib import Path


def after(run: Path, prompt: str | None, *, tensorboard: bool) -> list[str]:
    """The commands for a finished run: an answer of the model, the table of all runs beside it, and its curves.

    Args:
        run: its directory.
        prompt: one that its task reads; None: it has no example, so nothing is asked.
        tensorboard: whether TensorBoard's files are there.
    """
    folder = _around(run)
    asked = [] if prompt is None else [f"{_command('predict')} {_shown(run)} {_in_double_quotes(prompt)}"]
    found = [*asked, f"{_command('report')} {_shown(folder)}"]
    return found + ([f"tensorboard --logdir {_shown(folder)}"] if tensorboard else [])


def resuming(run: Path) -> str:
    """The command that resumes the run in a directory."""
    return f"{_command('train')} resume={_shown(run)}"


def _command(name: str) -> str:
    """A command of SeqLab as the user calls them: from a checkout by run.py and modules, else by `seqlab`."""
    called = Path(sys.argv[0]).name
    if called == "run.py":
        return f"python {shlex.quote(sys.argv[0])}" if name == "train" else f"python -m seqlab.{name}"
    return f"python -m seqlab {name}" if called == "__main__.py" else f"seqlab {name}"


def _around(run: Path) -> Path:
    """The folder in the working directory that holds the run, such as outputs; else the run's own directory."""
    parts = _relative(run).parts
    return run if _relative(run).is_absolute() or len(parts) < 2 else Path(parts[0])


def _relative(path: Path) -> Path:
    """A path from the working directory, if it is below."""
    whole, here = path.absolute(), Path.cwd()
    return whole.relative_to(here) if whole.is_relative_to(here) else whole


def _shown(path: Path) -> str:
    return shlex.quote(str(_relative(path)))


def _in_double_quotes(text: str) -> str:
    """A text for a shell, in double quotes where these change nothing in it.

    >>> print(_in_double_quotes("( [ ]"), _in_double_quotes("5$"))
    "( [ ]" '5$'
    """
    return shlex.quote(text) if set(text) & set('"$`\\!') else f'"{text}"'
