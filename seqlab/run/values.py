"""The value of an override KEY=VALUE: as Hydra parses it, or as a string. Nothing here imports torch.

Hydra's grammar has no letters beyond a to z, and gives brackets, commas and some other characters a meaning. The shell
removes quotes before we see an override. So a value that Hydra cannot parse is quoted and passed as a string, unless it
looks like a faulty sweep, list or function.
"""

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser, create_functions
from hydra.core.override_parser.types import Override, Quote, QuotedString
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seqlab.errors import InputError
from seqlab.files import at_home

# Keys that name folders: a leading ~ is expanded here. Constructors that take a path expand it themselves.
PLACES = ("hydra.run.dir", "hydra.sweep.dir")
OPTIONAL_PLACE = "init_from"  # the folder of a run; null: none
CLOSING = {"[": "]", "{": "}"}
FUNCTION = re.compile(rf"({'|'.join(create_functions().functions)})\s*\(")


def quoted(text: str | Path, quote: Quote = Quote.single) -> str:
    """Quote a string so that Hydra parses it back.

    >>> print(quoted("tom's"))
    'tom\\'s'
    """
    return QuotedString(str(text), quote).with_quotes()


def placed(key: str, folder: str | Path) -> str:
    """The override that sets a key to a folder of any name.

    >>> print(placed("hydra.run.dir", "outputs/a=1,b=2"))
    hydra.run.dir='outputs/a=1,b=2'
    """
    return f"{key}={quoted(folder)}"


def key_of(text: str) -> str:
    """The key or group that an override sets.

    >>> key_of("+model.dropout=0.1")
    'model.dropout'
    """
    return text.lstrip("+~").partition("=")[0]


def read(text: str) -> Override | None:
    """Parse an override with Hydra's grammar; None if Hydra cannot parse it."""
    try:
        return OverridesParser.create().parse_override(text)
    except Exception:  # not only Hydra's own errors: a number of 5,000 digits, brackets nested 1,000 deep
        return None


def text_of(text: str) -> str:
    """The value of an override as a string: the content of its quotes, or its characters.

    >>> text_of("resume='my runs/1'"), text_of("resume=outputs/a=1,b=2")
    ('my runs/1', 'outputs/a=1,b=2')
    """
    override = read(text)
    value = override.value() if override is not None and not override.is_sweep_override() else None
    return value if isinstance(value, str) else text.partition("=")[2]


def unquoted(text: str) -> str:
    """Remove the quotes around an override's value if they change nothing, so that quoted and unquoted forms agree.

    >>> unquoted("data.column='Temp (F)'"), unquoted("data.column='a,b'")
    ('data.column=Temp (F)', "data.column='a,b'")
    """
    if "=" not in text:
        return text
    plain = f"{text.partition('=')[0]}={text_of(text)}"
    override = read(plain)
    return text if override is not None and override.is_sweep_override() else plain


def readable(text: str, *, sweep: bool, is_group: Callable[[str], bool]) -> str:
    """Rewrite an override that a user typed so that Hydra can parse it.

    Args:
        text: KEY=VALUE, +KEY=VALUE or ~KEY.
        sweep: whether several values are a sweep (-m).
        is_group: whether a key is a configuration group.

    Raises:
        InputError: the key or the value is missing, or the value begins a list, mapping, function or sweep that Hydra
            cannot parse; the message then shows how to quote it.
    """
    key, equals, value = text.partition("=")
    name = key_of(text)
    if not name or not (equals or key.startswith("~")) or read(f"{key}=1" if equals else key) is None:
        raise InputError(
            f"{text or repr('')}: an override is KEY=VALUE, such as seed=2; a key has English letters, digits, _ and ."
        )
    override = read(text)
    is_choice = is_group(name.partition("@")[0])
    if equals and (name in PLACES or (name == OPTIONAL_PLACE and value != "null")):
        return _place(key, value, override)
    if override is None:
        _refuse_half_read(key, value, sweep)
        return f"{key}={_without_half_interpolation(key, value)}"
    if override.is_sweep_override() and not sweep:
        if is_choice:
            raise InputError(f"{text}: several choices; -m before the overrides tries each")
        as_list = "" if FUNCTION.match(value) else f", as a list {shlex.quote(f'{key}=[{value}]')}"
        raise InputError(
            f"{text}: several values; -m before the overrides tries each; as one text it is {in_quotes(key, value)}"
            f"{as_list}"
        )
    if is_choice and equals and isinstance(override.value(), dict | None):
        raise InputError(f"{text}: a choice is a name; ~{name} takes none")
    if is_choice and isinstance(override.value(), int | float):  # bool included: Hydra accepts only strings
        return f"{key}={quoted(value)}"
    return text


