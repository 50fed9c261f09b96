"""What a model can learn, beside every architecture that ships: seqlab profile model=NAME [--suite quick]

The model (model=NAME, variant=NAME, a plug-in's, model=hf model.type=llama, with any model.KEY=VALUE) is trained on
each task of a suite, at a stated budget of steps and parameters. A score of 0 is the best shortcut or chance, 1 the
optimum. A line for each run, with the time that is left; then a table, a figure and a page in the folder
outputs/profile/SUITE. The same command goes on where it was cut off. Without a model: what is known already.
Runs share the cores of this machine; hydra/launcher=slurm, ray_local and others hand them to a cluster.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from seqlab.starting import Parser, started, starting

if __name__ == "__main__":
    starting()

from seqlab.cli import ending, tell
from seqlab.errors import Interrupted
from seqlab.files import at_home
from seqlab.output import take_any_text
from seqlab.places import CONF
from seqlab.run.forks import Takeover
from seqlab.run.launch import quiet_threads

SUITE = "quick"
LAUNCHER = ("hydra/launcher=", "hydra.launcher.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, run the suite and show the profile. In a fork: do a job. Returns the exit code."""
    take_any_text()
    quiet_threads()
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["--job"]:  # a process that one of our own has started
        return job(words[1])
    if words[:1] == ["--launch"]:  # another one
        from seqlab.profile.launched import launch

        return launch(words[1:])
    parser = Parser(prog="seqlab profile", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "overrides",
        nargs="*",
        help="model=NAME or variant=NAME, model.KEY=VALUE; "
        "hydra/launcher=NAME and hydra.launcher.KEY=VALUE to run on a cluster",
    )
    parser.add_argument("--suite", default=SUITE, help=f"the suite, see --list; default: {SUITE}")
    parser.add_argument("--model", metavar="A,B", help="several models or variants by their names")
    parser.add_argument("--compare", metavar="FILE.csv", type=at_home, action="append", default=[],
                        help="rows of somebody else beside ours, checked before")  # fmt: skip
    parser.add_argument("--out", type=at_home, metavar="DIR", help="default: outputs/profile/SUITE")
    parser.add_argument("--json", action="store_true", help="the rows as JSON in place of the table")
    parser.add_argument("--list", action="store_true", help="the suites, and the models with rows in this package")
    parser.add_argument("--config-dir", "-cd", metavar="DIR", help="additional folder of configurations, as for train")
    options = parser.parse_intermixed_args(words)
    started()
    try:
        try:
            return command(options)
        except Takeover as takeover:
            mine = takeover
        mine.begin()
        return main(mine.arguments)
    except (Exception, Interrupted, KeyboardInterrupt) as error:
        return tell(error, CONF)


def command(options: argparse.Namespace) -> int:
    """Do what the options say."""
    from seqlab.profile.models import models_of
    from seqlab.profile.show import list_suites, show_profile
    from seqlab.profile.suite import suite_named

    if options.list:
        list_suites(options.config_dir)
        return 0
    suite = suite_named(options.suite, options.config_dir)
    launcher = [text for text in options.overrides if text.lstrip("+").startswith(LAUNCHER)]
    overrides = [text for text in options.overrides if text not in launcher]
    models = models_of(overrides, options.model, options.config_dir)
    folder = options.out or Path("outputs") / "profile" / options.suite
    shown = (options.compare, options.json, options.config_dir, launcher)
    return show_profile(options.suite, suite, models, folder, *shown)


def job(text: str) -> int:
    """Do one job of a profile; what it prints goes to output.log in its directory. Returns the exit code."""
    from seqlab.profile.job import Work, carry_out, refused

    started()
    work = Work(**json.loads(text))
    directory = Path(work.directory)
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / "output.log", "a", encoding="utf-8") as log:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    try:
        carry_out(work)
    except (Exception, Interrupted, KeyboardInterrupt) as error:
        told = ending(error, CONF)
        if told is not None and told.code == 2:
            refused(directory, told.message.removeprefix("error: "))
        return tell(error, CONF)
    return 0


if __name__ == "__main__":
    sys.exit(main())
