"""Tests a model of the project or a module of somebody else's."""

from torch import Tensor, nn

from seqlab.errors import InputError
from seqlab.model import Rereading, SequenceModel, check_logits
from seqlab.spec import Spec
from seqlab.task import Results, Task


class Foreign(Rereading):
    """A module of somebody else's as a model."""

    def __init__(self, spec: Spec, module: nn.Module):
        super().__init__(spec)
        self.module = module

    def forward(self, inputs: Tensor) -> Tensor:
        logits = self.module(inputs)
        check_logits(logits, inputs, self.spec)
        return logits


def tested(task: Task, model: nn.Module) -> Results:
    """The test metrics of a model.

    Raises:
        InputError: it is no module, or does not fit the task.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"a model must be a torch.nn.Module, not {type(model).__name__}")
    own = model if isinstance(model, SequenceModel) else Foreign(task.data.spec, model)
    try:
        task.check_model(own)
        return task.evaluate(own, "test")
    except InputError:
        raise
    except (ValueError, TypeError, RuntimeError, IndexError) as error:
        raise InputError(f"{type(model).__name__} does not fit {task.title()}: {error}") from error