def in_quotes(key: str, value: str) -> str:
    """An override whose value is a string, as one types it in a shell.

    >>> print(in_quotes("data.column", "Temp (F)"))
    'data.column="Temp (F)"'
    """
    return shlex.quote(f"{key}={quoted(value, Quote.double)}")


def as_printed(text: str) -> dict[str, str]:
    """Map the printed form of an override (by Hydra's sweeper) to the typed form, where numbers print differently.

    >>> as_printed("optimizer.lr=1e-3,2")
    {'optimizer.lr=0.001': 'optimizer.lr=1e-3'}
    """
    override = read(text)
    if override is None or override.is_delete() or not text.partition("=")[2]:
        return {}
    key = override.get_key_element()
    if not override.is_sweep_override():
        typed, printed = [text.partition("=")[2].strip()], [override.get_value_element_as_str()]
    elif FUNCTION.match(text.partition("=")[2]):
        return {}  # the values come from a function and were not typed
    else:
        typed, printed = _elements(text.partition("=")[2]), [str(value) for value in override.sweep_string_iterator()]
    pairs = zip(printed, typed, strict=True)
    return {f"{key}={after}": f"{key}={before}" for after, before in pairs if after != before and _is_number(before)}


def _is_number(text: str) -> bool:
    override = read(f"key={text}")
    return override is not None and isinstance(override.value(), int | float)


def _place(key: str, value: str, override: Override | None) -> str:
    """A folder name is a string, even if it looks like a number or like several values (as a sweep's folder may)."""
    read_as = override.value() if override is not None and not override.is_sweep_override() else None
    if read_as == "":
        raise InputError(f"{key}={value}: names no folder")
    if isinstance(read_as, str) and not read_as.startswith("~"):
        return f"{key}={value}"
    return f"{key}={_without_half_interpolation(key, str(at_home(read_as if isinstance(read_as, str) else value)))}"


def _refuse_half_read(key: str, value: str, sweep: bool) -> None:
    """Raise InputError for a sweep, list, mapping or function that Hydra cannot parse completely."""
    text, as_text = f"{key}={value}", f"as a text it is {in_quotes(key, value)}"
    ends = value.rstrip()[-1:]
    if FUNCTION.match(value) and (ends == ")" or ")" not in value):
        raise InputError(f"{text}: this function cannot be read; {as_text}")
    closing = CLOSING.get(value[:1])
    if closing and (ends == closing or closing not in value):
        inside = ",".join(_elements(value[1:].rstrip().removesuffix(closing)))
        as_list = f", as a list {shlex.quote(f'{key}=[{inside}]')}" if closing == "]" else ""
        raise InputError(f"{text}: what the bracket begins cannot be read; {as_text}{as_list}")
    elements = _elements(value)
    if sweep and len(elements) > 1 and not key.startswith("hydra"):
        each = shlex.quote(f"{key}={','.join(elements)}")
        raise InputError(f"{text}: these values cannot be read; {as_text}, as a sweep {each}")


def _elements(value: str) -> list[str]:
    """Split a value at its commas, except inside brackets or quotes, and quote each part that Hydra cannot parse."""
    parts, depth, quote = [""], 0, ""
    for sign in value:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        else:
            depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and not quote and depth <= 0:
            parts.append("")
        else:
            parts[-1] += sign
    if quote:  # an apostrophe
        parts = value.split(",")
    stripped: Sequence[str] = [part.strip() for part in parts]
    return [part if read(f"key={part}") is not None else quoted(part, Quote.double) for part in stripped]


def _without_half_interpolation(key: str, value: str) -> str:
    """Quote a value. Raises InputError if it begins an interpolation and does not end it."""
    try:
        OmegaConf.create({"value": value})
    except OmegaConfBaseException as error:
        plain = in_quotes(key, value.replace("${", "\\${"))
        raise InputError(f"{key}={value}: ${{ begins an interpolation; as a text it is {plain}") from error
    return quoted(value)
