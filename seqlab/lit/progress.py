"""A Rich progress bar that counts optimizer steps, with loss, step rate and time left."""

from lightning.pytorch.callbacks import RichProgressBar


class StepProgressBar(RichProgressBar):
    """Counts to trainer.max_steps: batches are an endless stream, so an epoch has no length to show."""

    @property
    def total_train_batches(self) -> int:
        return self.trainer.max_steps

    def _get_train_description(self, current_epoch: int) -> str:
        return "training"

    def get_metrics(self, trainer, pl_module):  # type: ignore[no-untyped-def]
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics
