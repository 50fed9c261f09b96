"""Lightning's loggers, where a run that is resumed goes on in the same files as if it had not stopped."""

import csv
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from matplotlib.figure import Figure

from seqlab.files import write_text
from seqlab.lit.hyperparameters import hyperparameters

METRICS = "metrics.csv"  # Lightning's name for it; seqlab/run/directory.py has it too, which nothing here may import
Rows = list[dict[str, str]]
Layout = dict[str, dict[str, list[Any]]]  # category -> chart -> ["Multiline", tags as regular expressions]


class RunLogger:
    """What a logger of this project may take beside rows of metrics; one that has no place for it leaves it."""

    def add_text(self, tag: str, markdown: str, step: int) -> None:
        """A text that the model made when it had `step` steps behind it."""

    def conclude(
        self, config: Mapping[str, Any], numbers: Mapping[str, float], figures: Mapping[str, Figure], step: int
    ) -> None:
        """The configuration of a finished run, its test metrics and its figures."""


class MetricsFile(RunLogger, CSVLogger):
    """metrics.csv in the run directory.

    Args:
        save_dir: the run directory.
        first_step: rows of this step and later are cut: they come again.
    """

    def __init__(self, *, save_dir: Path, first_step: int = 0):
        super().__init__(save_dir, name="", version="")
        file = Path(save_dir) / METRICS
        rows = kept_rows(file, first_step)
        file.unlink(missing_ok=True)
        self._experiment = _Writer(str(save_dir))
        if rows:
            self._experiment.metrics_keys = sorted({name for row in rows for name, text in row.items() if text})
            _write_rows(file, rows, self._experiment.metrics_keys)

    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:  # type: ignore[override]
        """A row; without Lightning's epoch, which counts how often training was taken up."""
        super().log_metrics({name: value for name, value in metrics.items() if name != "epoch"}, step)


class _Writer(ExperimentWriter):
    """Lightning's, but a new column does not put the rows that are there at risk."""

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        file = Path(self.metrics_file_path)
        _write_rows(file, _rows(file), fieldnames)

    def _check_log_dir_exists(self) -> None:
        """A run directory is never empty here, and what is in it was dealt with."""


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
        super().__init__(save_dir, name="tensorboard", version="", default_hp_metric=False)
        self._kwargs["purge_step"] = first_step or None  # of its SummaryWriter
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
