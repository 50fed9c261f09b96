"""Logs rows, texts, test metrics and figures of a run to MLflow, in a SQLite file or on a server."""

import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import MLFlowLogger

from seqlab.files import write_text
from seqlab.lit.hyperparameters import flattened
from seqlab.lit.loggers import RunLogger

SQLITE = "sqlite:///"
LONGEST_VALUE = 500  # MLflow's limit on the characters of a parameter


class MLflow(RunLogger, MLFlowLogger):
    """A run of an experiment in an MLflow store; `mlflow ui --backend-store-uri sqlite:///outputs/mlflow.db` shows all.

    A resumed run continues the same MLflow run. Steps that MLflow already has are not logged again.

    Args:
        save_dir: the run directory, which stores the id of the MLflow run.
        first_step: required of all loggers; unused, because MLflow knows its last step.
        experiment: name of the experiment in MLflow.
        uri: the store: sqlite:///FILE, or the address of a server.

    Raises:
        ValueError: MLflow is not installed.
    """

    def __init__(
        self,
        *,
        save_dir: Path,
        first_step: int = 0,
        experiment: str = "seqlab",
        uri: str = f"{SQLITE}outputs/mlflow.db",
    ):
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # mlflow reads both on import
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        try:
            import mlflow  # noqa: F401
            import sqlalchemy  # noqa: F401
        except ImportError as error:
            raise ValueError("logger=mlflow needs the package mlflow-skinny: pip install 'seqlab[mlflow]'") from error
        self._note = Path(save_dir) / "mlflow_run_id"
        begun = self._note.read_text(encoding="utf-8").strip() if self._note.exists() else None
        super().__init__(experiment, run_name=Path(save_dir).name, tracking_uri=uri, run_id=begun)
        self._title, self._uri, self._begun = experiment, uri, begun
        self._reached: dict[str, int] = {}
        self._opened = False

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """MLflow's client. The run is opened on first use, so that a refused run leaves nothing."""
        if not self._opened:
            self._prepare()
            self._opened = True
            write_text(self._note, str(self.run_id))
        return super().experiment

    def _prepare(self) -> None:
        """Create the store if it is missing, and find the MLflow run of a resumed run."""
        logging.getLogger("alembic").setLevel(logging.WARNING)  # notices about the tables of a new store
        from mlflow import MlflowClient

        client, artifacts = MlflowClient(self._uri), None
        if self._uri.startswith(SQLITE):
            folder = Path(self._uri.removeprefix(SQLITE)).resolve().parent
            folder.mkdir(parents=True, exist_ok=True)
            artifacts = (folder / "mlflow_artifacts").as_uri()
        if client.get_experiment_by_name(self._title) is None:
            from mlflow.exceptions import MlflowException

            with suppress(MlflowException):  # another process has created it
                client.create_experiment(self._title, artifact_location=artifacts)
        if self._begun is not None:
            client.update_run(self._begun, status="RUNNING")
            for name in client.get_run(self._begun).data.metrics:
                self._reached[name] = max(point.step for point in client.get_metric_history(self._begun, name))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log a row without Lightning's epoch, and without steps logged before a resume."""
        _ = self.experiment  # sets self._reached
        now = step or 0
        new = {name: v for name, v in metrics.items() if name != "epoch" and now > self._reached.get(name, -1)}
        if new:
            super().log_metrics(new, step)

    def add_text(self, tag: str, markdown: str, step: int) -> None:
        self.experiment.log_text(self.run_id, markdown, f"{tag}/{step:06d}.md")

    def conclude(
        self, config: Mapping[str, Any], numbers: Mapping[str, float], figures: Mapping[str, Path], step: int
    ) -> None:
        there = self.experiment.get_run(self.run_id).data.params  # MLflow parameters cannot change; max_steps may have
        new = {key: str(value)[:LONGEST_VALUE] for key, value in flattened(config).items() if key not in there}
        self.log_hyperparams(new)
        self.log_metrics(dict(numbers), step)
        for file in figures.values():
            self.experiment.log_artifact(self.run_id, str(file))
