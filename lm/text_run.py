"""Loading a run on text for the commands of this package."""

from pathlib import Path
from typing import Any, NamedTuple

from lm.continuation import Continuation
from lm.task import LanguageModel
from seqlab.errors import InputError
from seqlab.files import at_home
from seqlab.lit.checkpoints import AtomicCheckpointIO, kept_in, load_checkpoint, version
from seqlab.model import SequenceModel
from seqlab.run.build import Run, build, load_run

TUNED = "retrieval_seed{seed}.ckpt"  # `seqlab finetune RUN` writes it next to best.ckpt
CONTROL = "retrieval_seed{seed}_untrained.ckpt"  # with --untrained
MAPS = "continuation"  # key of the maps of its queries and documents


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


def save_continuation(tuned: Continuation, source: Path, target: Path) -> None:
    """Write a tuned model, with the configuration and the data of the checkpoint that it came from, and its maps."""
    content = load_checkpoint(source)
    state = tuned.state_dict()
    weights = {name: tensor for name, tensor in state.items() if name.startswith("model.")}
    maps = {name: tensor for name, tensor in state.items() if name not in weights}
    kept = kept_in(content, source)._asdict()
    written = {"version": version(), "config": content["config"], "state_dict": weights, MAPS: maps, **kept}
    AtomicCheckpointIO().save_checkpoint(written, target)


def load_continuation(path: str | Path, checkpoint: str) -> Continuation:
    """Load what `save_continuation` wrote, in evaluation mode.

    Raises:
        InputError: there is no such file, or it is no continuation embedding.
    """
    tuned = Continuation(load_text_run(path, checkpoint).model)
    file = at_home(path) / "checkpoints" / checkpoint
    maps = load_checkpoint(file).get(MAPS)
    names = {name for name in tuned.state_dict() if not name.startswith("model.")}
    if not isinstance(maps, dict) or set(maps) != names:
        raise InputError(f"{file} has no maps of queries and documents: tune again (seqlab finetune {path})")
    try:
        tuned.load_state_dict(maps, strict=False)
    except RuntimeError as error:  # torch's message has a line for each shape
        raise InputError(f"{file} has maps of other widths: tune again (seqlab finetune {path})") from error
    return tuned.eval()


def _text_run(run: Run) -> TextRun:
    assert isinstance(run.model, SequenceModel) and isinstance(run.task, LanguageModel)
    return TextRun(run.model.eval(), run.task, run.config)
