"""Train one run from its configuration to the last checkpoint, and evaluate it."""

import contextlib
import math
import platform
import traceback
from collections.abc import Mapping
from typing import Any

import lightning
import torch
from lightning import Trainer
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import OmegaConf

from seqlab import plugins
from seqlab.contract.measure import refuse_wrong_shape
from seqlab.errors import InputError, Interrupted, NonFiniteError
from seqlab.files import write_json, write_text
from seqlab.lit.checkpoints import has_begun, training_seconds, version
from seqlab.lit.interrupts import sigterm_raises
from seqlab.lit.progress import keep_to_the_log, silence
from seqlab.model import SequenceModel, num_parameters
from seqlab.run.allocator import keep_freed_memory
from seqlab.run.build import KERNELS_ON, Run, build, configuration, construct
from seqlab.run.config import RunConfig
from seqlab.run.directory import RunDirectory, Status
from seqlab.run.evaluate import finish
from seqlab.run.forks import targets
from seqlab.run.initial import Initial, take_weights
from seqlab.run.next_steps import resuming
from seqlab.run.resume import Start, note_growth, refuse_other_data, start_of
from seqlab.run.summary import read_summary
from seqlab.run.typed import with_typed
from seqlab.waiting import hushed, waiting

STOPPED = {Interrupted: "interrupted", NonFiniteError: "not_finite"}  # exception -> `stopped` in summary.json
REREADS = "This model has no state of its own: each step of decoding reads everything before it again."


def train(config: RunConfig, directory: RunDirectory, *, in_sweep: bool = False, quiet: bool = False) -> dict[str, Any]:
    """Run a job in a directory that exists. Writes the summary and returns it.

    A job of a sweep resumes the run in its directory, if there is one, and leaves status.json even if it is refused.
    The directory of any other refused job is removed. In a run with several processes, Lightning starts all but the
    first by the same command; these take part in training, write nothing and return {}.

    Args:
        config: what to run.
        directory: where.
        in_sweep: whether it is a job of a sweep.
        quiet: show no progress.

    Raises:
        InputError: the configuration is invalid; nothing has run.
        Interrupted, NonFiniteError: training ended that way; checkpoints and summary are written.
    """
    keep_freed_memory()
    if rank_zero_only.rank:  # type: ignore[attr-defined]
        train_along(config, directory)
        return {}
    with directory.claimed(), sigterm_raises():
        try:
            with hushed(quiet), waiting("reading or drawing the data, building the model"):
                job = accepted(directory, config, in_sweep)
        except BaseException as error:
            if not in_sweep:
                directory.remove_if_empty()
            elif not directory.is_used():
                note_failure(directory, error, config.hash)
            raise
        if job is None:
            summary = read_summary(directory.path)
            print(f"{directory.path} is finished ({summary['stopped']}, {summary['steps']} steps): nothing to resume")
            return summary
        if quiet:
            silence(job[1])
        elif in_sweep:
            keep_to_the_log(job[1])
        directory.write_status(Status("running", "", config.hash))
        try:
            with hushed(quiet):
                summary = fit(*job, directory, in_sweep=in_sweep)
        except BaseException as error:
            note_failure(directory, error, config.hash)
            if isinstance(error, Interrupted | KeyboardInterrupt) and not in_sweep:
                error.add_note(f"to resume it: {resuming(directory.path)}")
            raise
        directory.write_status(Status("done", summary["stopped"], config.hash))
    return summary


def accepted(directory: RunDirectory, config: RunConfig, in_sweep: bool) -> tuple[Run, Trainer, Start] | None:
    """Check and build a job: its run, trainer and starting point; None if the run in its directory is finished."""
    config = with_typed(config, configuration, config.words)
    if not directory.is_used():
        start = Start(config.plain, None, 0, None)
    elif OmegaConf.select(config.composed, "resume") is None and not in_sweep:
        raise InputError(
            f"{directory.path} already holds a run: resume it with resume=auto, give another hydra.run.dir, "
            "or remove it"
        )
    else:
        start = start_of(config, directory)
    if start is None:
        return None
    run = build(start.config, kept=start.kept)
    refuse_other_data(directory, start, run.datamodule, run.task)
    settings = run.config["trainer"]
    if settings.get("val_every", 0) > settings.get("max_steps", math.inf):
        raise InputError(
            f"trainer.val_every={settings['val_every']} is beyond trainer.max_steps={settings['max_steps']}: "
            f"no validation would choose best.ckpt; needed: trainer.val_every={settings['max_steps']} or less"
        )
    run.task.prepare()
    begin(run, start)
    place = {"save_dir": directory.path, "first_step": start.step}
    loggers = [construct(node, **place) for node in run.config["logger"].values()]
    trainer: Trainer = construct(run.config["trainer"], run_dir=directory.path, loggers=loggers)
    refuse_backend(run.config["model"], trainer.strategy.root_device.type)
    if start.checkpoint is None:
        config.save(directory)
    else:
        note_growth(directory, start.config["trainer"]["max_steps"])
    return run, trainer, start


def refuse_backend(model: Mapping[str, Any], device: str, path: str = "model") -> None:
    """Raise InputError if a model, or one inside it, asks for kernels that compute on another type of device."""
    for key, value in model.items():
        if isinstance(value, Mapping):
            refuse_backend(value, device, f"{path}.{key}")
        elif key == "backend" and KERNELS_ON.get(value, device) != device:
            raise InputError(
                f"{path}.backend={value} computes on {KERNELS_ON[value]}, and this run trains on {device}: "
                f"use {path}.backend=auto, or another trainer.accelerator"
            )


