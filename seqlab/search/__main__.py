"""Hyperparameter search: seqlab search lstm_lr

NAME is conf/search/NAME.yaml, or the path of another such file. Overrides search.KEY=VALUE change the search
(search.num_trials=30, search.seed=2, search.dir=DIR). Other overrides apply to every run (data=L4).
The same command again resumes an interrupted study; a larger search.num_trials adds trials to it.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqlab.starting import Parser, started, starting

if __name__ == "__main__":
    starting()

from seqlab import plugins
from seqlab.cli import tell
from seqlab.errors import InputError, Interrupted, nearest
from seqlab.files import at_home, write_json
from seqlab.output import take_any_text
from seqlab.places import CONF
from seqlab.run.config import differences, folder_name
from seqlab.run.directory import RunDirectory
from seqlab.run.overrides import with_config_dir
from seqlab.run.values import text_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, run the search and return the exit code."""
    take_any_text()
    parser = Parser(prog="seqlab search", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", default="", help="a name in conf/search, or a YAML file")
    parser.add_argument("overrides", nargs="*", default=[], help="search.KEY=VALUE, or KEY=VALUE as for train")
    parser.add_argument("--config-dir", "-cd", metavar="DIR", help="additional folder of configurations, as for train")
    options = parser.parse_intermixed_args(arguments)
    try:
        return search(options.name, with_config_dir(options.overrides, options.config_dir))
    except (Exception, KeyboardInterrupt) as error:
        return tell(error, CONF)


def search(name: str, overrides: Sequence[str]) -> int:
    """Run a study, confirm and write its results. Returns the exit code, which is 1 if no trial succeeded."""
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise InputError("seqlab.search needs Optuna: pip install 'seqlab[search]'") from error
    from seqlab.search.confirm import confirmed
    from seqlab.search.plan import defaults, read_plan
    from seqlab.search.results import write_results
    from seqlab.search.study import carry_out, refuse_foreign, storage, stored

    started()

    file = plan_file(name)
    places = [text_of(text) for text in overrides if text.startswith("search.dir=")]
    plan = read_plan(file, [text for text in overrides if not text.startswith("search.dir=")])
    first = defaults(plan, CONF)
    folder = at_home(places[-1]) if places else Path("outputs/search") / folder_name(file.stem, plan.digest())
    folder.mkdir(parents=True, exist_ok=True)
    with RunDirectory(folder).claimed(), storage(folder):
        note = folder / "plan.json"
        now = json.loads(json.dumps(plan.deciding()))
        if note.exists() and (changed := differences(noted(note), now)):
            raise InputError(f"{folder} holds another study: {'; '.join(changed)}")
        write_json(note, now)
        study = stored(folder, file.stem)
        refuse_foreign(study, plan)
        try:
            carry_out(study, plan, first, folder)
            trials = study.trials[: plan.num_trials]  # a study may have more of an earlier command
            comparison = confirmed(trials, plan, folder)
        except Interrupted as stop:
            print(f"interrupted: {stop}; the same command resumes from here", file=sys.stderr)
            return 128 + stop.signum
        write_results(study.study_name, trials, plan, comparison, folder)
        return 0 if any(trial.value is not None for trial in trials) else 1


def noted(file: Path) -> dict[str, Any]:
    """Read plan.json of a study. Raises InputError if it cannot be read."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{file} is not the plan of a study")
    return content


def plan_file(name: str) -> Path:
    """The YAML file of a search. Raises InputError if there is no search of that name."""
    if name.endswith((".yaml", ".yml")):
        return at_home(name)
    files = {file.stem: file for folder in (*plugins.folders(), CONF) for file in (folder / "search").glob("*.yaml")}
    if name not in files:
        raise InputError(f"{name or 'no name'}: no such search; {nearest(name, files)}")
    return files[name]


if __name__ == "__main__":
    sys.exit(main())
