"""Lightning's loggers, where a run that is resumed goes on in the same files as if it had not stopped."""

import csv
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from matplotlib.figure import Figure
from torch import Tensor

from seqlab.files import write_text
from seqlab.lit.hyperparameters import hyperparameters

METRICS = "metrics.csv"  # seqlab/run/directory.py has it too, which nothing here may import
Rows = list[dict[str, Any]]
FLUSH_EVERY = 100  # steps
Layout = dict[str, dict[str, list[Any]]]  # category -> chart -> ["Multiline", tags as regular expressions]


class RunLogger:
    """What a logger of this project may take beside rows of metrics; one that has no place for it leaves it."""

    def add_text(self, tag: str, markdown: str, step: int) -> None:
        """A text that the model made when it had `step` steps behind it."""

    def conclude(
        self, config: Mapping[str, Any], numbers: Mapping[str, float], figures: Mapping[str, Figure], step: int
    ) -> None:
        """The configuration of a finished run, its test metrics and its figures."""


class MetricsFile(RunLogger, Logger):
    """metrics.csv in the run directory: a row for each call, a column for each metric.

    Args:
        save_dir: the run directory.
        first_step: rows of this step and later are cut: they come again.
    """

    def __init__(self, *, save_dir: Path, first_step: int = 0):
        super().__init__()
        self._folder = Path(save_dir)
        self._file = self._folder / METRICS
        self._waiting: Rows = []
        rows = kept_rows(self._file, first_step)
        self._file.unlink(missing_ok=True)
        self._names = sorted({name for row in rows for name, text in row.items() if text})
        if rows:
            _write_rows(self._file, rows, self._names)

    @property
    def name(self) -> str:
        """None: a run directory has one such file."""
        return ""

    @property
    def version(self) -> str:
        """None, likewise."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run directory."""
        return str(self._folder)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: .hydra in the run directory has the configuration."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """A row; without Lightning's epoch, which counts how often training was taken up."""
        now = step or 0
        row = {name: value.item() if isinstance(value, Tensor) else value for name, value in metrics.items()}
        row.pop("epoch", None)
        self._waiting.append({**row, "step": now})
        if (now + 1) % FLUSH_EVERY == 0:
            self.save()

    @rank_zero_only
    def save(self) -> None:
        """Write the rows that wait. A new column does not put those at risk that are there."""
        if not self._waiting:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        names = sorted({*self._names, *(name for row in self._waiting for name in row)})
        if names != self._names:
            _write_rows(self._file, _rows(self._file) if self._file.exists() else [], names)
            self._names = names
        with open(self._file, "a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, names).writerows(self._waiting)
        self._waiting = []

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write what still waits."""
        self.save()


def kept_rows(file: Path, first_step: int) -> Rows:
    """The rows of a metrics.csv before a step."""
    return [row for row in _rows(file) if int(row["step"]) < first_step] if file.exists() else []


def _rows(file: Path) -> Rows:
    with open(file, encoding="utf-8", newline="") as content:
        text = content.read()
    whole, newline, _ = text.rpartition("\r\n")  # a kill may have cut the last row short
    return list(csv.DictReader(io.StringIO(whole + newline, newline="")))


def _write_rows(file: Path, rows: Rows, names: list[str]) -> None:
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, names, extrasaction="ignore")
    table.writeheader()
    table.writerows(rows)
    write_text(file, text.getvalue())


class TensorBoard(RunLogger, TensorBoardLogger):
    """Event files in tensorboard/ of the run directory.

    Args:
        save_dir: the run directory.
        first_step: TensorBoard forgets what earlier event files say of this step and later.
    """

    def __init__(self, *, save_dir: Path, first_step: int = 0):
        # the last of these is handed to its SummaryWriter
        super().__init__(
            save_dir, name="tensorboard", version="", default_hp_metric=False, purge_step=first_step or None
        )
        self._laid_out: Layout = {}

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Scalars, and once there are new ones, where the tab of custom scalars shows them."""
        super().log_metrics(metrics, step)
        layout = custom_scalars(metrics)
        if any(charts.keys() - self._laid_out.get(title, {}).keys() for title, charts in layout.items()):
            for title, charts in layout.items():
                self._laid_out.setdefault(title, {}).update(charts)
            self.experiment.add_custom_scalars(self._laid_out)

    def add_text(self, tag: str, markdown: str, step: int) -> None:
        self.experiment.add_text(tag, markdown, step)

    def conclude(
        self, config: Mapping[str, Any], numbers: Mapping[str, float], figures: Mapping[str, Figure], step: int
    ) -> None:
        self.log_hyperparams(hyperparameters(config), dict(numbers), step=step)
        for name, figure in figures.items():
            self.experiment.add_figure(name, figure, step)


def custom_scalars(names: Iterable[str]) -> Layout:
    """A chart of both losses, and for each group of validation metrics (val/GROUP/METRIC) one with all of them.

    >>> custom_scalars(["val/loss", "val/ood/rule_1"])
    {'loss': {'loss': ['Multiline', ['(train|val)/loss$']]}, 'validation': {'ood': ['Multiline', ['val/ood/[^/]+$']]}}
    """
    layout: Layout = {}
    for stage, *group, metric in (name.split("/") for name in names if "/" in name):
        if stage in ("train", "val") and not group and metric == "loss":
            layout["loss"] = {"loss": ["Multiline", ["(train|val)/loss$"]]}
        elif stage == "val" and group:
            tags = f"val/{re.escape('/'.join(group))}/[^/]+$"
            layout.setdefault("validation", {})["/".join(group)] = ["Multiline", [tags]]
    return layout
