"""One run from a configuration to a complete run directory: train, evaluate, compare, report."""

import platform
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import lightning
import torch
from hydra.core.hydra_config import HydraConfig
from lightning import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import DictConfig, OmegaConf

from seqlab.errors import InputError, Interrupted, NonFiniteError
from seqlab.lit.checkpoints import load_checkpoint
from seqlab.lit.module import Results
from seqlab.lit.trainer import build_evaluator
from seqlab.model import num_parameters
from seqlab.report.bars import result_bars
from seqlab.report.curves import learning_curves, read_metrics, spread_of_last_checks
from seqlab.report.table import print_table
from seqlab.runs import Run, build, construct, write_json, write_jsonl, write_text
from seqlab.share import Share, value_of


def train(config: DictConfig) -> dict[str, Any]:
    """Run a resolved job in Hydra's output directory; returns the summary that it also writes.

    Raises:
        InputError: for a configuration that cannot work, before anything runs; the new directory is removed again.
        Interrupted, NonFiniteError: when training ends that way, with checkpoints and summary written.
    """
    run_dir = Path(HydraConfig.get().runtime.output_dir)
    try:
        refuse_used(run_dir)
        run = build(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]
        run.task.before_training()
        loggers = [construct(node, save_dir=run_dir) for node in run.config["logger"].values()]
        trainer: Trainer = construct(run.config["trainer"], run_dir=run_dir, loggers=loggers)
    except BaseException:
        remove_if_new(run_dir)
        raise
    if run.config["compile"]:
        run.model.compile()
    for name, text in run.task.files().items():
        write_text(run_dir / name, text)
    summary = opening(run)
    print(f"{run.task.title()} | {summary['model']}, {summary['num_parameters']:,} parameters | {run_dir}")
    started = time.monotonic()
    try:
        trainer.fit(run.task, datamodule=run.datamodule)
        summary["stopped"] = "max_steps" if trainer.global_step >= trainer.max_steps else "early"
    except Interrupted:
        summary["stopped"] = "interrupted"
        raise
    except NonFiniteError:
        summary["stopped"] = "not_finite"
        raise
    finally:
        summary |= {"steps": trainer.global_step, "seconds": round(time.monotonic() - started, 1)}
        write_json(run_dir / "summary.json", summary)
    finish(run, trainer, summary, run_dir)
    return summary


def refuse_used(run_dir: Path) -> None:
    """Raise InputError where another run has its files."""
    used = [name for name in ("summary.json", "checkpoints", "metrics.csv") if (run_dir / name).exists()]
    if used:
        raise InputError(f"{run_dir} already holds a run ({used[0]}): give another hydra.run.dir, or remove it")


def remove_if_new(run_dir: Path) -> None:
    """Remove a run directory that holds no more than what Hydra puts there before a job starts."""
    if {path.name for path in run_dir.iterdir()} <= {".hydra", "run.log"}:
        shutil.rmtree(run_dir)


def opening(run: Run) -> dict[str, Any]:
    """The part of a summary that is known before training."""
    return {
        **run.config["name"],
        **run.task.names(),
        "description": run.task.title(),
        "seed": run.config["seed"],
        "num_parameters": num_parameters(run.model),
        "columns": dict(run.task.columns),
        "steps": 0,
        "seconds": 0.0,
        "best_step": None,
        "stopped": "running",
        "metrics": {},
        "intervals": {},
        "counts": {},
        "baselines": {},
        "last_five_checks": {},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "lightning": lightning.__version__,
            "threads": torch.get_num_threads(),
        },
    }


def finish(run: Run, trainer: Trainer, summary: dict[str, Any], run_dir: Path) -> None:
    """Evaluate the best and the last checkpoint beside the baselines; write and print everything."""
    results: dict[str, Share | float] = {}
    summary["best_step"] = load_checkpoint(run_dir / "checkpoints" / "best.ckpt")["global_step"]
    for stage, name in (("test_last", "last.ckpt"), ("test", "best.ckpt")):  # the best one last: it stays loaded
        for key, result in evaluate(run, run_dir / "checkpoints" / name).items():
            results[key.replace("test/", f"{stage}/", 1)] = result
    for logger in trainer.loggers:
        logger.save()
    baselines = run.task.baselines()
    checks = read_metrics(run_dir / "metrics.csv")
    summary |= {
        "metrics": {name: value_of(result) for name, result in results.items()},
        "intervals": {name: result.interval for name, result in results.items() if isinstance(result, Share)},
        "counts": {name: result.trials for name, result in results.items() if isinstance(result, Share)},
        "baselines": {name: {key: value_of(r) for key, r in rows.items()} for name, rows in baselines.items()},
        "last_five_checks": spread_of_last_checks(checks, last=5),
    }
    write_json(run_dir / "summary.json", summary)
    write_jsonl(run_dir / "completions.jsonl", run.task.examples())
    plots = run_dir / "plots"
    plots.mkdir(exist_ok=True)
    figures = {"learning_curves": learning_curves(checks), **run.task.figures()}
    if summary["intervals"]:
        figures["results"] = result_bars(summary)
    for name, figure in figures.items():
        figure.savefig(plots / f"{name}.png", dpi=120)
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            numbers = {name: value for name, value in summary["metrics"].items() if value is not None}
            logger.log_hyperparams(run.config, numbers, step=trainer.global_step)
            for name, figure in figures.items():
                logger.experiment.add_figure(name, figure, trainer.global_step)
        logger.finalize("success")
    print_table(summary)
    print(f"run directory: {run_dir}", file=sys.stdout)


def evaluate(run: Run, checkpoint: Path) -> Results:
    """The test results of a checkpoint; its weights stay loaded."""
    evaluator = build_evaluator(
        run_dir=checkpoint.parent.parent,
        precision=run.config["trainer"]["precision"],
        accelerator=run.config["trainer"]["accelerator"],
    )
    run.task.load_state_dict(load_checkpoint(checkpoint)["state_dict"])
    evaluator.test(run.task, datamodule=run.datamodule, verbose=False)
    return run.task.results
