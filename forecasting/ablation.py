"""What each technique of the deep LSTM is worth: python -m forecasting.ablation outputs/ablation --out FILE

Runs experiment=deep_lstm_ablation with each technique off, one at a time, from the full model, and on, one at a time,
from the plain one, three seeds each; then writes the table. Runs that are finished are not run again, so that the same
command goes on where it was cut off. --table makes the table of what is there and runs nothing.
"""

import argparse
import json
import runpy
import shutil
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from seqlab.starting import Parser, started, starting

if __name__ == "__main__":
    starting()

from scipy.stats import t as student

from seqlab.cli import tell
from seqlab.files import write_text
from seqlab.output import take_any_text

RUN = Path(__file__).parents[1] / "run.py"
SEEDS = (1, 2, 3)

PLAIN = {
    "model.bias_init": "torch",
    "model.weight_init": "torch",
    "model.skip_every": "0",
    "model.layer_norm": "false",
    "model.dropout": "0",
    "optimizer.weight_decay": "0",
    "schedule": "constant",
    "clipping": "fixed",
}
CLIP_FIXED = {"clipping": "fixed", "trainer.gradient_clip": "1.0"}


class Technique(NamedTuple):
    """Overrides that take a technique out of the full model, and that put it into the plain one."""

    off: Mapping[str, str]
    on: Mapping[str, str]
    needs_depth: bool = False


TECHNIQUES = {
    "forget-gate bias 1": Technique({"model.bias_init": "torch"}, {"model.bias_init": "forget"}),
    # the full model has bias 1: chrono stands in its place
    "chrono in its place": Technique({"model.bias_init": "chrono"}, {"model.bias_init": "chrono"}),
    "orthogonal and Glorot weights": Technique({"model.weight_init": "torch"}, {"model.weight_init": "orthogonal"}),
    "skip connections": Technique({"model.skip_every": "0"}, {"model.skip_every": "2"}, needs_depth=True),
    "layer norm": Technique({"model.layer_norm": "false"}, {"model.layer_norm": "true"}, needs_depth=True),
    "dropout 0.2": Technique({"model.dropout": "0"}, {"model.dropout": "0.2"}),
    "weight decay 0.01": Technique({"optimizer.weight_decay": "0"}, {"optimizer.weight_decay": "0.01"}),
    "warm restarts": Technique({"schedule": "constant"}, {"schedule": "warm_restarts"}),
    "adaptive clipping": Technique(CLIP_FIXED, {"clipping": "adaptive", "trainer.gradient_clip": "null"}),
    "depth 1": Technique({"model.num_layers": "1"}, {"model.num_layers": "1"}, needs_depth=True),
    "depth 3": Technique({"model.num_layers": "3"}, {"model.num_layers": "3"}, needs_depth=True),
}


class Task(NamedTuple):
    """What the variants are trained on, and what is compared (lower is better)."""

    title: str
    overrides: Mapping[str, str]
    metric: str
    baseline: str
    deep: bool = True


TASKS = {
    "sunspots": Task(
        "yearly sunspots, 11 from 33 years, 5 layers, 200 training steps",
        {"data": "series", "data.name": "sunspots", "data.batch_size": "32", "trainer.max_steps": "200",
         "trainer.val_every": "50", "trainer.log_every": "10"},
        "test/mae",
        "ridge",
    ),
    "adding_1": Task(
        "adding, 100 steps, 1 layer, 1,200 training steps",
        {"data": "adding", "model.num_layers": "1"},
        "test/mse",
        "always 1",
        deep=False,
    ),
    "adding_5": Task(
        "adding, 50 steps, 5 layers, 400 training steps",
        {"data": "adding", "data.length": "50", "trainer.max_steps": "400", "trainer.val_every": "100"},
        "test/mse",
        "always 1",
    ),
}  # fmt: skip


def variants(task: Task) -> dict[str, dict[str, str]]:
    """{name: overrides} of every model that a task compares."""
    plain = PLAIN | {"trainer.gradient_clip": "1.0"}
    found = {"full": {}, "plain": plain}
    for name, technique in TECHNIQUES.items():
        if task.deep or not technique.needs_depth:
            found[f"full: {name}"] = dict(technique.off)
            found[f"plain: {name}"] = {**plain, **technique.on}
    return found


class Job(NamedTuple):
    """One run."""

    task: str
    variant: str
    seed: int
    overrides: Mapping[str, str]

    def folder(self, root: Path) -> Path:
        """Where it belongs."""
        return root / self.task / self.variant.replace(": ", "_").replace(" ", "_").replace(",", "") / str(self.seed)


def jobs() -> Iterator[Job]:
    """All runs, a task after the other and in it seed by seed, so that a sweep that is cut off has whole seeds."""
    for name, task in TASKS.items():
        for seed in SEEDS:
            for variant, overrides in variants(task).items():
                yield Job(name, variant, seed, {**task.overrides, **overrides})


