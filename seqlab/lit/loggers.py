"""Lightning loggers for which a resumed run continues the same files as if it had not stopped."""

import csv
import hashlib
import io
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[attr-defined]
from torch import Tensor

from seqlab.errors import InputError
from seqlab.files import write_text
from seqlab.lit.hyperparameters import hyperparameters

METRICS = "metrics.csv"  # also in seqlab/run/directory.py, which this package may not import
Rows = list[dict[str, Any]]
FLUSH_EVERY = 100  # steps
MOST_BYTES = 200  # of the name of a folder; file systems allow 255
Layout = dict[str, dict[str, list[Any]]]  # category -> chart -> ["Multiline", tags as regular expressions]


class RunLogger:
    """Interface for logging more than rows of metrics. By default, texts and conclusions are ignored."""

    def choose(self, names: Collection[str]) -> None:
        """Say before training which metrics of validations and tests matter most. By default, all are logged."""

    def add_text(self, tag: str, markdown: str, step: int) -> None:
        """Log a text that the model generated after `step` steps."""

    def conclude(
        self, config: Mapping[str, Any], numbers: Mapping[str, float], figures: Mapping[str, Path], step: int
    ) -> None:
        """Log the configuration, test metrics and figures (PNG files) of a finished run."""


class MetricsFile(RunLogger, Logger):
    """Writes metrics.csv in the run directory: one row per call, one column per metric.

    Args:
        save_dir: the run directory.
        first_step: the number of steps already taken; existing rows of later steps are removed.
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
        """Empty: a run directory has one such file."""
        return ""

    @property
    def version(self) -> str:
        """Empty: a run directory has one such file."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run directory."""
        return str(self._folder)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: .hydra in the run directory has the configuration."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Buffer a row, without Lightning's epoch, which counts how often training was resumed."""
        now = step or 0
        row = {name: value.item() if isinstance(value, Tensor) else value for name, value in metrics.items()}
        row.pop("epoch", None)
        self._waiting.append({**row, "step": now})
        if now % FLUSH_EVERY == 0:
            self.save()

    @rank_zero_only
    def save(self) -> None:
        """Write the buffered rows. For a new column the file is rewritten atomically, so existing rows are safe."""
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
        """Write the remaining rows."""
        self.save()


def kept_rows(file: Path, first_step: int) -> Rows:
    """The rows of metrics.csv of the first so many steps.

    Raises:
        InputError: the file has no column `step`, or a cell that is no number.
    """
    kept = []
    try:
        for row in _rows(file) if file.exists() else ():
            _ = [float(str(cell)) for cell in row.values() if cell]
            if int(row["step"] or "") <= first_step:
                kept.append(row)
    except (KeyError, ValueError, csv.Error) as error:
        reason = "no column step" if isinstance(error, KeyError) else error
        raise InputError(f"{file}: {reason}; needed: a column step, and numbers or nothing elsewhere") from error
    return kept


def _rows(file: Path) -> Rows:
    with open(file, encoding="utf-8", newline="") as content:
        text = content.read()
    whole = text[: text.rfind("\n") + 1]  # a kill may have cut the last row short
    return list(csv.DictReader(io.StringIO(whole, newline="")))


def _write_rows(file: Path, rows: Rows, names: list[str]) -> None:
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, names, extrasaction="ignore")
    table.writeheader()
    table.writerows(rows)
    write_text(file, text.getvalue())


def folder_of(name: str) -> str:
    """A folder's name for a run's: at most MOST_BYTES.

    >>> folder_of("lstm lr=0.1"), len(folder_of(300 * "a"))
    ('lstm_lr=0_1', 200)
    """
    plain = re.sub(r"[^\w=-]", "_", name)
    if len(plain.encode()) <= MOST_BYTES:
        return plain
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{plain.encode()[: MOST_BYTES - 9].decode(errors='ignore')}-{digest}"


class TensorBoard(RunLogger, TensorBoardLogger):
    """Writes TensorBoard event files to tensorboard/RUN_NAME in the run directory: the metrics that matter most.

    metrics.csv has all. TensorBoard names a run by the path of its folder.

    Args:
        save_dir: the run directory.
        first_step: the number of steps already taken; TensorBoard discards later ones from existing event files.
        run_name: model, data and seed; other characters than letters, digits, - and = become _. Of one that is too long
            for a folder there is the beginning and a hash.
    """

    def __init__(self, *, save_dir: Path, first_step: int = 0, run_name: str = "run"):
        # purge_step is passed on to the SummaryWriter
        super().__init__(
            save_dir,
            name="tensorboard",
            version=folder_of(run_name),
            default_hp_metric=False,
            purge_step=first_step + 1,  # from 0 too: a run may have been killed before its first checkpoint
        )
        self._laid_out: Layout = {}
        self._chosen: Collection[str] | None = None

    def choose(self, names: Collection[str]) -> None:
        self._chosen = frozenset(names)

    def _is_chosen(self, name: str) -> bool:
        return self._chosen is None or name.startswith("train/") or name in self._chosen

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log the chosen scalars. For new names, also update the layout of the custom scalars tab."""
        metrics = {name: value for name, value in metrics.items() if self._is_chosen(name)}
        super().log_metrics(metrics, step)
        layout = custom_scalars(metrics)
        if any(charts.keys() - self._laid_out.get(title, {}).keys() for title, charts in layout.items()):
            for title, charts in layout.items():
                self._laid_out.setdefault(title, {}).update(charts)
            self.experiment.add_custom_scalars(self._laid_out)

    def add_text(self, tag: str, markdown: str, step: int) -> None:
        self.experiment.add_text(tag, markdown, step)

    def conclude(
        self, config: Mapping[str, Any], numbers: Mapping[str, float], figures: Mapping[str, Path], step: int
    ) -> None:
        shown = {name: number for name, number in numbers.items() if self._is_chosen(name)}
        self.log_hyperparams(hyperparameters(config), shown, step=step)
        for name, file in figures.items():
            with Image.open(file) as png:
                width, height = png.size
            # add_image would encode the pixels again
            image = Summary.Image(encoded_image_string=file.read_bytes(), width=width, height=height, colorspace=4)
            self.experiment.file_writer.add_summary(Summary(value=[Summary.Value(tag=name, image=image)]), step)


def custom_scalars(names: Iterable[str]) -> Layout:
    """Layout of TensorBoard's custom scalars: a chart of both losses, and one per validation group (val/GROUP/METRIC).

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
