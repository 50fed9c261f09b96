"""Training does today what it did when tests/golden/losses.json was written (see make_losses.py)."""

import json

import pytest

from tests.golden.make_losses import FILE, training_losses
from tests.small_models import MODELS


@pytest.mark.parametrize("name", MODELS)
def test_first_losses(name):
    golden = json.loads(FILE.read_text())
    if name not in golden:
        pytest.fail(f"conf/model/{name}.yaml has no golden losses: run `python -m tests.golden.make_losses`")
    assert training_losses(name) == pytest.approx(golden[name], rel=1e-4)


def test_every_model_learns():
    for name, losses in json.loads(FILE.read_text()).items():
        assert len(losses) == 20
        assert sum(losses[-5:]) / 5 < 0.9 * losses[0], name
