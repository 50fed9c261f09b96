"""Logs rows, texts, test metrics and figures of a run to Weights & Biases, offline by default."""

import html
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger

from seqlab.files import write_text
from seqlab.lit.loggers import METRICS, RunLogger, kept_rows

STEP = "trainer/global_step"  # the x axis of all charts; Lightning's name


class WandB(RunLogger, WandbLogger):
    """Writes wandb/ in the run directory. `wandb sync RUN/wandb/offline-run-*` uploads an offline log.

    A resumed run keeps its id. Offline, it rewrites its file from the rows of metrics.csv up to the resumed step,
    because a file cut short by a kill cannot be continued. Online, wandb itself ignores steps that it already has.

    Args:
        save_dir: the run directory.
        first_step: the number of steps already taken; rows of later ones will be logged again.
        project: name of the project in wandb.
        mode: `offline` uses no network.

    Raises:
        ValueError: wandb is not installed.
    """

    def __init__(
        self,
        *,
        save_dir: Path,
        first_step: int = 0,
        project: str = "seqlab",
        mode: Literal["offline", "online"] = "offline",
    ):
        if mode == "offline":
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read when wandb is imported
        try:
            import wandb
        except ImportError as error:
            raise ValueError("logger=wandb needs the package wandb: pip install 'seqlab[wandb]'") from error
        settings = wandb.Settings(silent=True, console="off", disable_git=True, save_code=False)
        name = Path(save_dir).name
        super().__init__(project=project, name=name, save_dir=save_dir)
        self._folder = Path(save_dir)
        self._options = {"project": project, "name": name, "dir": str(save_dir), "mode": mode, "settings": settings}
        self._opened: Any = None
        self._first_step = first_step

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """wandb's run, opened on first use, so that a refused run leaves nothing."""
        if self._opened is None:
            self._opened = self._open()
            if self._options["mode"] == "offline":
                for row in kept_rows(self._folder / METRICS, self._first_step):
                    step = int(row.pop("step"))
                    self._log({name: float(text) for name, text in row.items() if text}, step)
        return self._opened

    def _log(self, content: Mapping[str, Any], step: int | None) -> None:
        """Log the content of a step, with the step under Lightning's name for the x axis."""
        self.experiment.log({**content, STEP: step}, step=step)

    def _open(self) -> Any:
        """Open wandb's run with the id of this run directory. (Lightning's call of wandb.init causes a warning.)"""
        import wandb

        if wandb.run is not None:  # left by an unfinished job of the same sweep
            wandb.finish(exit_code=1)
        folder = self._folder / "wandb"
        folder.mkdir(parents=True, exist_ok=True)
        note = folder / "run_id"
        if not note.exists():
            write_text(note, secrets.token_hex(4))
        name = note.read_text(encoding="utf-8").strip()
        offline = self._options["mode"] == "offline"
        if offline:
            for part in folder.glob(f"offline-run-*-{name}"):
                shutil.rmtree(part)
        run = wandb.init(**self._options, id=name, resume=None if offline else "allow")
        run.define_metric(STEP)
        run.define_metric("*", step_metric=STEP, step_sync=True)
        return run

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log a row without Lightning's epoch. wandb's own step is the optimizer step, so that it detects repeats."""
        self._log({name: value for name, value in metrics.items() if name != "epoch"}, step)

    def add_text(self, tag: str, markdown: str, step: int) -> None:
        import wandb

        text = wandb.Html(f"<pre>{html.escape(markdown)}</pre>", inject=False)
        self._log({tag: text}, step)

    def conclude(
        self, config: Mapping[str, Any], numbers: Mapping[str, float], figures: Mapping[str, Path], step: int
    ) -> None:
        import wandb

        self.log_hyperparams(dict(config))
        self._log({name: wandb.Image(str(file)) for name, file in figures.items()}, step)
        self.experiment.summary.update(dict(numbers))
        self.experiment.finish()

    def finalize(self, status: str) -> None:
        """End the run if training failed. After success, the evaluation still follows."""
        if status != "success" and self._opened is not None:
            self.experiment.finish(exit_code=1)
