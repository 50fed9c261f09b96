"""Slow: the adding problem over 100 steps is learned by one layer of 64 units whose gates start after chrono."""

import pytest
import torch
from torch.nn.functional import mse_loss

from forecasting.long_memory import adding
from seqlab.models.deep_lstm import DeepLSTM
from seqlab.optim import adamw
from seqlab.spec import Spec, Values, Vectors


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_chrono_learns_to_add_over_100_steps(seed):
    """Squared error below 0.01 by 1,200 steps; without memory it is 0.167."""
    torch.manual_seed(seed)
    spec = Spec(Vectors(2), Values(1), max_length=100, readout="last")
    model = DeepLSTM(spec, num_layers=1, dropout=0.0, bias_init="chrono")
    optimizer = adamw(model, lr=3e-3)
    for step in range(1200):
        inputs, targets = adding(seed, "train", 16 * step, 16, 100)
        optimizer.zero_grad()
        mse_loss(model(inputs)[:, -1], targets).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    inputs, targets = adding(seed, "test", 0, 1000, 100)
    with torch.no_grad():
        error = float(mse_loss(model(inputs)[:, -1], targets))
    print(f"seed {seed}: {error:.5f}")
    assert error < 0.01
