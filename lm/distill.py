"""Distillation: a student learns from the text and from a trained teacher's distribution at every token."""

from functools import cached_property
from typing import Annotated

import torch
from annotated_types import Gt, Interval
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from lm.datamodule import TextDataModule
from lm.task import LanguageModel
from lm.text_run import load_text_run
from seqlab.errors import InputError
from seqlab.files import at_home
from seqlab.kept import FileRecords, records_of
from seqlab.model import SequenceModel, precise


def soft_loss(student_NV: Tensor, teacher_NV: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || student) in nats per token, both softmax(logits / T) (Hinton et al. 2015, section 2).

    The gradient of the KL scales as 1 / T^2; the factor T^2 compensates for this.
    """
    student, teacher = (log_softmax(precise(logits) / temperature, dim=-1) for logits in (student_NV, teacher_NV))
    return temperature**2 * kl_div(student, teacher, reduction="batchmean", log_target=True)


class Distillation(LanguageModel):
    """Language modelling with the loss (1 - weight) cross-entropy + weight soft_loss. Evaluation is unchanged.

    The teacher is loaded when training starts. Checkpoints and parameter counts are the student's, and a finished run
    does not need the teacher.

    Args:
        datamodule, stride, prompts: as in lm.task.LanguageModel.
        teacher: the run directory of a language model with the same tokenizer.
        temperature: T; values above 1 give improbable tokens more influence.
        weight: weight of the teacher, 0 .. 1.

    Raises:
        ValueError: there is no teacher.
    """

    def __init__(
        self,
        datamodule: TextDataModule,
        *,
        teacher: str | None = None,
        temperature: Annotated[float, Gt(0)] = 2.0,
        weight: Annotated[float, Interval(ge=0, le=1)] = 0.5,
        stride: Annotated[int, Interval(ge=1)] | None = None,
        prompts: tuple[str, ...] = ("\n",),
    ):
        super().__init__(datamodule, stride=stride, prompts=prompts)
        if teacher is None:
            raise ValueError("task.teacher is missing: give the run directory of a language model, task.teacher=RUN")
        self.teacher_path, self.temperature, self.weight = teacher, temperature, weight

    def prepare(self) -> None:
        super().prepare()
        _ = self.teacher, self.file_records  # loaded now, so that a bad teacher raises before the first step

    @cached_property
    def file_records(self) -> FileRecords:
        """The record of the teacher's checkpoint file."""
        path = at_home(self.teacher_path)
        file = path / "checkpoints" / "best.ckpt" if path.is_dir() else path
        return records_of({self.teacher_path if file == path else f"{self.teacher_path}/checkpoints/best.ckpt": file})

    @cached_property
    def teacher(self) -> nn.Module:
        """The teacher's network, in evaluation mode.

        Raises:
            InputError: it is missing or has another tokenizer.
        """
        teacher = load_text_run(at_home(self.teacher_path))
        if teacher.task.data.tokenizer.json != self.data.tokenizer.json:
            raise InputError(
                f"task.teacher={self.teacher_path} has another tokenizer than the student "
                f"(use the same with data.tokenizer_path={self.teacher_path}/tokenizer.json)"
            )
        return teacher.model.requires_grad_(False)

    def loss(self, model: SequenceModel, batch: Tensor) -> Tensor:
        """The distillation loss in nats per token."""
        inputs = batch[:, :-1]
        logits = model(inputs).flatten(0, 1)
        plain = cross_entropy(logits, batch[:, 1:].flatten())
        if self.weight == 0:
            return plain
        with torch.no_grad():
            expected = self.teacher.to(batch.device)(inputs).flatten(0, 1)
        return (1 - self.weight) * plain + self.weight * soft_loss(logits, expected, self.temperature)
