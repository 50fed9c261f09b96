"""Gradient clipping with a threshold that adapts to the gradient norm."""

import math
from typing import Annotated, Any

from annotated_types import Ge, Gt, Interval
from lightning import Callback, LightningModule, Trainer
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from seqlab.lit.module import Module


class AdaptiveClipping(Callback):
    """Clips at the mean plus `deviations` standard deviations of past norms, exponentially weighted.

    The clipped norm enters the history, so that an outlier does not raise the threshold. (As in ZClip, Kumar et al.
    2025, with a fixed number of deviations.) The first `warmup` steps are not clipped; their unweighted mean and
    variance start the history.

    Args:
        deviations: distance of the threshold from the mean, in standard deviations.
        decay: weight of the history after the warm-up; a new norm gets 1 - decay.
        warmup: number of steps before the first clipping.
    """

    def __init__(
        self,
        *,
        deviations: Annotated[float, Gt(0)] = 3.0,
        decay: Annotated[float, Interval(gt=0, lt=1)] = 0.97,
        warmup: Annotated[int, Ge(2)] = 25,
    ):
        self.deviations, self.decay, self.warmup = deviations, decay, warmup
        self.count = self.clipped = 0
        self.mean = self.variance = 0.0

    def threshold(self) -> float | None:
        """The threshold for the next norm; None during the warm-up."""
        if self.count < self.warmup:
            return None
        return self.mean + self.deviations * math.sqrt(self.variance)

    def add(self, norm: float) -> None:
        """Clip a norm at the threshold and add it to the history (Finch 2009, for both kinds of average)."""
        limit = self.threshold()
        if limit is not None and norm > limit:
            self.clipped += 1
            norm = limit
        self.count += 1
        weight = 1 / self.count if self.count <= self.warmup else 1 - self.decay
        step = norm - self.mean
        self.mean += weight * step
        self.variance = (1 - weight) * (self.variance + weight * step**2)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        # The module clips right after this, at the trainer's value. It also stops there on non-finite gradients.
        limit = trainer.gradient_clip_val = self.threshold()
        norm = float(get_total_norm([p.grad for p in pl_module.parameters() if p.grad is not None]))
        if math.isfinite(norm):
            self.add(norm)
        assert isinstance(pl_module, Module)
        if limit is not None and pl_module.logs_this_step():
            rate = self.clipped / max(1, self.count - self.warmup)
            pl_module.row |= {"train/clip_threshold": limit, "train/clip_rate": rate}

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "clipped": self.clipped, "mean": self.mean, "variance": self.variance}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name, value in state_dict.items():
            setattr(self, name, value)
