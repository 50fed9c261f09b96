"""Optimizers with weight decay on matrices only, and fused kernels where torch has them."""

from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Interval
from torch import nn
from torch.optim import Optimizer

Fraction = Annotated[float, Interval(ge=0, lt=1)]


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Split the trainable parameters into two groups, with and without weight decay.

    Matrices (two or more dimensions) decay. Biases of any shape, norm scales and parameters that the model marks with
    `_no_weight_decay` do not. (mamba-ssm marks the logarithms of its decay rates.)
    """
    decaying, others = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_matrix = parameter.ndim >= 2 and not name.rpartition(".")[2].startswith("bias")
            decays = is_matrix and not getattr(parameter, "_no_weight_decay", False)
            (decaying if decays else others).append(parameter)
    return [{"params": decaying, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def adamw(
    model: nn.Module,
    *,
    lr: Annotated[float, Gt(0)],
    betas: tuple[Fraction, Fraction] = (0.9, 0.999),
    eps: Annotated[float, Gt(0)] = 1e-8,
    weight_decay: Annotated[float, Ge(0)] = 0.01,
) -> Optimizer:
    """AdamW (Loshchilov & Hutter 2019) with the fused kernel."""
    groups = parameter_groups(model, weight_decay)
    return torch.optim.AdamW(groups, lr=lr, betas=(betas[0], betas[1]), eps=eps, fused=True)


def sgd(
    model: nn.Module,
    *,
    lr: Annotated[float, Gt(0)],
    momentum: Fraction = 0.0,
    weight_decay: Annotated[float, Ge(0)] = 0.0,
) -> Optimizer:
    """Stochastic gradient descent with momentum, with the fused kernel."""
    return torch.optim.SGD(parameter_groups(model, weight_decay), lr=lr, momentum=momentum, fused=True)


def rmsprop(
    model: nn.Module,
    *,
    lr: Annotated[float, Gt(0)],
    alpha: Fraction = 0.99,
    eps: Annotated[float, Gt(0)] = 1e-8,
    weight_decay: Annotated[float, Ge(0)] = 0.0,
) -> Optimizer:
    """RMSprop (Hinton 2012)."""
    return torch.optim.RMSprop(parameter_groups(model, weight_decay), lr=lr, alpha=alpha, eps=eps)


def rprop(
    model: nn.Module,
    *,
    lr: Annotated[float, Gt(0)],
    etas: tuple[Fraction, Annotated[float, Gt(1)]] = (0.5, 1.2),
    step_sizes: tuple[Annotated[float, Gt(0)], Annotated[float, Gt(0)]] = (1e-6, 50.0),
    weight_decay: Annotated[float, Ge(0)] = 0.0,
) -> Optimizer:
    """Rprop (Riedmiller & Braun 1993), for full batches: one step size per weight; only the gradient's sign is used.

    Args:
        lr: initial step size.
        etas: factors of the step size after the sign of the gradient changed, and after it did not.
        step_sizes: smallest and largest step size.
        weight_decay: L2 penalty added to the gradient. Decoupled decay is undefined without a common learning rate.
    """
    groups = parameter_groups(model, weight_decay)
    return PenalisedRprop(groups, lr=lr, etas=(etas[0], etas[1]), step_sizes=(step_sizes[0], step_sizes[1]))


class PenalisedRprop(torch.optim.Rprop):
    """torch's Rprop with `weight_decay` in its parameter groups."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if group["weight_decay"] and parameter.grad is not None:
                    parameter.grad.add_(parameter, alpha=group["weight_decay"])
        super().step()
        return loss
