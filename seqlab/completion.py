"""Completion of the words of `seqlab` in a shell.

bash   eval "$(seqlab completion bash)"           in ~/.bashrc
zsh    eval "$(seqlab completion zsh)"            in ~/.zshrc, after compinit
fish   seqlab completion fish | source            in ~/.config/fish/config.fish

The commands are completed, and for train, memory and search the groups, their choices and the keys of the chosen
configuration, for profile those of the model. Everywhere else the shell completes names of files.
"""

import argparse
import sys
from collections.abc import Sequence

from seqlab import plugins
from seqlab.commands import COMMANDS
from seqlab.errors import InputError
from seqlab.output import take_any_text
from seqlab.places import CONF
from seqlab.run.keys import groups, keys, selectable
from seqlab.starting import Parser

# Each script asks `seqlab completion SHELL --line LINE` for the words that may end LINE, one on a line.
SCRIPTS = {
    # readline's word may begin after the =, so what stands before it is not given back
    "bash": r"""
_seqlab() {
    local line="${COMP_LINE:0:COMP_POINT}" IFS=$'\n'
    local word="${line##*[[:space:]]}"
    COMPREPLY=($(seqlab completion bash --line "$line" 2>/dev/null))
    if [[ $word == *=* && $COMP_WORDBREAKS == *=* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*=}"}"}")
    fi
    if [[ ${COMPREPLY[0]} == *[=.] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -o default -F _seqlab seqlab
""",
    "zsh": r"""
_seqlab() {
    local -a found open
    found=(${(f)"$(seqlab completion zsh --line "${(j: :)words[1,CURRENT]}" 2>/dev/null)"})
    open=(${(M)found:#*[=.]})
    found=(${found:#*[=.]})
    if (( ! $#found && ! $#open )); then
        compset -P '*='
        _files
        return
    fi
    compadd -S '' -a open
    compadd -a found
}
compdef _seqlab seqlab
""",
    # fish itself adds names of files, and no blank after = or .
    "fish": r"""
function __seqlab_words
    seqlab completion fish --line (commandline -cp | string collect) 2>/dev/null
end
complete -c seqlab -a '(__seqlab_words)'
""",
}
SEARCHES, SUITES = "search", "suite"  # the folders of conf whose files are studies, and suites
OF_A_MODEL = ("model=", "model.", "variant=")  # all that a profile takes


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and print a script, or the words that complete a line. Returns the exit code."""
    take_any_text()
    parser = Parser(prog="seqlab completion", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shell", choices=SCRIPTS, help="the shell for which a script is printed")
    parser.add_argument("--line", help="a command line up to the cursor: print the words that may end it instead")
    options = parser.parse_args(arguments)
    if options.line is None:
        print(SCRIPTS[options.shell].strip())
    else:
        try:
            print("".join(f"{word}\n" for word in completed(options.line)), end="")
        except InputError as error:  # a plug-in that is not there; the shell shows nothing
            print(f"error: {error}", file=sys.stderr)
            return 2
    return 0


def completed(line: str) -> list[str]:
    """The words that may stand in the place of the last one of a command line.

    >>> completed("seqlab pre"), completed("seqlab train model=ls"), completed("seqlab model=linear optimizer.l")
    (['predict'], ['model=lstm'], ['optimizer.lr='])
    """
    words = line.split()[1:]
    last = words.pop() if words and not line[-1:].isspace() else ""
    command, typed = (words[0], words[1:]) if words and words[0] in COMMANDS else ("train", words)
    found: list[str] = []
    if not words:
        found += COMMANDS
    elif command == "completion":
        found += SCRIPTS
    elif command == "search":
        found += groups([CONF, *plugins.folders()])[SEARCHES]
    elif command == "profile" and typed[-1:] == ["--suite"]:
        found += groups([CONF, *plugins.folders()])[SUITES]
    elif command == "profile":
        found += [word for word in ["variant=", *overrides(last, typed)] if word.startswith(OF_A_MODEL)]
    if command in ("train", "memory", "search"):
        found += overrides(last, typed)
    return sorted(word for word in set(found) if word.startswith(last))


def overrides(last: str, typed: Sequence[str]) -> list[str]:
    """Groups and keys that begin as the last word does, up to the next dot; behind GROUP= its choices.

    Args:
        last: the word to complete.
        typed: the overrides before it.
    """
    sign = last[: len(last) - len(last.lstrip("+~"))]
    name, equals, _ = last[len(sign) :].partition("=")
    if equals:
        group, _, _ = name.partition("@")  # model@model.body=
        return [f"{sign}{name}={choice}" for choice in groups([CONF, *plugins.folders()]).get(group, ())]
    start = len(name)
    known = keys([CONF, *plugins.folders()], typed)
    cut = [key[: key.index(".", start) + 1] if "." in key[start:] else f"{key}=" for key in known]
    return [sign + word for word in [*(f"{group}=" for group in selectable(CONF)), *cut]]
