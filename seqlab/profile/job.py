"""One run of a profile, in a process of its own: fits the model's size, trains, tests, and leaves profile.json."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from seqlab.check import check, located
from seqlab.errors import InputError
from seqlab.files import write_json
from seqlab.lit.checkpoints import version
from seqlab.places import CONF, cache_folder
from seqlab.profile.jobs import RESULT
from seqlab.profile.scores import Scale, scale_of
from seqlab.profile.sizes import Size, fitted
from seqlab.profile.suite import are_about
from seqlab.run.baselines import kept_in
from seqlab.run.build import configuration, construct, refusals
from seqlab.run.compose import plain_config
from seqlab.run.config import RunConfig, composed
from seqlab.run.directory import RunDirectory
from seqlab.run.launch import num_cores
from seqlab.run.overrides import readable_overrides, with_config_dir
from seqlab.run.train import train
from seqlab.run.values import key_of, placed
from seqlab.show.curves import read_metrics

BATCHES = 1000  # whose targets are counted: where each has a length of its own, the mean of 32 is off by a tenth


@dataclass(frozen=True)
class Work:
    """What a job does.

    overrides: of the run, the model's and the suite's.
    typed: those of the model, which keep the widths that they set.
    budget: number of parameters.
    metrics: of the test, that are read off.
    curve: the beginning of the names of metrics that are drawn.
    targets: the number of targets that training must see, about; 0: any.
    directory: of the run.
    config_dir: an additional folder of configurations.
    """

    overrides: Sequence[str]
    typed: Sequence[str]
    budget: int
    metrics: Sequence[str]
    curve: str
    targets: int
    directory: str
    config_dir: str | None = None

    @property
    def text(self) -> str:
        """As one word of a command line."""
        return json.dumps(asdict(self))


def carry_out(work: Work) -> None:
    """Do a job: train the run, or go on with it, and write its profile.json.

    Raises:
        InputError: the model does not fit the data, or refuses every size.
        Interrupted, NonFiniteError: training ended that way.
    """
    directory = RunDirectory(Path(work.directory))
    directory.path.mkdir(parents=True, exist_ok=True)
    plain = plain_config(work.overrides, CONF, work.config_dir)
    check(plain, configuration)
    data = construct(plain["data"])
    size = fitted(plain["model"], data.spec, work.budget, _own_keys(work.typed))
    with refusals(plain["task"]["_target_"]):
        task = construct(plain["task"], datamodule=data)
    targets = targets_of(task, data, plain["trainer"]["max_steps"])
    refuse_other_budget(targets, work.targets)
    words = [*work.overrides, *size.overrides, placed("hydra.run.dir", directory.path)]
    config = RunConfig.of(composed(readable_overrides(with_config_dir(words, work.config_dir), CONF), CONF))
    with kept_in(cache_folder() / "baselines"):
        summary = train(config, directory, in_sweep=True, quiet=True)
    losses = read_metrics(directory.metrics, ["val/loss"]).get("val/loss", [])
    write_json(
        directory.path / RESULT,
        {
            "parameters": summary["num_parameters"],
            "widths": _widths(size),
            "steps": summary["steps"],
            "targets": targets,
            "rate": plain["optimizer"].get("lr"),
            "seconds": summary["seconds"],
            "version": version(),
            "machine": machine(),
            "val_loss": min((value for _, value in losses), default=None),
            "measures": {name: measured(name, summary, plain["task"]["_target_"]) for name in work.metrics},
            "curve": curve(summary["metrics"], work.curve),
        },
    )


def targets_of(task: Any, data: Any, steps: int) -> int:
    """The number of targets in so many training batches, from the mean of the first 1,000."""
    counts = [task.num_targets(data.train_batch(step)) for step in range(BATCHES)]
    return round(sum(counts) / BATCHES * steps)


def refuse_other_budget(found: int, stated: int) -> None:
    """Raise InputError unless a number of targets is that which a cell states, within 5%; 0: it states none."""
    if stated and not are_about(found, stated):
        said = f"its data have {found:,} in its steps, as Task.num_targets counts"
        raise InputError(f"the cell states {stated:,} targets; {said}")


def refused(directory: Path, reason: str) -> None:
    """Leave the reason why a run could not begin."""
    write_json(directory / RESULT, {"reason": reason})


def _own_keys(overrides: Sequence[str]) -> set[str]:
    """The keys of the model's node that overrides set."""
    keys = (key_of(text) or "" for text in overrides)
    return {key.removeprefix("model.") for key in keys if key.startswith("model.")}


def _widths(size: Size) -> str:
    return " ".join(f"{key}={value}" for key, value in size.widths.items())


def measured(metric: str, summary: Mapping[str, Any], task: str) -> dict[str, Any]:
    """The value of a metric with its interval, its scale and its score; what is missing has a reason."""
    value = summary["metrics"].get(metric)
    if value is None:
        known = metric in summary["metrics"]
        return {"reason": f"the model has no value of {metric}" if known else f"the test has no metric {metric}"}
    found = {"value": value}
    if (interval := summary["intervals"].get(metric)) is not None:
        found |= {"low": interval[0], "high": interval[1]}
    kind: Any = located(task)
    better = summary["better"].get(metric)
    scale = scale_of(metric, summary["baselines"], optimal=kind.optimal, solvers=kind.solvers, better=better)
    if not isinstance(scale, Scale):
        return {**found, "reason": scale}
    ends = {"floor": scale.floor, "shortcut": scale.shortcut, "best": scale.best, "optimum": scale.optimum}
    return {**found, **ends, "score": scale.score(value)}


def curve(metrics: Mapping[str, float | None], prefix: str) -> str:
    """The metrics PREFIX/1, PREFIX/2 ... in one line: "1:0.5 2:0.25"."""
    found = {}
    for name, value in metrics.items():
        family, _, index = name.rpartition("/")
        if prefix and family == prefix and index.isdecimal() and value is not None:
            found[int(index)] = value
    return " ".join(f"{index}:{found[index]:.4g}" for index in sorted(found))


def machine() -> str:
    """What a run was computed on, in a few words."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.system()} {platform.machine()}, {num_cores()} cores, threads: {torch.get_num_threads()}"


def result_of(directory: Path) -> dict[str, Any] | None:
    """What a job has left; None if it has not ended well."""
    try:
        content = json.loads((directory / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