def metrics_of(folder: Path) -> dict[str, Any] | None:
    """The summary of a run that has ended, None for others."""
    file = folder / "summary.json"
    summary = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"metrics": {}}
    return summary if summary["metrics"] else None


def run(root: Path) -> None:
    """Do all runs that are not finished.

    Raises:
        SystemExit: with the code of a run that failed.
    """
    for job in jobs():
        folder = job.folder(root)
        if metrics_of(folder):
            continue
        shutil.rmtree(folder, ignore_errors=True)  # half a run
        words = [f"{key}={value}" for key, value in job.overrides.items()]
        label = f"name.model='{job.variant}'"
        sys.argv = [
            "run.py",
            "experiment=deep_lstm_ablation",
            *words,
            f"seed={job.seed}",
            label,
            f"hydra.run.dir={folder}",
        ]
        try:
            runpy.run_path(str(RUN), run_name="__main__")
        except SystemExit as end:
            if end.code:
                raise


class Effect(NamedTuple):
    """The mean difference between pairs of runs that share a seed, with its 95% interval by Student's t."""

    mean: float
    low: float
    high: float


def effect(after: Sequence[float], before: Sequence[float]) -> Effect:
    """Of going from `before` to `after`, seed by seed.

    >>> [round(number, 3) for number in effect([1.0, 2.0, 3.0], [2.0, 3.5, 5.0])]
    [-1.5, -2.742, -0.258]
    """
    differences = [a - b for a, b in zip(after, before, strict=True)]
    mean = statistics.mean(differences)
    if len(differences) < 2:
        return Effect(mean, float("nan"), float("nan"))
    half = float(student.ppf(0.975, len(differences) - 1)) * statistics.stdev(differences) / len(differences) ** 0.5
    return Effect(mean, mean - half, mean + half)


HEAD = """Changed: the full model without the technique, the plain one with it; chrono gates and the two depths stand in
the place of bias 1 and of five layers in both. Effect: of having the technique, with Student's 95% interval over pairs
of one seed; below 0 it helps.
"""


def table(root: Path) -> str:
    """Markdown: for each task the two ends, and each technique's effect from both."""
    parts = [HEAD]
    for name, task in TASKS.items():
        found = {
            variant: {job.seed: summary for job in jobs() if (job.task, job.variant) == (name, variant)
                      and (summary := metrics_of(job.folder(root)))}
            for variant in variants(task)
        }  # fmt: skip
        if found["full"] and found["plain"]:
            parts.append(_task_table(task, found))
    return "\n".join(parts)


def _task_table(task: Task, found: Mapping[str, Mapping[int, dict[str, Any]]]) -> str:
    def values(variant: str, seeds: Sequence[int]) -> list[float]:
        return [found[variant][seed]["metrics"][task.metric] for seed in seeds]

    def shown(variant: str) -> str:
        measured = values(variant, sorted(found[variant]))
        spread = f" ± {statistics.stdev(measured):.3g}" if len(measured) > 1 else ""
        return f"{statistics.mean(measured):.3g}{spread} ({len(measured)})"

    first = next(iter(found["full"].values()))
    value = first["baselines"][task.baseline][task.metric]
    baseline = f"{task.baseline} {'-' if value is None else format(value, '.3g')}"
    lines = [
        f"**{task.title}**: {task.metric}, mean ± standard deviation (seeds). Full {shown('full')}, plain "
        f"{shown('plain')}; {baseline}.",
        "",
        "| technique | full, changed | effect | plain, changed | effect |",
        "|---|---|---|---|---|",
    ]
    for technique in TECHNIQUES:
        ends = {end: f"{end}: {technique}" for end in ("full", "plain")}
        if any(not found.get(variant) for variant in ends.values()):
            continue
        cells = [technique]
        for end, variant in ends.items():
            seeds = sorted(found[variant].keys() & found[end].keys())
            pair = (values(end, seeds), values(variant, seeds))
            change = (
                effect(*pair)
                if end == "full" and not technique.startswith(("depth", "chrono"))
                else effect(*pair[::-1])
            )
            interval = f"{change.low:+.3g} to {change.high:+.3g}" if len(seeds) > 1 else "one seed"
            cells += [shown(variant), f"{change.mean:+.3g} ({interval})"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, print the table; returns the exit code."""
    take_any_text()
    parser = Parser(
        prog="python -m forecasting.ablation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the runs go")
    parser.add_argument("--out", type=Path, help="a file that gets the table")
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args(arguments)
    started()
    try:
        if not options.table:
            run(options.folder.absolute())
        text = table(options.folder)
        print(text)
        if options.out:
            options.out.parent.mkdir(parents=True, exist_ok=True)
            write_text(options.out, text)
    except (Exception, KeyboardInterrupt) as error:
        return tell(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