def begin(run: Run, start: Start) -> None:
    """Give a run that begins the weights that init_from names; one that resumes has its own in the checkpoint."""
    if start.checkpoint is not None:
        run.module.initial = start.initial
    elif run.config.get("init_from") is not None:
        run.module.initial = take_weights(run.module, run.config["init_from"]).model_dump()


def train_along(config: RunConfig, directory: RunDirectory) -> None:
    """Train as an additional process of a run that the first process has accepted."""
    start = start_of(with_typed(config, configuration, config.words), directory)
    assert start is not None, "the first process has found something to do"
    run = build(start.config, kept=start.kept)
    run.task.prepare()
    begin(run, start)
    if run.config["compile"]:
        run.model.compile()
    trainer: Trainer = construct(run.config["trainer"], run_dir=directory.path, loggers=[])
    with contextlib.suppress(Interrupted, NonFiniteError):  # the first process gets the same error and reports it
        trainer.fit(run.module, datamodule=run.datamodule, ckpt_path=start.checkpoint, weights_only=True)


def note_failure(directory: RunDirectory, error: BaseException, digest: str) -> None:
    """Write the reason to status.json and the full traceback to run.log."""
    state = "interrupted" if isinstance(error, Interrupted | KeyboardInterrupt) else "failed"
    with contextlib.suppress(OSError):  # on a full disk, still report `error` to the user
        directory.write_status(Status(state, " ".join(str(error).split()) or type(error).__name__, digest))
        with open(directory.log, "a", encoding="utf-8") as log:
            traceback.print_exception(error, file=log)


def fit(run: Run, trainer: Trainer, start: Start, directory: RunDirectory, *, in_sweep: bool = False) -> dict[str, Any]:
    """Train from `start`, evaluate, write everything and return the summary."""
    if run.config["compile"]:
        run.model.compile()
    with waiting("drawing the data of validation and test"):
        for name, text in run.task.files().items():
            write_text(directory.path / name, text)
        summary = opening(run)
    first = f"{run.task.title()} | {summary['model']}, {summary['num_parameters']:,} parameters | {directory.path}"
    tell_and_log(first, directory, shown=not in_sweep)
    if start.checkpoint is not None:
        tell_and_log(f"resumed from {start.checkpoint.name} at step {start.step}", directory)
    elif run.module.initial is not None:
        tell_and_log(str(Initial.model_validate(run.module.initial)), directory)
    try:
        trainer.fit(run.module, datamodule=run.datamodule, ckpt_path=start.checkpoint, weights_only=True)
    except BaseException as error:
        if start.checkpoint is not None and not has_begun(trainer) and isinstance(error, Exception):
            reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            raise InputError(f"training cannot resume from {start.checkpoint}: {reason}") from error
        summary["stopped"] = STOPPED.get(type(error), "failed")
        with contextlib.suppress(OSError):
            write_json(directory.summary, summary | reached(trainer))
        if isinstance(error, Exception) and not isinstance(error, InputError | NonFiniteError):
            refuse_shape_of(run, error)
        raise
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()  # one process does the rest
    summary["stopped"] = "max_steps" if trainer.global_step >= trainer.max_steps else "early"
    write_json(directory.summary, summary | reached(trainer))
    finish(run, trainer, summary | reached(trainer), directory, in_sweep=in_sweep)
    return read_summary(directory.path)


def refuse_shape_of(run: Run, error: Exception) -> None:
    """Raise InputError from an error that ended training, if the model's outputs have the wrong shape."""
    if isinstance(run.model, SequenceModel):
        try:
            refuse_wrong_shape(run.model)
        except InputError as fault:
            names = run.config["name"]
            check = f"seqlab check model={names['model']} data={names['data']}"
            raise InputError(f"{fault}; {check} says more") from error


def tell_and_log(line: str, directory: RunDirectory, *, shown: bool = True) -> None:
    """Print a line, if it is to be shown, and write it to run.log."""
    if shown:
        print(line)
    with open(directory.log, "a", encoding="utf-8") as log:
        print(line, file=log)


def reached(trainer: Trainer) -> dict[str, Any]:
    """The steps and seconds of training so far, over all parts of a resumed run."""
    return {"steps": trainer.global_step, "seconds": round(training_seconds(trainer), 1)}


def notes_on(run: Run) -> list[str]:
    """What a reader of the results should know of the model and its test data, for the table."""
    notes = [*run.task.notes(), *([REREADS] if isinstance(run.model, SequenceModel) and run.model.rereads else [])]
    return notes if run.module.initial is None else [*notes, str(Initial.model_validate(run.module.initial))]


def opening(run: Run) -> dict[str, Any]:
    """The part of a summary that is known before training."""
    return {
        **run.config["name"],
        **run.task.names(),
        "description": run.task.title(),
        "seed": run.config["seed"],
        "num_parameters": num_parameters(run.model),
        "columns": dict(run.task.columns),
        "meanings": dict(run.task.meanings()),
        "better": dict(run.task.better),  # column's metric -> low or high; see seqlab/report/rows.py
        "steps": 0,
        "seconds": 0.0,
        "best_step": None,
        "stopped": "running",
        "metrics": {},
        "intervals": {},
        "counts": {},
        "effective": {},
        "baselines": {},
        "last_five_checks": {},
        "missing": {},  # what could not be computed -> why, see seqlab/run/evaluate.py
        "notes": notes_on(run),
        "init_from": run.module.initial,
        "versions": {
            "seqlab": version(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "lightning": lightning.__version__,
            "threads": torch.get_num_threads(),
            **plugins.versions(targets(run.config)),  # of plug-ins
        },
    }
