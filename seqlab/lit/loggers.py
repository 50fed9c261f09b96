"""Lightning's loggers, where a run that is resumed goes on in the same files as if it had not stopped."""

import csv
import io
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from seqlab.files import write_text

Rows = list[dict[str, str]]


class MetricsFile(CSVLogger):
    """metrics.csv in the run directory.

    Args:
        save_dir: the run directory.
        first_step: rows of this step and later are cut: they come again.
    """

    def __init__(self, *, save_dir: Path, first_step: int = 0):
        super().__init__(save_dir, name="", version="")
        file = Path(save_dir) / "metrics.csv"
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
    with open(file, newline="") as content:
        text = content.read()
    whole, newline, _ = text.rpartition("\r\n")  # a kill may have cut the last row short
    return list(csv.DictReader(io.StringIO(whole + newline, newline="")))


def _write_rows(file: Path, rows: Rows, names: list[str]) -> None:
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, names, extrasaction="ignore")
    table.writeheader()
    table.writerows(rows)
    write_text(file, text.getvalue())


class TensorBoard(TensorBoardLogger):
    """Event files in tensorboard/ of the run directory.

    Args:
        save_dir: the run directory.
        first_step: TensorBoard forgets what earlier event files say of this step and later.
    """

    def __init__(self, *, save_dir: Path, first_step: int = 0):
        super().__init__(save_dir, name="tensorboard", version="", default_hp_metric=False)
        self._kwargs["purge_step"] = first_step or None  # of its SummaryWriter
