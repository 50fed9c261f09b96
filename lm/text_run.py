"""A run on text, loaded for the commands of this package."""

from pathlib import Path

from lm.task import LanguageModel
from seqlab.errors import InputError
from seqlab.run.build import build, load_run

TUNED = "retrieval.ckpt"  # what `python -m lm.finetune RUN` leaves beside best.ckpt


def load_text_run(path: str | Path, checkpoint: str = "best.ckpt") -> LanguageModel:
    """The task of a run on text, in evaluation mode; `.model` and `.data.tokenizer` belong to it.

    Raises:
        InputError: when path is no run, or one on other data.
    """
    task = load_run(path, checkpoint).task
    if not isinstance(task, LanguageModel):
        raise InputError(f"{path} is no run on text (data=text)")
    return task


def untrained(task: LanguageModel) -> LanguageModel:
    """The same run before its first step: the control for whatever its training taught it."""
    fresh = build(task.config, kept=task.data.kept).task
    assert isinstance(fresh, LanguageModel)
    return fresh.eval()
