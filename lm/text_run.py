"""Loading a run on text for the commands of this package."""

from pathlib import Path
from typing import Any, NamedTuple

from lm.task import LanguageModel
from seqlab.errors import InputError
from seqlab.model import SequenceModel
from seqlab.run.build import Run, build, load_run

TUNED = "retrieval.ckpt"  # `seqlab finetune RUN` writes it next to best.ckpt


class TextRun(NamedTuple):
    """A language model with its task, and the configuration of its run. The tokenizer is `task.data.tokenizer`."""

    model: SequenceModel
    task: LanguageModel
    config: dict[str, Any]


def load_text_run(path: str | Path, checkpoint: str = "best.ckpt") -> TextRun:
    """Load a run on text, with its model in evaluation mode.

    Raises:
        InputError: the path is not a run, or a run on other data.
    """
    run = load_run(path, checkpoint)
    if not isinstance(run.task, LanguageModel):
        raise InputError(f"{path} is not a run on text (data=text)")
    return _text_run(run)


def untrained(run: TextRun) -> TextRun:
    """The same run with the model before its first training step, as a control."""
    return _text_run(build(run.config, kept=run.task.data.kept))


def _text_run(run: Run) -> TextRun:
    assert isinstance(run.model, SequenceModel) and isinstance(run.task, LanguageModel)
    return TextRun(run.model.eval(), run.task, run.config)
