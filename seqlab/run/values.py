"""The value of a word KEY=VALUE: what Hydra reads in it, or the text that it is. Nothing here imports torch.

Hydra's grammar has no letters beyond a to z, and takes brackets, commas and some signs for its own. A shell has taken
the quotes away before we see a word. So a value that Hydra cannot read, and that is no sweep, list or function with a
fault in it, is the text that it is: Hydra gets it in quotes.
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

# Places for files: a leading ~ is the home folder there. Constructors that take a path expand it themselves.
PLACES = ("hydra.run.dir", "hydra.sweep.dir")
CLOSING = {"[": "]", "{": "}"}
FUNCTION = re.compile(rf"({'|'.join(create_functions().functions)})\s*\(")


def quoted(text: str | Path, quote: Quote = Quote.single) -> str:
    """A text in quotes, as Hydra reads it back.

    >>> print(quoted("tom's"))
    'tom\\'s'
    """
    return QuotedString(str(text), quote).with_quotes()


def placed(key: str, folder: str | Path) -> str:
    """The word that sets a key to a folder, whatever its name.

    >>> print(placed("hydra.run.dir", "outputs/a=1,b=2"))
    hydra.run.dir='outputs/a=1,b=2'
    """
    return f"{key}={quoted(folder)}"


def key_of(word: str) -> str:
    """The key or group that an override sets.

    >>> key_of("+model.dropout=0.1")
    'model.dropout'
    """
    return word.lstrip("+~").partition("=")[0]


def read(word: str) -> Override | None:
    """A word as Hydra reads it; None where it cannot."""
    try:
        return OverridesParser.create().parse_override(word)
    except Exception:  # beside Hydra's own kind: a number of 5,000 digits, brackets 1,000 deep
        return None


def text_of(word: str) -> str:
    """The value of a word as a text: what stands in its quotes, or its characters.

    >>> text_of("resume='my runs/1'"), text_of("resume=outputs/a=1,b=2")
    ('my runs/1', 'outputs/a=1,b=2')
    """
    override = read(word)
    value = override.value() if override is not None and not override.is_sweep_override() else None
    return value if isinstance(value, str) else word.partition("=")[2]


def unquoted(word: str) -> str:
    """A word without the quotes of its value, where these change nothing: the same for whoever quotes and who does not.

    >>> unquoted("data.column='Temp (F)'"), unquoted("data.column='a,b'")
    ('data.column=Temp (F)', "data.column='a,b'")
    """
    if "=" not in word:
        return word
    plain = f"{word.partition('=')[0]}={text_of(word)}"
    override = read(plain)
    return word if override is not None and override.is_sweep_override() else plain


def readable(word: str, *, sweep: bool, is_group: Callable[[str], bool]) -> str:
    """A word that Hydra can read, for one that a user typed.

    Args:
        word: KEY=VALUE, +KEY=VALUE or ~KEY.
        sweep: whether several values are a sweep (-m).
        is_group: whether a key is a group to choose from.

    Raises:
        InputError: for a word without a key or a value, and for one that begins what Hydra cannot read to its end; the
            message has the word in quotes.
    """
    key, equals, value = word.partition("=")
    name = key_of(word)
    if not name or not (equals or key.startswith("~")) or read(f"{key}=1" if equals else key) is None:
        raise InputError(
            f"{word or repr('')}: a word is KEY=VALUE, such as seed=2; a key has letters of English, digits, _ and ."
        )
    override = read(word)
    is_choice = is_group(name.partition("@")[0])
    if name in PLACES and equals:
        return _place(key, value, override)
    if override is None:
        _refuse_half_read(key, value, sweep)
        return f"{key}={_without_half_interpolation(key, value)}"
    if override.is_sweep_override() and not sweep:
        if is_choice:
            raise InputError(f"{word}: several choices; -m before the words tries each")
        as_list = "" if FUNCTION.match(value) else f", as a list {shlex.quote(f'{key}=[{value}]')}"
        raise InputError(
            f"{word}: several values; -m before the words tries each; as one text it is {in_quotes(key, value)}"
            f"{as_list}"
        )
    if is_choice and equals and isinstance(override.value(), dict | None):
        raise InputError(f"{word}: a choice is a name; ~{name} takes none")
    if is_choice and isinstance(override.value(), int | float):  # of bool too: Hydra takes texts alone
        return f"{key}={quoted(value)}"
    return word


def in_quotes(key: str, value: str) -> str:
    """A word whose value is a text, as one types it in a shell.

    >>> print(in_quotes("data.column", "Temp (F)"))
    'data.column="Temp (F)"'
    """
    return shlex.quote(f"{key}={quoted(value, Quote.double)}")


def as_printed(word: str) -> dict[str, str]:
    """What Hydra's sweeper makes of a word, where it prints a number in other characters than the word has it.

    >>> as_printed("optimizer.lr=1e-3,2")
    {'optimizer.lr=0.001': 'optimizer.lr=1e-3'}
    """
    override = read(word)
    if override is None or override.is_delete() or not word.partition("=")[2]:
        return {}
    key = override.get_key_element()
    if not override.is_sweep_override():
        typed, printed = [word.partition("=")[2].strip()], [override.get_value_element_as_str()]
    elif FUNCTION.match(word.partition("=")[2]):
        return {}  # a function's values were not typed
    else:
        typed, printed = _elements(word.partition("=")[2]), [str(value) for value in override.sweep_string_iterator()]
    pairs = zip(printed, typed, strict=True)
    return {f"{key}={after}": f"{key}={before}" for after, before in pairs if after != before and _is_number(before)}


def _is_number(text: str) -> bool:
    override = read(f"key={text}")
    return override is not None and isinstance(override.value(), int | float)


def _place(key: str, value: str, override: Override | None) -> str:
    """A place is a text, also where it reads as a number or as several values (as the folder of a sweep may)."""
    read_as = override.value() if override is not None and not override.is_sweep_override() else None
    if read_as == "":
        raise InputError(f"{key}={value}: names no folder")
    if isinstance(read_as, str) and not read_as.startswith("~"):
        return f"{key}={value}"
    return f"{key}={_without_half_interpolation(key, str(at_home(read_as if isinstance(read_as, str) else value)))}"


def _refuse_half_read(key: str, value: str, sweep: bool) -> None:
    """Raise InputError for a sweep, a list, a mapping or a function that Hydra cannot read to its end."""
    word, as_text = f"{key}={value}", f"as a text it is {in_quotes(key, value)}"
    ends = value.rstrip()[-1:]
    if FUNCTION.match(value) and (ends == ")" or ")" not in value):
        raise InputError(f"{word}: this function cannot be read; {as_text}")
    closing = CLOSING.get(value[:1])
    if closing and (ends == closing or closing not in value):
        inside = ",".join(_elements(value[1:].rstrip().removesuffix(closing)))
        as_list = f", as a list {shlex.quote(f'{key}=[{inside}]')}" if closing == "]" else ""
        raise InputError(f"{word}: what the bracket begins cannot be read; {as_text}{as_list}")
    elements = _elements(value)
    if sweep and len(elements) > 1 and not key.startswith("hydra"):
        each = shlex.quote(f"{key}={','.join(elements)}")
        raise InputError(f"{word}: these values cannot be read; {as_text}, as a sweep {each}")


def _elements(value: str) -> list[str]:
    """The parts of a value between its commas (those inside brackets or quotes left out), readable each."""
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
    """The value in quotes. Raises InputError where it begins an interpolation and does not end it."""
    try:
        OmegaConf.create({"value": value})
    except OmegaConfBaseException as error:
        plain = in_quotes(key, value.replace("${", "\\${"))
        raise InputError(f"{key}={value}: ${{ begins an interpolation; as a text it is {plain}") from error
    return quoted(value)
