"""Check a model against the contract: seqlab check model=mymodel [data=L5] [key=value ...]

The contract is that of seqlab/model.py: no output sees the future, steps give what whole sequences give, rows do not
mix, every parameter learns. A failed check is shown with what was measured and the likely cause. Without data=NAME the
model also reads real vectors, and is tried on every data set: one batch, forward and backward. Exit code 1 if a check
failed.
"""

import argparse
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from seqlab.starting import Parser, started, starting

if __name__ == "__main__":
    starting()

from seqlab.cli import tell
from seqlab.files import at_home
from seqlab.output import take_any_text
from seqlab.places import CONF

if TYPE_CHECKING:
    from seqlab.contract.measure import Outcome
    from seqlab.model import SequenceModel
    from seqlab.run.build import Run

FEWEST_STEPS = 4
BATCH_SIZE = 4  # of the batch that a data set is tried with

Row = tuple[str, "Outcome"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, print a table for each part and return the exit code."""
    take_any_text()
    parser = Parser(prog="seqlab check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="as run.py takes them: model=lstm data=L5 model.num_layers=2")
    parser.add_argument("--config-dir", "-cd", metavar="DIR", help="additional folder of configurations, as for run.py")
    options = parser.parse_intermixed_args(arguments)
    try:
        passed = verify(options.overrides, options.config_dir)
    except (Exception, KeyboardInterrupt) as error:
        return tell(error, CONF)
    return 0 if passed else 1


def verify(overrides: Sequence[str], config_dir: str | None = None) -> bool:
    """Check the model that some overrides describe; print what each check measured. Whether all have passed.

    Raises:
        HydraException, InputError: for invalid overrides, or a model that is no sequence model.
    """
    from seqlab import plugins
    from seqlab.errors import InputError
    from seqlab.model import SequenceModel
    from seqlab.run.build import build, construct
    from seqlab.run.compose import plain_config
    from seqlab.run.keys import groups
    from seqlab.run.values import key_of
    from seqlab.spec import Spec, Values, Vectors

    started()
    config = plain_config(overrides, CONF, config_dir)
    run = build(config)
    name, data, spec = config["name"]["model"], config["name"]["data"], run.datamodule.spec
    if not isinstance(run.model, SequenceModel):
        raise InputError(f"model={name} is a {type(run.model).__name__}, not a SequenceModel (seqlab/model.py)")
    if spec.max_length < FEWEST_STEPS:
        raise InputError(f"data={data} has {spec.max_length} steps; at least {FEWEST_STEPS} are needed")

    def maker(spec: Spec) -> "Callable[[], SequenceModel]":
        return lambda: construct(config["model"], spec=spec)

    debug = config["debug"]
    passed = show(f"{name} on inputs like those of data={data}", contract(maker(spec)), debug=debug)
    if any(key_of(word) == "data" for word in overrides):
        return show(f"{name} trains", [tried(data, lambda: run)], debug=debug) and passed
    vectors = Spec(Vectors(3), Values(2), max_length=spec.max_length)
    passed &= show(f"{name} on real vectors", contract(maker(vectors)), debug=debug)
    names = groups([CONF, *plugins.folders(), *([at_home(config_dir)] if config_dir else [])])["data"]

    def run_on(data: str) -> "Run":
        config = plain_config([*overrides, f"data={data}"], CONF, config_dir)
        if "batch_size" in config["data"]:
            config["data"]["batch_size"] = BATCH_SIZE
        return build(config)

    each_data = [tried(each, lambda each=each: run_on(each)) for each in names]
    return show(f"{name} on each data set", each_data, debug=debug) and passed


def contract(make: "Callable[[], SequenceModel]") -> list[Row]:
    """The outcome of each check. A Spec that the constructor refuses is no failure."""
    from seqlab.contract import outcomes
    from seqlab.contract.measure import Outcome, subject_of
    from seqlab.errors import InputError

    try:
        subject = subject_of(make)
    except InputError as error:
        return [("construction", Outcome(True, f"refused: {error}"))]
    return list(outcomes(subject))


def tried(data: str, make_run: "Callable[[], Run]") -> Row:
    """The loss of one batch of a data set, and its gradient. A pair that is refused in one line is no failure."""
    from seqlab.contract.measure import Outcome
    from seqlab.errors import InputError

    cause = "the model does not fit what Spec says of these inputs and outputs; it may refuse them by a ValueError"
    try:
        run = make_run()
        run.task.prepare()
        loss: Any = run.task.loss(run.model, run.datamodule.train_batch(0))
        loss.backward()
    except InputError as error:
        return data, Outcome(True, f"refused: {error}")
    except Exception as error:  # a model can raise anything
        reason = (str(error).strip() or "without a message").splitlines()[0]
        return data, Outcome(False, f"{type(error).__name__}: {reason}", cause, error)
    return data, Outcome(bool(loss.isfinite()), f"loss {loss.item():.3f}", "a loss that is not finite")


def raised_at(error: Exception) -> str:
    """The line of the model's own code that an error comes from: the last one outside torch, Python and this project.

    Empty where there is none, as for our own models.
    """
    from seqlab.check import PACKAGES

    others = {"torch", *PACKAGES, *sys.stdlib_module_names}
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if frame.f_globals.get("__name__", "").partition(".")[0] not in others:
            return f"{frame.f_code.co_filename}:{line}, in {frame.f_code.co_name}"
    return ""


def show(title: str, rows: Iterable[Row], *, debug: bool) -> bool:
    """Print a table of outcomes, with the likely causes below it, each once. Whether all have passed.

    Args:
        title: of the table.
        rows: the outcomes by name.
        debug: print the traceback of each error too, on stderr.
    """
    from rich.text import Text

    from seqlab.show import layout

    rows = list(rows)
    cells, alike, errors = [], dict[str, list[str]](), dict[str, Exception]()
    for name, outcome in rows:
        measured = outcome.measured
        if not outcome.passed:
            place = raised_at(outcome.error) if outcome.error else ""
            reason = f"The model raises this at {place}" if place else f"Likely: {outcome.cause}"
            if place and reason in alike:
                measured = "an error at the same line"
            elif outcome.error:
                errors.setdefault(reason, outcome.error)
            alike.setdefault(reason, []).append(name)
        cells.append([name, Text("passed") if outcome.passed else Text("FAILED", "bold red"), measured])
    columns = [layout.Column("check", "name"), layout.Column("", "text"), layout.Column("measured", "text")]
    notes = [f"{', '.join(names)} failed. {reason}." for reason, names in alike.items()]
    if errors and not debug:
        notes.append("debug=true adds the traceback.")
    if len(alike) > 1:
        notes.append("The first one may be why others failed: mend it first.")
    failed = sum(map(len, alike.values()))
    notes.append(f"{len(rows) - failed} of {len(rows)} passed")
    layout.show(layout.Sheet(columns, [cells], title=title, notes=notes))
    print(flush=True)
    for error in errors.values() if debug else ():
        traceback.print_exception(error)
    return not failed


if __name__ == "__main__":
    sys.exit(main())
