"""Maps every error that can end a command to one line and an exit code.

Exit codes: 0 done, 1 the run failed, 2 bad input, 3 a sweep in which jobs failed, 130 Ctrl-C, 141 the
reader of the output is gone, 143 SIGTERM.
"""

import os
import re
import select
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException
from yaml import YAMLError

from seqlab.errors import InputError, Interrupted, NonFiniteError, nearest
from seqlab.run.keys import leaves, selectable
from seqlab.run.values import key_of, read


class Ending(NamedTuple):
    """The message for the user, and the exit code."""

    message: str
    code: int


def ending(error: BaseException, conf: Path | None = None) -> Ending | None:
    """The message and exit code for an exception; None for a crash, which needs a traceback.

    Args:
        error: the exception.
        conf: the folder of the configuration groups, to list the existing ones.
    """
    if isinstance(error, Interrupted):
        return Ending(f"interrupted: {error}", 128 + error.signum)
    if isinstance(error, KeyboardInterrupt):
        return Ending("interrupted", 130)
    if isinstance(error, NonFiniteError):
        return Ending(f"stopped: {error}; the last good checkpoint is kept", 1)
    if isinstance(error, InputError):
        return Ending(f"error: {_one_line(error)}", 2)
    if isinstance(error, OSError) and error.strerror is not None:  # a full disk's error names no file
        where = f"{error.filename}: " if error.filename else ""
        return Ending(_one_line(f"error: {where}{error.strerror}"), 2)
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, choice = (error.missing_cfg_file or "").rpartition("/")
        more = "; more launchers: pip install 'seqlab[cluster]', 'seqlab[ray]'" if group == "hydra/launcher" else ""
        return Ending(_one_line(f"error: {group}={choice}: no such choice; {nearest(choice, error.options)}{more}"), 2)
    if isinstance(error, YAMLError):  # names the file and the line
        return Ending(_one_line(f"error: {error}"), 2)
    if isinstance(error, ConfigCompositionException | HydraException | OmegaConfBaseException):
        return Ending(_one_line(f"error: {_composition(error, conf)}"), 2)
    if isinstance(error, MemoryError) or re.search("(allocate|out of) memory", str(error)):
        return Ending(f"failed: not enough memory for such sizes, lengths or batches ({_one_line(error)[:200]})", 1)
    return None


def tell(error: BaseException, conf: Path | None = None) -> int:
    """Report an exception on stderr and return the exit code. See `ending`.

    A crash is reported with its traceback; under debug=true every exception is.
    """
    if isinstance(error, BrokenPipeError) and _nobody_reads():
        return 128 + signal.SIGPIPE
    end = ending(error, conf)
    if end is None or _debug(sys.argv[1:]):
        traceback.print_exception(error)
    if end is not None:
        print("\n".join([end.message, *getattr(error, "__notes__", ())]), file=sys.stderr, flush=True)
    return 1 if end is None else end.code


def _nobody_reads() -> bool:
    """Whether the reader of stdout, such as head, is gone. Then stdout is closed, so that Python exits quietly."""
    try:
        output = sys.stdout.fileno()
    except OSError:  # no file, as under a test
        return False
    poll = select.poll()
    poll.register(output, 0)
    gone = any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    if gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    return gone


def _debug(overrides: Sequence[str]) -> bool:
    """Whether the last override of debug is true, as Hydra parses it."""
    values = [parsed.value() for text in overrides if key_of(text) == "debug" and (parsed := read(text)) is not None]
    return bool(values) and values[-1] is True


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def _composition(error: BaseException, conf: Path | None) -> str:
    """Hydra's message in one line. For an unknown key it lists the existing keys."""
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    parent = getattr(cause, "parent_node", None)
    key = getattr(cause, "key", None)
    if parent is not None and key is not None and not isinstance(cause, InterpolationResolutionError):
        keys = [name for name in map(str, parent) if not name.startswith("_")]
        if str(key) in keys:
            return f"{getattr(cause, 'full_key', None) or key}: {str(cause).splitlines()[0]}"
        name = getattr(cause, "full_key", None) or str(key)
        elsewhere = _elsewhere(parent, name)
        if elsewhere:
            return f"{name}: no such key; {elsewhere}(allowed there: {', '.join(sorted(keys))})"
        return f"{name}: no such key; {nearest(str(key), keys)}"
    text = _one_line(error)
    if conf is not None and text.startswith("Could not override '") and "To append to your default list" in text:
        group = text.split("'")[1]
        return f"{group}: not a group to choose from; {nearest(group, selectable(conf))}"
    return text


def _elsewhere(node: Any, name: str) -> str:
    """Ask after an unknown key whether one that ends as it does, elsewhere in the configuration, is meant.

    Args:
        node: where the key was looked for.
        name: the key with dots; its last part is what such keys end in.
    """
    whole: Any = OmegaConf.to_container(node._get_root(), resolve=False)
    found = [key for key in leaves({**whole, "hydra": None}) if key.endswith(f".{name.rpartition('.')[2]}")]
    return f"did you mean {' or '.join(found)}? " if found else ""
